//! A history from anywhere: a file of ours, Jepsen's EDN or Jepsen's log.

use super::{Checked, Violation, check, file::CaseFile, foreign, wgl::Verdict};

/// Steps of a search before it gives up.
const SEARCH_BUDGET: u64 = 200_000_000;

/// Checks a history by what it looks like: JSON lines are ours, the rest is foreign.
///
/// # Errors
/// It is none, with the line that makes no sense.
pub fn check_text(text: &str) -> Result<Checked, String> {
    if text.trim_start().starts_with("{\"") {
        let file = CaseFile::read(text.as_bytes()).map_err(|why| why.to_string())?;
        return Ok(check(&file.case()));
    }
    let mut checked = Checked::default();
    match foreign::check(text, SEARCH_BUDGET)? {
        Verdict::Linearizable => {}
        Verdict::Impossible => {
            let story = "no order of the operations explains what was read";
            checked.violations.push(Violation::new("wgl.impossible", &[], story));
        }
        Verdict::Undecided => {
            checked.undecided = Some(format!("no answer after {SEARCH_BUDGET} steps"));
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> String {
        let checked = check_text(text).expect("it is a history");
        checked.violations.into_iter().next().map_or(String::new(), |one| one.class)
    }

    #[test]
    fn a_history_is_known_by_its_looks() {
        let ours = include_str!("../../../histories/order.stale.jsonl");
        assert_eq!(class(ours), "order.stale");
        let edn = "{:process 0, :type :invoke, :f :read, :value nil}\n\
                   {:process 0, :type :ok, :f :read, :value 3}";
        assert_eq!(class(edn), "wgl.impossible");
        let log = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n\
                   INFO  jepsen.util - 0\t:ok\t:read\tnil";
        assert_eq!(class(log), "");
        assert!(check_text("{\"event\":\"nothing\"}").is_err());
        assert!(check_text("nothing").is_err());
    }

    #[test]
    fn a_bare_history_has_no_audit() {
        let ours = include_str!("../../../histories/order.stale.jsonl");
        let (_, bare) = ours.split_once('\n').expect("it has a first line");
        assert_eq!(class(bare), "order.stale");
    }
}
