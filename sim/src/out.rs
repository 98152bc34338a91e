//! What commands print: all of it goes through here, because `… | head` closes the pipe and
//! `println!` panics then.
//!
//! Nobody reads what comes after that, and the command goes on: a swarm still writes its files.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// Prints a line.
pub fn line(text: impl Display) {
    print(&format!("{text}\n"));
}

/// Prints text as it is.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("reseed-sim: cannot print: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn sources(dir: &Path, check: &impl Fn(&Path, &str)) {
        for entry in fs::read_dir(dir).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, check);
            } else {
                check(&path, &fs::read_to_string(&path).expect("text"));
            }
        }
    }

    #[test]
    fn nothing_else_prints() {
        let words = [concat!(" print", "ln!("), concat!(" print", "!(")];
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &|path, text| {
            let found = words.iter().any(|word| text.contains(word));
            assert!(!found, "{} prints around `out`", path.display());
        });
    }
}
