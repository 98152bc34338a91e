//! Every file of the fuzzing corpus, former crashers included, through its target.

use std::fs;
use std::path::Path;

#[test]
fn the_corpus_still_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in reseed_fuzz_targets::ALL {
        let folder = corpus.join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{name} has no corpus: {e}"))
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has an empty corpus");
        for file in files {
            let data = fs::read(&file).expect("a corpus file");
            let result = std::panic::catch_unwind(|| target(&data));
            assert!(result.is_ok(), "{} fails on {}", name, file.display());
        }
    }
}

#[test]
fn every_target_has_a_shim() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("fuzz/Cargo.toml");
    for (name, _) in reseed_fuzz_targets::ALL {
        assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).exists(), "no shim for {name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
