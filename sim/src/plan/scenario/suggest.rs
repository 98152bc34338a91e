//! What somebody who misspelt a word may have meant.

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
