//! A history from anywhere: a file of ours in JSON or EDN, Jepsen's EDN or Jepsen's log.

use super::{Checked, check, file::CaseFile, foreign};
use crate::{edn, history};

/// Steps of a search before it gives up.
const SEARCH_BUDGET: u64 = 200_000_000;

/// A history that was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// What was found.
    pub checked: Checked,
    /// A history of ours without its audit: judged as of one member with a true clock.
    pub is_bare: bool,
}

/// Checks a history by what it looks like: JSON lines are ours, EDN is if it names our clients,
/// the rest is foreign.
///
/// # Errors
/// It is none or cannot be judged, with the line that makes no sense.
pub fn check_text(text: &str) -> Result<Imported, String> {
    if text.trim_start().starts_with("{\"") {
        let file = CaseFile::read(text.as_bytes()).map_err(|why| why.to_string())?;
        return Ok(Imported { checked: check(&file.case()), is_bare: file.audit.revision == 0 });
    }
    let checked = if foreign::is_log(text) {
        foreign::check_log(text, SEARCH_BUDGET)?
    } else {
        let items = edn::parse_items(text)?;
        if items.first().is_some_and(|(_, first)| history::is_ours(first)) {
            let file = CaseFile { history: history::read_edn(&items)?, ..CaseFile::default() };
            return Ok(Imported { checked: check(&file.case()), is_bare: true });
        }
        foreign::check_items(&items, SEARCH_BUDGET)?
    };
    Ok(Imported { checked, is_bare: false })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn class(text: &str) -> String {
        let checked = check_text(text).expect("it is a history").checked;
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
        for nothing in ["{\"event\":\"nothing\"}", "nothing", "", "{:process 0}"] {
            assert!(check_text(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn a_bare_history_has_no_audit() {
        let ours = include_str!("../../../histories/order.stale.jsonl");
        assert_eq!(check_text(ours).map(|it| it.is_bare), Ok(false));
        let (_, bare) = ours.split_once('\n').expect("it has a first line");
        assert_eq!(class(bare), "order.stale");
        assert_eq!(check_text(bare).map(|it| it.is_bare), Ok(true));
    }

    #[test]
    fn histories_in_edn_are_judged_as_in_json() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories");
        let (mut files, mut violated) = (0, 0);
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|end| end != "jsonl") {
                continue;
            }
            let text = fs::read(&path).expect("it is readable");
            let file = CaseFile::read(text.as_slice()).expect("it is well-formed");
            let (mut json, mut edn) = (Vec::new(), Vec::new());
            history::write(&file.history, &mut json).expect("memory takes it");
            history::write_edn(&file.history, &mut edn).expect("memory takes it");
            let [json, edn] = [json, edn].map(|text| String::from_utf8(text).expect("text"));
            let judged = check_text(&edn);
            assert_eq!(judged, check_text(&json), "{}", path.display());
            files += 1;
            violated += usize::from(judged.is_ok_and(|it| !it.checked.violations.is_empty()));
        }
        assert!(files >= 100 && violated * 2 > files, "{violated} of {files}");
    }
}
