//! Documents tell the truth about the tree: links resolve, and what they name exists.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
            .map(|name| root().join(name))
            .to_vec();
    for folder in ["docs", "docs/adr", "src/patch", "scenarios"] {
        let Ok(entries) = fs::read_dir(root().join(folder)) else { continue };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        let folder = document.parent().expect("a file is in a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            let external = link.contains("://") || path.is_empty();
            if !external && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Paths in backquotes that look like files of ours.
#[test]
fn files_that_documents_name_exist() {
    let mut missing = Vec::new();
    for document in documents() {
        let text = read(&document);
        for (i, name) in text.split('`').enumerate() {
            let ours = ["src/", "docs/", "tests/", "fuzz/", "sim/", "scenarios/"];
            let plain = name.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
            let in_code = i % 2 == 1;
            if in_code && plain && ours.iter().any(|folder| name.starts_with(folder)) {
                let made_later = ["fuzz/found", "fuzz/artifacts", "fuzz/target"];
                let skip = made_later.iter().any(|folder| name.starts_with(folder));
                if !skip && !root().join(name).exists() {
                    missing.push(format!("{}: {name}", document.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_readme_begins_with_its_two_commands() {
    let readme = read(&root().join("README.md"));
    let first: Vec<&str> = readme.split("```").skip(1).step_by(2).take(2).collect();
    assert_eq!(first[0].trim_start_matches("sh").trim(), "cargo run --release");
    assert_eq!(first[1].trim_start_matches("sh").trim(), "./tests/all");
    let ci = read(&root().join(".ci/run"));
    assert!(ci.contains("./tests/all"), ".ci/run runs what the README says");
}

#[test]
fn formats_name_the_numbers_of_the_code() {
    let formats = read(&root().join("docs/formats.md"));
    let version = reseed_core::codec::LOG_ENTRY_VERSION;
    assert!(formats.contains(&format!("| {version} |")), "the log entry's version {version}");
    for table in reseed_core::port::Table::ALL {
        let row = format!("| {} | `{table:?}`", table as u8);
        assert!(formats.contains(&row), "docs/formats.md lacks the row {row}");
    }
}

#[test]
fn every_service_is_in_the_compatibility_table() {
    let compat = read(&root().join("docs/compat.md"));
    let rpc = read(&root().join("src/proto/etcd/rpc.proto"));
    let methods = rpc.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
    let names: Vec<&str> = methods.filter_map(|line| line.split('(').next()).collect();
    assert!(names.len() > 40, "{names:?}");
    let auth = |name: &str| {
        name.starts_with("User") || name.starts_with("Role") || name.starts_with("Auth")
    };
    let unnamed: Vec<_> =
        names.iter().filter(|name| !auth(name) && !compat.contains(**name)).collect();
    assert!(unnamed.is_empty(), "docs/compat.md does not mention {unnamed:?}");
}
