//! What somebody who misspelt a word may have meant.

use reseed_planted::Bug;

/// Letters that may differ in a suggestion.
const FAR: usize = 3;

/// The known word nearest to `unknown`, if one is near.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance = |word: &'a str| (strsim::damerau_levenshtein(unknown, word), word);
    known.into_iter().map(distance).min().filter(|(far, _)| *far <= FAR).map(|(_, word)| word)
}

/// A refusal of `unknown`, a `kind`, with the nearest of `known`.
pub(crate) fn refusal<'a>(
    kind: &str,
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    match nearest(unknown, known) {
        Some(word) => format!("there is no {kind} `{unknown}`; did you mean `{word}`?"),
        None => format!("there is no {kind} `{unknown}`"),
    }
}

/// Are there bugs of these names? As written on command lines, or as the catalogue has them.
///
/// # Errors
/// The first name nobody knows.
pub(crate) fn check_bugs(names: &[String]) -> Result<(), String> {
    let Some(unknown) = names.iter().find(|name| Bug::named(name).is_none()) else { return Ok(()) };
    let is_dashed = |name: &String| !name.contains(char::is_uppercase);
    let known = Bug::ALL.iter().map(|bug| bug.name().to_owned());
    let known: Vec<String> = if is_dashed(unknown) {
        known.map(|name| dashed(&name)).collect()
    } else {
        known.collect()
    };
    Err(format!("planted: {}", refusal("bug", unknown, known.iter().map(String::as_str))))
}

/// `AckBeforeSync` as `ack-before-sync`.
fn dashed(name: &str) -> String {
    let mut dashed = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !dashed.is_empty() {
            dashed.push('-');
        }
        dashed.extend(letter.to_lowercase());
    }
    dashed
}

/// serde names the unknown word and those it knows; the nearest of them is a fair guess.
pub(super) fn with_suggestion(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let unknown_word = error.message().starts_with("unknown ");
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    let near = quoted.next().and_then(|unknown| nearest(unknown, quoted));
    match near {
        Some(word) if unknown_word => format!("{text}did you mean `{word}`?"),
        _ => text,
    }
}
