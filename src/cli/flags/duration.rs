//! Durations as Go writes them: `1h15m30.5s`, `300ms`, `2µs`, `0`.

use std::time::Duration;

/// Parses a Go duration. Negative ones are refused: no setting here wants one.
///
/// # Errors
/// The text with what is wrong with it, in Go's words.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_len = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("time: missing unit in duration {text:?}"))?;
        let (number, tail) = rest.split_at(number_len);
        if number.is_empty() {
            return Err(invalid());
        }
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let Some(unit_nanos) = nanos_of(unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        total = amount(number, unit_nanos)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(invalid)?;
        rest = tail;
    }
    Ok(total)
}

fn nanos_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    })
}

/// `number` (digits with at most one point) times a unit.
fn amount(number: &str, unit_nanos: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit_nanos)?;
    let mut weight = unit_nanos;
    for digit in fraction.bytes() {
        weight /= 10;
        nanos = nanos.checked_add(weight.checked_mul(u64::from(digit - b'0'))?)?;
    }
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        let secs = Duration::from_secs_f64;
        for (text, expected) in [
            ("0", secs(0.0)),
            ("5s", secs(5.0)),
            ("10m", secs(600.0)),
            ("1h30m", secs(5400.0)),
            ("1.5h", secs(5400.0)),
            (".5s", secs(0.5)),
            ("300ms", secs(0.3)),
            ("1m0.25s", secs(60.25)),
            ("7us", Duration::from_micros(7)),
            ("7µs", Duration::from_micros(7)),
            ("3ns", Duration::from_nanos(3)),
            ("+1s", secs(1.0)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_says_why() {
        for (text, expected) in [
            ("", "time: invalid duration \"\""),
            ("abc", "time: invalid duration \"abc\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("-5s", "time: invalid duration \"-5s\""),
            (".s", "time: invalid duration \".s\""),
            ("99999999999999999999h", "time: invalid duration \"99999999999999999999h\""),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
    }
}
