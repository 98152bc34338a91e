//! Log lines as etcd's zap writes them, so that what reads etcd's logs reads these.
//!
//! One JSON object a line: `level`, `ts`, `caller`, `msg`, then the fields of the event. Our own
//! crates log at the level asked for; the crates below them only from warnings up, or a debug log
//! would be mostly HTTP/2 frames.

use std::{fmt, time::Duration};

use reseed_rt::clock;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use super::flags::{Log, LogFormat, LogOutput};

/// Starts to log for this process.
pub(crate) fn start(log: Log) {
    // Every crate of ours has a name that starts so.
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("reseed", LevelFilter::from_level(log.level));
    let layer = tracing_subscriber::fmt::layer().event_format(Zap(log.format));
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only if something else has started to log first; its log then stands.
    match log.output {
        LogOutput::Stderr => registry.with(layer.with_writer(std::io::stderr)).try_init().ok(),
        LogOutput::Stdout => registry.with(layer.with_writer(std::io::stdout)).try_init().ok(),
    };
}

#[derive(Clone, Copy, Debug)]
struct Zap(LogFormat);

impl<S, N> FormatEvent<S, N> for Zap
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line { at: clock::wall(), metadata: event.metadata(), fields };
        writeln!(writer, "{}", line.render(self.0))
    }
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        // zap's fields have dashes where Rust's have underscores.
        self.others.insert(field.name().replace('_', "-"), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.put(field, format!("{value:?}").into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            _ => self.put(field, value.into()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

struct Line<'a> {
    at: Duration,
    metadata: &'a Metadata<'a>,
    fields: Fields,
}

impl Line<'_> {
    fn render(&self, format: LogFormat) -> String {
        let level = level_name(*self.metadata.level());
        let (at, caller, message) = (timestamp(self.at), self.caller(), &self.fields.message);
        match format {
            LogFormat::Json => {
                let mut line = format!(
                    "{{\"level\":\"{level}\",\"ts\":\"{at}\",\"caller\":{},\"msg\":{}",
                    Value::from(caller),
                    Value::from(message.as_str())
                );
                for (name, value) in &self.fields.others {
                    line += &format!(",{}:{value}", Value::from(name.as_str()));
                }
                line + "}"
            }
            LogFormat::Console => {
                let fields = match self.fields.others.is_empty() {
                    true => String::new(),
                    false => format!("\t{}", Value::Object(self.fields.others.clone())),
                };
                format!("{at}\t{level}\t{caller}\t{message}{fields}")
            }
        }
    }

    /// `folder/file.rs:line`, as zap.
    fn caller(&self) -> String {
        let file = self.metadata.file().unwrap_or("unknown");
        let parts: Vec<&str> = file.rsplit('/').take(2).collect();
        let short = parts.into_iter().rev().collect::<Vec<_>>().join("/");
        format!("{short}:{}", self.metadata.line().unwrap_or(0))
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        _ => "debug",
    }
}

/// `2026-11-21T07:53:26.968123Z` for a time since the Unix epoch.
fn timestamp(at: Duration) -> String {
    let secs = at.as_secs();
    let (year, month, day) = date_of(secs / 86_400);
    let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    let micros = at.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Year, month and day, so many days after 1970-01-01. Counts in eras of 400 years that begin on a
/// first of March, so that the leap day is the last of its year.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_795_247_606, "2026-11-21T07:53:26.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(timestamp(Duration::from_secs(secs)), expected);
        }
        assert_eq!(timestamp(Duration::from_micros(7)), "1970-01-01T00:00:00.000007Z");
    }
}
