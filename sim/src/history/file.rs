//! Histories as JSON lines, one event a line.

use std::io::{self, BufRead, Write};

use super::Event;

/// Writes a history.
///
/// # Errors
/// Those of `out`.
pub fn write(events: &[Event], out: &mut impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *out, event)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Reads a history back.
///
/// # Errors
/// Of `input`, or `InvalidData` for a line that is no event.
pub fn read(input: impl BufRead) -> io::Result<Vec<Event>> {
    let parse = |line: io::Result<String>| Ok(serde_json::from_str(&line?)?);
    input.lines().map(parse).collect()
}
