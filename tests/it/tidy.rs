//! The house rules that no compiler checks: sizes, layers, words that must not appear.
//!
//! Each rule is a function from a source file to its offences, and one test that wants none. A rule
//! that hurts is changed here, in a commit that says why. What clippy can see (banned methods and
//! types, function length) is in `clippy.toml`, not here.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file at most.
const FILE_LINES_MAX: usize = 700;
/// Characters of a source line at most.
const LINE_CHARS_MAX: usize = 100;

/// One file of the repository.
struct Source {
    /// From the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The lines with their numbers, comments and the contents of strings taken out.
    fn code(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        (1..).zip(self.text.lines()).map(|(number, line)| (number, without_comment(line)))
    }

    fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }
}

fn without_comment(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => _ = chars.next(),
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            c if !in_string => code.push(c),
            _ => {}
        }
    }
    code
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files with one of these endings, build outputs left out, sorted.
fn files(endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source tree can be listed") {
            let path = entry.expect("the source tree can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let skip = ["target", ".git", "artifacts", "corpus", "default.reseed"];
                if !skip.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(read(&path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let path = path.strip_prefix(root()).expect("below the root");
    Source { path: path.to_string_lossy().replace('\\', "/"), text }
}

fn rust() -> Vec<Source> {
    let found = files(&[".rs"]);
    assert!(found.len() > 20, "only {} source files found", found.len());
    found
}

/// Fails with every offence, so that one run shows them all.
fn expect_none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}

fn offences<'a, I: Iterator<Item = String> + 'a>(
    sources: &'a [Source],
    rule: impl Fn(&'a Source) -> I,
) -> Vec<String> {
    sources
        .iter()
        .flat_map(|s| rule(s).map(move |offence| format!("{}:{offence}", s.path)))
        .collect()
}

/// Lines of code that contain one of `words`.
fn containing(source: &Source, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, code) in source.code() {
        for word in words {
            if contains_word(&code, word) {
                found.push(format!("{number}: {word}"));
            }
        }
    }
    found
}

/// Whether `word` stands in `code` and is not part of a longer name.
fn contains_word(code: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open = |edge: Option<char>, own: Option<char>| {
            !(edge.is_some_and(part_of_name) && own.is_some_and(part_of_name))
        };
        open(before, word.chars().next()) && open(after, word.chars().next_back())
    })
}

#[test]
fn files_and_lines_are_short() {
    expect_none(offences(&rust(), |source| {
        let lines = source.text.lines().count();
        let long = (lines > FILE_LINES_MAX).then(|| format!("1: {lines} lines")).into_iter();
        // Text that is quoted may be as long as it is; the code around it may not.
        let width = |line: &str| match line.trim_start().starts_with("//") {
            true if line.contains("://") => 0,
            true => line.chars().count(),
            false => without_comment(line).trim_end().chars().count(),
        };
        let lines = (1..).zip(source.text.lines()).map(move |(number, l)| (number, width(l)));
        let wide = lines.filter(|(_, width)| *width > LINE_CHARS_MAX);
        long.chain(wide.map(|(number, width)| format!("{number}: {width} wide")))
    }));
}

#[test]
fn every_file_says_what_it_is_for() {
    expect_none(offences(&rust(), |source| {
        let essay = source.text.starts_with("//! ");
        (!essay).then(|| "1: does not start with `//!`".to_owned()).into_iter()
    }));
}

#[test]
fn simulation_is_known_to_the_seam_only() {
    let seam = ["src/rt/", "src/patch/getrandom/", "sim/", "tests/it/tidy.rs"];
    expect_none(offences(&rust(), |source| {
        let found = if source.is_in(&seam) { Vec::new() } else { containing(source, &["madsim"]) };
        found.into_iter()
    }));
}

