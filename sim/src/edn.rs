//! As much of EDN as histories use: nil, integers, strings, characters, keywords, vectors, lists,
//! sets, maps, comments; a tag is dropped and what it stands before is taken.
//!
//! Numbers that are no integers stay words, which compare as they are written.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

/// How deep vectors and maps may nest.
const DEPTH_MAX: u32 = 64;

/// A value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Edn {
    /// Nothing.
    Nil,
    /// An integer; wide enough for 64 bits of either kind.
    Number(i128),
    /// A string, or a character.
    Text(String),
    /// A keyword without its colon, a symbol, or a number that is no integer.
    Word(String),
    /// A vector, a list or a set.
    List(Vec<Edn>),
    /// A map.
    Map(BTreeMap<Edn, Edn>),
}

impl Edn {
    pub(crate) fn word(name: &str) -> Self {
        Self::Word(name.to_owned())
    }

    /// The field of a map under a keyword.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.get(&Self::word(name)),
            _ => None,
        }
    }
}

/// Parses one value and nothing after it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Edn, String> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    reader.blank(0)?;
    match reader.chars.next() {
        None => Ok(value),
        Some(c) => Err(format!("{c:?} after the end")),
    }
}

/// Parses a history: values one after the other, or in one vector or list; each with its line.
///
/// # Errors
/// What is wrong, and in which line.
pub(crate) fn parse_items(text: &str) -> Result<Vec<(u64, Edn)>, String> {
    let mut reader = Reader::new(text);
    let items = reader.items();
    items.map_err(|why| format!("line {}: {why}", reader.line))
}

