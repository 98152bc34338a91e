//! Text as Go prints and reads it: `%q`, words of a command line, humane sizes, durations.

use std::time::Duration;

/// Bytes as a Go string literal (`%q`): printable text stays, the rest is escaped.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(&mut out, c);
        }
        for byte in chunk.invalid() {
            out += &format!("\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

fn quote_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if c.is_ascii_control() => *out += &format!("\\x{:02x}", u32::from(c)),
        // Rust escapes what is not printable, and Go's idea of printable is nearly the same.
        c if !c.is_ascii() && c.escape_debug().len() > 1 => {
            let code = u32::from(c);
            *out +=
                &if code < 0x10000 { format!("\\u{code:04x}") } else { format!("\\U{code:08x}") };
        }
        c => out.push(c),
    }
}

/// Reads a Go string literal at the start of `text`: `"…"` with escapes, or `` `…` `` without.
/// Returns its bytes and what follows.
pub(super) fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, rest) = raw.split_once('`')?;
        return Some((inside.as_bytes().to_vec(), rest));
    }
    let mut out = Vec::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((out, rest)),
            '\n' => return None,
            '\\' => rest = unescape(&mut out, rest)?,
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Reads what follows a backslash.
fn unescape<'a>(out: &mut Vec<u8>, rest: &'a str) -> Option<&'a str> {
    let c = rest.chars().next()?;
    let tail = &rest[c.len_utf8()..];
    let simple = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' | '"' | '\'' => u8::try_from(c).ok()?,
        'x' => {
            out.push(u8::from_str_radix(tail.get(..2)?, 16).ok()?);
            return tail.get(2..);
        }
        'u' | 'U' => {
            let len = if c == 'u' { 4 } else { 8 };
            let c = char::from_u32(u32::from_str_radix(tail.get(..len)?, 16).ok()?)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return tail.get(len..);
        }
        '0'..='7' => {
            out.push(u8::from_str_radix(rest.get(..3)?, 8).ok()?);
            return rest.get(3..);
        }
        _ => return None,
    };
    out.push(simple);
    Some(tail)
}

/// Splits a line into words as etcdctl does for `txn` and `watch -i`: blanks divide, single and
/// double quotes hold together, escapes mean something inside double quotes only.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, tail) = if let Some(quoted) = rest.strip_prefix('\'') {
            let (word, tail) = quoted.split_once('\'')?;
            (word.to_owned(), tail)
        } else if rest.starts_with('"') {
            let (bytes, tail) = unquote(rest)?;
            (String::from_utf8(bytes).ok()?, tail)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        words.push(word);
        rest = tail.trim_start();
    }
    Some(words)
}

/// Bytes as `\x66\x6f`.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// A size as etcdctl prints it: `25 kB`, `2.1 GB`; powers of a thousand.
pub(super) fn humane_bytes(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().expect("there are seven");
    while value >= 1000.0
        && let Some(larger) = units.next()
    {
        value /= 1000.0;
        unit = larger;
    }
    let rounded = (value * 10.0 + 0.5).floor() / 10.0;
    match rounded < 10.0 {
        true => format!("{rounded:.1} {unit}"),
        false => format!("{rounded:.0} {unit}"),
    }
}

/// A duration as Go prints it: `1.323352ms`, `2m3.5s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    // Thousandths of a unit without trailing zeros.
    let decimal = |value: u128, unit: u128| {
        let width = unit.ilog10() as usize;
        let text = format!("{}.{:0width$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let (hours, rest) = (nanos / 3_600_000_000_000, nanos % 3_600_000_000_000);
            let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
            let secs = decimal(rest, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{secs}s"),
                (0, minutes) => format!("{minutes}m{secs}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{secs}s"),
            }
        }
    }
}

/// What Go's `strconv` says of a text that is no number, or too large a one.
pub(super) fn parse_int(text: &str, radix: u32) -> Result<i64, String> {
    i64::from_str_radix(text, radix).map_err(|error| strconv_error("ParseInt", text, &error))
}

/// As [`parse_int`], without a sign.
pub(super) fn parse_uint(text: &str, radix: u32) -> Result<u64, String> {
    u64::from_str_radix(text, radix).map_err(|error| strconv_error("ParseUint", text, &error))
}

fn strconv_error(function: &str, text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let why = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {why}", quote(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_gos_and_comes_back() {
        for (bytes, quoted) in [
            (&b"foo"[..], r#""foo""#),
            (b"\x01\xff\"q", r#""\x01\xff\"q""#),
            (b"a\nb\t\\", r#""a\nb\t\\""#),
            ("caf\u{e9}".as_bytes(), "\"caf\u{e9}\""),
            ("\u{200b}".as_bytes(), r#""\u200b""#),
            (b"\x7f", r#""\x7f""#),
        ] {
            assert_eq!(quote(bytes), quoted);
            assert_eq!(unquote(quoted), Some((bytes.to_vec(), "")));
        }
        assert_eq!(unquote("`a\\n` rest"), Some((b"a\\n".to_vec(), " rest")));
        assert_eq!(unquote(r#""\101""#), Some((b"A".to_vec(), "")));
        for bad in ["", "a", "\"a", "\"\\q\"", "\"\\x4", "`a"] {
            assert_eq!(unquote(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn words_of_a_line() {
        let expected = |words: &[&str]| Some(words.iter().map(|w| w.to_string()).collect());
        assert_eq!(words("put a b"), expected(&["put", "a", "b"]));
        assert_eq!(words("  put \"a b\" 'c \\n'  "), expected(&["put", "a b", "c \\n"]));
        assert_eq!(words(r#"put x "a\nb""#), expected(&["put", "x", "a\nb"]));
        assert_eq!(words("put 'a"), None);
        assert_eq!(words(""), expected(&[]));
    }

    #[test]
    fn sizes_and_durations() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (24_576, "25 kB"),
            (5_123_456, "5.1 MB"),
            (2_147_483_648, "2.1 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(humane_bytes(bytes), text);
        }
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (1_323_352, "1.323352ms"),
            (2_000_000_000, "2s"),
            (62_500_000_000, "1m2.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn numbers_that_are_none_are_told_as_go_does() {
        assert_eq!(parse_int("77", 16), Ok(0x77));
        let invalid = "strconv.ParseInt: parsing \"zz\": invalid syntax";
        assert_eq!(parse_int("zz", 16), Err(invalid.into()));
        let range = "strconv.ParseUint: parsing \"99999999999999999999\": value out of range";
        assert_eq!(parse_uint("99999999999999999999", 10), Err(range.into()));
    }
}
