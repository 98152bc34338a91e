//! As much of EDN as histories use: nil, numbers, strings, keywords, vectors, lists, maps.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

/// How deep vectors and maps may nest.
const DEPTH_MAX: u32 = 64;

/// A value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Edn {
    Nil,
    Number(i64),
    Text(String),
    /// A keyword without its colon, or a symbol.
    Word(String),
    List(Vec<Edn>),
    Map(BTreeMap<Edn, Edn>),
}

impl Edn {
    pub(super) fn word(name: &str) -> Self {
        Self::Word(name.to_owned())
    }
}

/// Parses one value and nothing after it.
pub(super) fn parse(text: &str) -> Result<Edn, String> {
    let mut chars = text.chars().peekable();
    let value = value(&mut chars, 0)?;
    blank(&mut chars);
    match chars.next() {
        None => Ok(value),
        Some(c) => Err(format!("{c:?} after the end")),
    }
}

fn blank(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
}

fn value(chars: &mut Peekable<Chars<'_>>, depth: u32) -> Result<Edn, String> {
    if depth > DEPTH_MAX {
        return Err("nested too deep".to_owned());
    }
    blank(chars);
    match chars.peek().copied() {
        None => Err("ends too early".to_owned()),
        Some('"') => text(chars),
        Some('[') => Ok(Edn::List(until(chars, ']', depth)?)),
        Some('(') => Ok(Edn::List(until(chars, ')', depth)?)),
        Some('{') => {
            let all = until(chars, '}', depth)?;
            if all.len() % 2 != 0 {
                return Err("a key without a value".to_owned());
            }
            let pairs = all.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            Ok(Edn::Map(pairs.collect()))
        }
        Some(_) => word(chars),
    }
}

fn until(chars: &mut Peekable<Chars<'_>>, close: char, depth: u32) -> Result<Vec<Edn>, String> {
    chars.next();
    let mut all = Vec::new();
    loop {
        blank(chars);
        if chars.next_if_eq(&close).is_some() {
            return Ok(all);
        }
        all.push(value(chars, depth + 1)?);
    }
}

fn text(chars: &mut Peekable<Chars<'_>>) -> Result<Edn, String> {
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next() {
            None => return Err("a string without an end".to_owned()),
            Some('"') => return Ok(Edn::Text(text)),
            Some('\\') => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(c) => c,
                None => return Err("a string without an end".to_owned()),
            }),
            Some(c) => text.push(c),
        }
    }
}

fn word(chars: &mut Peekable<Chars<'_>>) -> Result<Edn, String> {
    let is_part = |c: &char| !c.is_whitespace() && !",\"[](){}".contains(*c);
    let mut word = String::new();
    while let Some(c) = chars.next_if(is_part) {
        word.push(c);
    }
    if word.is_empty() {
        return Err(format!("{:?} in the wrong place", chars.peek()));
    }
    if word == "nil" {
        return Ok(Edn::Nil);
    }
    if let Ok(number) = word.parse() {
        return Ok(Edn::Number(number));
    }
    Ok(Edn::Word(word.trim_start_matches(':').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_histories_are_read() {
        let parsed = parse(r#"{:f :cas, :value [1 -2], :s "a\"b", :n nil}"#);
        let Ok(Edn::Map(map)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(map[&Edn::word("f")], Edn::word("cas"));
        assert_eq!(map[&Edn::word("value")], Edn::List(vec![Edn::Number(1), Edn::Number(-2)]));
        assert_eq!(map[&Edn::word("s")], Edn::Text("a\"b".to_owned()));
        assert_eq!(map[&Edn::word("n")], Edn::Nil);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "[1", "{:a}", "\"a", "1 2", "]", &"[".repeat(1000)] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
