//! What failures of one cause have in common, so that a swarm tells of each cause once.
//!
//! A signature is the class of the violation and its story with everything taken out that differs
//! from run to run: numbers, and what stands in quotes (keys, values).

/// The longest story that says anything.
const CHARS_MAX: usize = 120;

/// The signature of a failure of `class` with this `story`.
#[must_use]
pub fn signature(class: &str, story: &str) -> String {
    format!("{class}: {}", normalise(story))
}

/// The story without what differs from run to run.
fn normalise(story: &str) -> String {
    let mut plain = String::new();
    let mut letters = story.chars().peekable();
    while let Some(letter) = letters.next() {
        let word_goes_on = plain.chars().last().is_some_and(char::is_alphabetic);
        if letter == '"' {
            // Up to the closing quote; a quote that is not closed takes the rest.
            letters.by_ref().find(|letter| *letter == '"');
            plain.push('_');
        } else if letter.is_ascii_digit() && !word_goes_on {
            while letters.next_if(|next| next.is_ascii_alphanumeric() || *next == '.').is_some() {}
            plain.push('#');
        } else if letter.is_ascii_digit() {
            while letters.next_if(char::is_ascii_digit).is_some() {}
            plain.push('#');
        } else {
            plain.push(letter);
        }
        if plain.chars().count() >= CHARS_MAX {
            plain.push('…');
            break;
        }
    }
    // How many numbers a list has differs too.
    while plain.contains("#, #") {
        plain = plain.replace("#, #", "#");
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_of_one_cause_look_alike() {
        let one = "put of \"k3\" = \"v17\" at revision 812 is lost (operations [4, 17, 9])";
        let two = "put of \"k10\" = \"v2\" at revision 9 is lost (operations [1])";
        assert_eq!(signature("durable.lost", one), signature("durable.lost", two));
        let other = "put of \"k3\" at revision 812 is there twice";
        assert_ne!(signature("durable.lost", one), signature("durable.lost", other));
        assert_ne!(signature("durable.lost", one), signature("timeline.gap", one));
    }

    #[test]
    fn numbers_in_names_and_units_go_too() {
        assert_eq!(
            normalise("client-12 waited 3.5s for 0x1f of key17"),
            "client-# waited # for # of key#"
        );
        assert!(normalise(&"long ".repeat(100)).chars().count() <= CHARS_MAX + 1);
    }
}