struct Reader<'t> {
    chars: Peekable<Chars<'t>>,
    line: u64,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self { chars: text.chars().peekable(), line: 1 }
    }

    fn items(&mut self) -> Result<Vec<(u64, Edn)>, String> {
        let mut items = Vec::new();
        let mut closes = None;
        loop {
            self.blank(0)?;
            let line = self.line;
            match (self.chars.peek().copied(), closes) {
                (None, None) => return Ok(items),
                (None, Some(_)) => return Err("ends too early".to_owned()),
                (Some('['), None) => closes = self.next().map(|_| ']'),
                (Some('('), None) => closes = self.next().map(|_| ')'),
                (Some(c), Some(close)) if c == close => {
                    self.next();
                    closes = None;
                }
                _ => items.push((line, self.value(0)?)),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.line += u64::from(next == Some('\n'));
        next
    }

    /// Passes over what says nothing: space, commas, comments, and values after `#_`.
    fn blank(&mut self, depth: u32) -> Result<(), String> {
        loop {
            match self.chars.peek().copied() {
                Some(';') => while self.next().is_some_and(|c| c != '\n') {},
                Some(c) if c.is_whitespace() || c == ',' => _ = self.next(),
                Some('#') if self.is_discard() => {
                    self.next();
                    self.next();
                    self.value(depth + 1)?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn is_discard(&self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next() == Some('#') && ahead.next() == Some('_')
    }

    fn value(&mut self, depth: u32) -> Result<Edn, String> {
        if depth > DEPTH_MAX {
            return Err("nested too deep".to_owned());
        }
        self.blank(depth)?;
        match self.chars.peek().copied() {
            None => Err("ends too early".to_owned()),
            Some('"') => self.text(),
            Some('\\') => self.character(),
            Some('#') => self.tagged(depth),
            Some('[') => Ok(Edn::List(self.until(']', depth)?)),
            Some('(') => Ok(Edn::List(self.until(')', depth)?)),
            Some('{') => self.map(depth),
            Some(_) => self.word(),
        }
    }

    /// `#{…}`, or `#tag value`.
    fn tagged(&mut self, depth: u32) -> Result<Edn, String> {
        self.next();
        if self.chars.peek() == Some(&'{') {
            return Ok(Edn::List(self.until('}', depth)?));
        }
        if self.letters().is_empty() {
            return Err("a tag without a name".to_owned());
        }
        self.value(depth + 1)
    }

    fn map(&mut self, depth: u32) -> Result<Edn, String> {
        let all = self.until('}', depth)?;
        if !all.len().is_multiple_of(2) {
            return Err("a key without a value".to_owned());
        }
        let mut map = BTreeMap::new();
        let mut all = all.into_iter();
        while let (Some(key), Some(value)) = (all.next(), all.next()) {
            if map.insert(key, value).is_some() {
                return Err("a key twice in a map".to_owned());
            }
        }
        Ok(Edn::Map(map))
    }

    fn until(&mut self, close: char, depth: u32) -> Result<Vec<Edn>, String> {
        self.next();
        let mut all = Vec::new();
        loop {
            self.blank(depth)?;
            if self.chars.next_if_eq(&close).is_some() {
                return Ok(all);
            }
            all.push(self.value(depth + 1)?);
        }
    }

    fn text(&mut self) -> Result<Edn, String> {
        const ENDLESS: &str = "a string without an end";
        self.next();
        let mut text = String::new();
        loop {
            match self.next().ok_or(ENDLESS)? {
                '"' => return Ok(Edn::Text(text)),
                '\\' => {
                    let escape = self.next().ok_or(ENDLESS)?;
                    text.push(self.escaped(escape)?);
                }
                c => text.push(c),
            }
        }
    }

    fn escaped(&mut self, escape: char) -> Result<char, String> {
        Ok(match escape {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\\' | '/' => escape,
            'u' => {
                let digits: String = (0..4).filter_map(|_| self.chars.next()).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.ok_or_else(|| format!("\\u{digits} is no character"))?
            }
            other => return Err(format!("\\{other} in a string")),
        })
    }

    /// `\a` or `\newline`.
    fn character(&mut self) -> Result<Edn, String> {
        self.next();
        let name = self.letters();
        let named = match name.as_str() {
            "newline" => "\n",
            "space" => " ",
            "tab" => "\t",
            "return" => "\r",
            one if one.chars().count() == 1 => one,
            _ => return Err(format!("no such character: \\{name}")),
        };
        Ok(Edn::Text(named.to_owned()))
    }

    fn letters(&mut self) -> String {
        let is_part = |c: &char| !c.is_whitespace() && !",;\"[](){}\\".contains(*c);
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(is_part) {
            word.push(c);
        }
        word
    }

    fn word(&mut self) -> Result<Edn, String> {
        let word = self.letters();
        if word.is_empty() {
            return Err(format!("{:?} in the wrong place", self.chars.peek()));
        }
        if word == "nil" {
            return Ok(Edn::Nil);
        }
        let digits = word.strip_suffix('N').unwrap_or(&word);
        let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = digits.parse().map_err(|_| format!("{word} is too large a number"))?;
            return Ok(Edn::Number(number));
        }
        Ok(Edn::Word(word.strip_prefix(':').unwrap_or(&word).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_histories_are_read() {
        let parsed = parse(r#"{:f :cas, :value [1 -2], :s "a\"b\u0000", :n nil, :c \a}"#);
        let parsed = parsed.expect("it is well-formed");
        assert_eq!(parsed.field("f"), Some(&Edn::word("cas")));
        let pair = Edn::List(vec![Edn::Number(1), Edn::Number(-2)]);
        assert_eq!(parsed.field("value"), Some(&pair));
        assert_eq!(parsed.field("s"), Some(&Edn::Text("a\"b\0".to_owned())));
        assert_eq!(parsed.field("n"), Some(&Edn::Nil));
        assert_eq!(parsed.field("c"), Some(&Edn::Text("a".to_owned())));
    }

    #[test]
    fn large_numbers_stay_numbers() {
        for (text, number) in [
            ("18446744073709551615", i128::from(u64::MAX)),
            ("9223372036854775808N", 1 << 63),
            ("-9223372036854775809", -(1 << 63) - 1),
            ("7N", 7),
        ] {
            assert_eq!(parse(text), Ok(Edn::Number(number)), "{text}");
        }
        assert!(parse(&"9".repeat(40)).is_err());
        assert_eq!(parse("1.5"), Ok(Edn::word("1.5")));
    }

    #[test]
    fn tags_comments_and_what_is_discarded_are_passed_over() {
        let text = "; a history\n#jepsen.history.Op{:a 1} #_{:b 2} ; and\n\n#{3}";
        let items = parse_items(text).expect("it is well-formed");
        assert_eq!(items.len(), 2);
        assert_eq!((items[0].0, items[0].1.field("a")), (2, Some(&Edn::Number(1))));
        assert_eq!(items[1], (4, Edn::List(vec![Edn::Number(3)])));
    }

    #[test]
    fn a_vector_of_items_is_items() {
        let apart = parse_items("{:a 1}\n{:a 2}").expect("it is well-formed");
        for together in ["[{:a 1}\n{:a 2}]", "({:a 1},\n {:a 2})\n"] {
            assert_eq!(parse_items(together), Ok(apart.clone()), "{together}");
        }
        assert_eq!(parse_items("\n[1\n[").map_err(|why| why.contains("line 3")), Err(true));
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = "[".repeat(1000);
        let tags = "#a ".repeat(1000);
        let discards = "#_".repeat(100_000);
        for text in ["", "[1", "{:a}", "{:a 1 :a 2}", "\"a", "\"\\q\"", "1 2", "]"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        for text in [deep, tags, discards] {
            assert_eq!(parse(&text), Err("nested too deep".to_owned()));
        }
    }
}