#[test]
fn the_world_is_reached_through_rt_only() {
    let words = [
        "tokio::spawn",
        "tokio::time",
        "tokio::net",
        "tokio::fs",
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "std::thread",
        "std::time::Instant",
        "std::time::SystemTime",
        "thread_rng",
        "rand::rng",
        "rand::random",
        "HashMap",
        "HashSet",
        "unbounded_channel",
    ];
    // The command line's terminal side, tests of sockets and disks, and the simulator's own runner
    // are outside the simulated world; patch crates are somebody else's API.
    let free = ["src/rt/", "src/patch/", "src/cli/", "src/main.rs", "tests/", "sim/", "fuzz/"];
    let free = [&free[..], &["src/proto/build.rs", "src/storage/examples/"]].concat();
    expect_none(offences(&rust(), |source| {
        let is_test = source.path.ends_with("/tests.rs") || source.path.contains("/tests/");
        let skip = source.is_in(&free) || is_test;
        if skip { Vec::new() } else { containing(source, &words) }.into_iter()
    }));
}

#[test]
fn every_select_is_biased() {
    expect_none(offences(&rust(), |source| {
        let mut found = Vec::new();
        let lines: Vec<&str> = source.text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let opens = without_comment(line).contains("select! {");
            let next = lines.get(i + 1).map_or("", |l| l.trim());
            if opens && !line.contains("biased;") && !next.starts_with("biased;") {
                found.push(format!("{}: select! without biased", i + 1));
            }
        }
        found.into_iter()
    }));
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    expect_none(offences(&rust(), |source| {
        let mut found = containing(source, &words);
        if source.path != "tests/it/tidy.rs" {
            let notes = (1..).zip(source.text.lines());
            let notes = notes.filter(|(_, l)| l.contains("FIXME") || l.contains("TODO"));
            found.extend(notes.map(|(number, _)| format!("{number}: a note for later")));
        }
        found.into_iter()
    }));
}

#[test]
fn no_file_has_a_name_without_an_idea() {
    let vague = ["utils", "util", "helpers", "helper", "common", "misc", "manager"];
    expect_none(offences(&rust(), |source| {
        let stem = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        vague.contains(&stem).then(|| format!("1: `{stem}` says nothing")).into_iter()
    }));
}

#[test]
fn tests_do_not_sleep_to_wait_for_something() {
    expect_none(offences(&rust(), |source| {
        let found = match source.path.as_str() {
            // The one place that polls, with a deadline.
            "tests/it/support/wait.rs" => Vec::new(),
            path if path.starts_with("tests/it/") => {
                containing(source, &["thread::sleep", "time::sleep"])
            }
            _ => Vec::new(),
        };
        found.into_iter()
    }));
}

/// Which of our crates, and which of others that matter for layering, a crate may name.
const MAY_USE: [(&str, &[&str], &[&str]); 7] = [
    ("src/planted", &[], &["tokio", "raft", "redb", "rand", "hyper"]),
    ("src/proto", &[], &["tokio", "raft", "redb", "rand", "hyper"]),
    (
        "src/core",
        &["reseed-proto", "reseed-planted"],
        &["tokio", "tonic", "raft", "redb", "rand", "hyper", "futures", "parking_lot", "serde"],
    ),
    ("src/rt", &[], &["raft", "redb", "prost"]),
    (
        "src/storage",
        &["reseed-proto", "reseed-core", "reseed-rt", "reseed-planted"],
        &["raft", "tonic", "hyper"],
    ),
    (
        "src/server",
        &["reseed-proto", "reseed-core", "reseed-rt", "reseed-storage", "reseed-planted"],
        &["madsim", "rand", "redb", "clap"],
    ),
    (
        "src/client",
        &["reseed-proto", "reseed-core", "reseed-rt", "reseed-planted"],
        &["madsim", "rand", "raft"],
    ),
];

#[test]
fn crates_depend_downwards_only() {
    let mut found = Vec::new();
    for (folder, ours, never) in MAY_USE {
        for name in dependencies(folder) {
            let up = name.starts_with("reseed-") && !ours.contains(&name.as_str());
            if up || never.contains(&name.as_str()) {
                found.push(format!("{folder}/Cargo.toml: must not depend on {name}"));
            }
        }
    }
    expect_none(found);
}

