//! A number in a scenario: one value, `[least, most]`, or `{ log_uniform = [least, most] }`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A number, or a range the seed chooses from; both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// Always this.
    One(i64),
    /// From, to, all alike.
    Range(i64, i64),
    /// From, to, each order of magnitude alike.
    LogUniform(i64, i64),
}

impl Span {
    /// The least and the most.
    #[must_use]
    pub fn ends(self) -> (i64, i64) {
        match self {
            Self::One(value) => (value, value),
            Self::Range(least, most) | Self::LogUniform(least, most) => (least, most),
        }
    }

    /// What makes no sense about it, where only numbers from `least` to `most` do.
    pub(super) fn complaint(self, least: i64, most: i64) -> Option<String> {
        let (low, high) = self.ends();
        if low > high {
            return Some(format!("[{low}, {high}] is empty"));
        }
        if low < least || high > most {
            return Some(format!("{low} to {high} is not within {least} to {most}"));
        }
        let logarithm = matches!(self, Self::LogUniform(..));
        (logarithm && low < 1).then(|| "log_uniform begins at 1 or above".to_owned())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl<'de> Visitor<'de> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, [least, most] or { log_uniform = [least, most] }")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Span, E> {
        Ok(Span::One(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Span, E> {
        i64::try_from(value).map(Span::One).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Span, A::Error> {
        let ends = (seq.next_element()?, seq.next_element()?, seq.next_element::<i64>()?);
        match ends {
            (Some(least), Some(most), None) => Ok(Span::Range(least, most)),
            _ => Err(A::Error::custom("a range has two ends: [least, most]")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Span, A::Error> {
        const KEY: &str = "log_uniform";
        match map.next_key::<String>()?.as_deref() {
            Some(KEY) => {
                let [least, most] = map.next_value()?;
                Ok(Span::LogUniform(least, most))
            }
            Some(other) => Err(A::Error::unknown_field(other, &[KEY])),
            None => Err(A::Error::missing_field(KEY)),
        }
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pair = || {
            json_schema!({ "type": "array", "items": { "type": "integer" },
                                     "minItems": 2, "maxItems": 2 })
        };
        json_schema!({
            "description": "A number, [least, most], or { log_uniform = [least, most] }.",
            "anyOf": [
                { "type": "integer" },
                pair(),
                { "type": "object", "properties": { "log_uniform": pair() },
                  "required": ["log_uniform"], "additionalProperties": false }
            ]
        })
    }
}