#[test]
fn only_the_simulator_can_switch_planted_bugs_on() {
    let armed: Vec<String> = files(&["Cargo.toml"])
        .iter()
        .filter(|manifest| manifest.path != "src/planted/Cargo.toml")
        .filter(|manifest| {
            let asks = |line: &str| line.contains("armed") && !line.trim_start().starts_with('#');
            manifest.text.lines().any(asks)
        })
        .map(|manifest| manifest.path.clone())
        .collect();
    assert_eq!(armed, ["sim/Cargo.toml"], "who asks for the feature `armed` of reseed-planted");
    let root = read(&root().join("Cargo.toml"));
    let mut members = root.text.lines().skip_while(|line| !line.starts_with("default-members"));
    assert!(members.next().is_some(), "a plain build is of the default members");
    let default: Vec<&str> = members.take_while(|line| !line.starts_with(']')).collect();
    assert!(default.iter().all(|line| !line.contains("\"sim\"")), "{default:?}");
}

/// The names under `[dependencies]` and `[target.….dependencies]`; tests may use more.
fn dependencies(folder: &str) -> Vec<String> {
    let manifest = read(&root().join(folder).join("Cargo.toml"));
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.text.lines() {
        if line.starts_with('[') {
            let dev = line.contains("dev-") || line.contains("build-");
            inside = line.ends_with("dependencies]") && !dev;
        } else if inside && let Some((name, _)) = line.split_once(['=', '.']) {
            names.push(name.trim().to_owned());
        }
    }
    names
}

/// Parts of the server from the bottom up; a part may use those of earlier rows and its own.
/// A module that is not named here is new: give it a place.
const SERVER_ORDER: [&[&str]; 7] = [
    &["config", "metrics", "identity", "halt", "departure", "sight", "progress", "waiters"],
    &["state"],
    &["raft", "propose", "late", "snapshot"],
    &["peer", "read", "flusher", "quota", "hash"],
    &["membership", "repair", "watch", "lease_clock", "compactor", "corrupt", "auth"],
    &["apply"],
    &["rpc", "http"],
];

#[test]
fn server_modules_use_what_lies_below_them() {
    let row = |module: &str| SERVER_ORDER.iter().position(|row| row.contains(&module));
    let mut found = Vec::new();
    for source in rust().iter().filter(|s| s.path.starts_with("src/server/")) {
        let rest = &source.path["src/server/".len()..];
        let module = rest.split(['/', '.']).next().unwrap_or_default();
        // What assembles the member sees all of it.
        if ["lib", "boot", "node", "tests"].contains(&module) || rest.ends_with("tests.rs") {
            continue;
        }
        let Some(own) = row(module) else {
            found.push(format!("{}: `{module}` has no place in SERVER_ORDER", source.path));
            continue;
        };
        for (number, code) in source.code() {
            for (at, _) in code.match_indices("crate::") {
                let used = &code[at + "crate::".len()..];
                let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let used = used.unwrap_or_default();
                if used != module && row(used).is_some_and(|row| row > own) {
                    found.push(format!("{}:{number}: {module} uses {used}", source.path));
                }
            }
        }
    }
    expect_none(found);
}

#[test]
fn the_changelog_is_ordered_by_effect() {
    let changelog = read(&root().join("CHANGELOG.md"));
    let effects = ["### Safety", "### Behaviour", "### Performance", "### Internals"];
    let headings = (1..).zip(changelog.text.lines()).filter(|(_, l)| l.starts_with("### "));
    let strange = headings.filter(|(_, heading)| !effects.contains(heading));
    expect_none(strange.map(|(number, heading)| format!("{number}: {heading}")).collect());
}

#[test]
fn documents_name_no_machine() {
    let words = ["/work/", "/root/", "/home/"];
    let sources = files(&[".md", ".toml", ".sh", ".rs", ".proto"]);
    expect_none(offences(&sources, |source| {
        let own = source.path == "tests/it/tidy.rs";
        let lines = (1..).zip(source.text.lines());
        let found = lines.filter(move |(_, l)| !own && words.iter().any(|w| l.contains(w)));
        found.map(|(number, line)| format!("{number}: {}", line.trim()))
    }));
}
