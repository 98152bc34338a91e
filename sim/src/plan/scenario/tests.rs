//! What scenario files may say, and that plans keep to it.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use super::{Scenario, schema};
use crate::plan::{Plan, Role};

fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios")).join(path)
}

/// Every scenario of the repository, with its path.
fn scenarios() -> Vec<(PathBuf, Scenario)> {
    let dirs = fs::read_dir(repository("")).expect("the repository has scenarios");
    let dirs = dirs.map(|entry| entry.expect("readable").path()).filter(|path| path.is_dir());
    let files = dirs.flat_map(|dir| fs::read_dir(dir).expect("readable"));
    let files = files.map(|entry| entry.expect("readable").path());
    let files = files.filter(|path| path.extension().is_some_and(|word| word == "toml"));
    let parse = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable");
        let scenario = Scenario::parse(&text);
        let scenario = scenario.unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        (path, scenario)
    };
    files.map(parse).collect()
}

#[test]
fn the_scenarios_of_the_repository_are_valid_and_have_names_of_their_own() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 5);
    let names: BTreeSet<_> = scenarios.iter().map(|(_, scenario)| &scenario.name).collect();
    assert_eq!(names.len(), scenarios.len());
    for (path, scenario) in &scenarios {
        // A planted bug that nothing is expected of would make every run a failure.
        let planted = !scenario.planted.is_empty();
        assert!(!planted || scenario.expect.violation.is_some(), "{}", path.display());
    }
}

#[test]
fn the_schema_of_the_repository_is_the_one_of_the_tables() {
    let stored = fs::read_to_string(repository("schema.json")).expect("there is a schema");
    assert!(stored == schema(), "cargo sim list schema > scenarios/schema.json");
}

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(&format!("version = 2\nname = \"x\"\n{text}"))
}

fn refused(text: &str) -> String {
    parse(text).expect_err("refused")
}

#[test]
fn a_misspelt_word_is_refused_with_a_suggestion() {
    for (text, suggestion) in [
        ("[faults]\npower_cuts = 3\n", "power_cut"),
        ("[limits.fired]\nbitrot = 1\n", "bit_rot"),
        ("[knobs]\nsnapshot_cuont = 3\n", "snapshot_count"),
        ("[roles]\nwatchers = 3\n", "watcher"),
        ("[how]\ndisc_op = 3\n", "disk_op"),
        ("[load]\nkeys = { loguniform = [1, 3] }\n", "log_uniform"),
        ("planted = [\"AckBeforeSink\"]\n", "AckBeforeSync"),
        ("planted = [\"ack-befor-sync\"]\n", "ack-before-sync"),
        ("[expect]\nviolation = \"durable.lots\"\n", "durable.lost"),
        ("[[fault]]\nat = 3\nkind = \"power_cutt\"\n", "power_cut"),
        ("[[fault]]\nat = 3\nkind = \"power_cut\"\nmember = 0\ndown = 3\nups = 1\n", "at"),
    ] {
        let error = refused(text);
        let said = error.ends_with(&format!("did you mean `{suggestion}`?"));
        assert!(said || suggestion == "at" && error.contains("no key `ups`"), "{error}");
    }
    assert!(refused("[expect]\nviolation = \"no.such\"\n").contains("no class `no.such`"));
    assert!(!refused("[faults]\nearthquake = 3\n").contains("did you mean"));
}

#[test]
fn nonsense_is_refused() {
    for (text, why) in [
        ("[load]\nkeys = [5, 2]\n", "load.keys: [5, 2] is empty"),
        ("[load]\nkeys = 0\n", "load.keys: 0 to 0 is not within 1"),
        ("[load]\nkeys = [1, 2, 3]\n", "a range has two ends"),
        ("[load]\nthink_max_millis = { log_uniform = [0, 2] }\n", "begins at 1"),
        ("[roles]\nregister = 0\n", "all weights are zero"),
        ("[faults]\nstop = [0, 100000]\n", "faults.stop"),
        ("[how]\ndown_millis = -1\n", "how.down_millis"),
        ("[swarm]\nomit_percent = 101\n", "swarm.omit_percent"),
        ("members = 8\n", "not within 1 to 7"),
        ("members = 3\nfounders = [1, 4]\n", "not within 1 to 3"),
    ] {
        let error = refused(text);
        assert!(error.contains(why), "{error}");
    }
    assert!(Scenario::parse("version = 1\nname = \"x\"").is_err());
}

#[test]
fn a_plan_stays_within_its_scenario_and_depends_on_the_seed_alone() {
    let text = "[load]\nkeys = [3, 5]\nclients = 4\nseconds = 10\n[faults]\npower_cut = 2\n\
                bit_rot = [1, 3]\n[knobs]\nsnapshot_count = { log_uniform = [5, 50] }\n";
    let scenario = parse(text).expect("valid");
    for seed in 0..200 {
        let plan = Plan::draw(&scenario, seed);
        assert!((3..=5).contains(&plan.load.keys));
        assert!((5..=50).contains(&plan.knobs.snapshot_count));
        assert_eq!(plan.clients.len(), 4);
        assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
        assert!(plan.faults.iter().all(|fault| fault.at < Duration::from_secs(10)));
        let count = |name| plan.faults.iter().filter(|one| one.kind.name() == name).count();
        assert_eq!(count("power_cut"), 2);
        assert!((1..=3).contains(&count("bit_rot")));
        assert_eq!(plan, Plan::draw(&scenario, seed));
        let file = serde_json::to_string(&plan).expect("plain data");
        assert_eq!(plan, serde_json::from_str(&file).expect("its own file"));
    }
}

#[test]
fn one_thing_more_to_draw_moves_nothing_else() {
    let few = parse("[faults]\npower_cut = [1, 9]\n").expect("valid");
    let text = "[faults]\npower_cut = [1, 9]\nstop = 3\n[knobs]\nmax_txn_ops = [1, 99]\n";
    let more = parse(text).expect("valid");
    for seed in 0..50 {
        let (few, mut more) = (Plan::draw(&few, seed), Plan::draw(&more, seed));
        more.faults.retain(|fault| fault.kind.name() == "power_cut");
        more.knobs.max_txn_ops = few.knobs.max_txn_ops;
        assert_eq!(few, more);
    }
}

#[test]
fn a_swarm_leaves_out_features_by_the_seed() {
    let text = "[swarm]\nomit_percent = 50\n[roles]\nregister = 1\nlease = 1\nbank = 1\n\
                [faults]\npower_cut = 1\nstop = 1\n";
    let scenario = parse(text).expect("valid");
    let plans: Vec<_> = (0..400).map(|seed| Plan::draw(&scenario, seed)).collect();
    let share = |has: &dyn Fn(&Plan) -> bool| plans.iter().filter(|plan| has(plan)).count();
    let cut = share(&|plan| plan.faults.iter().any(|fault| fault.kind.name() == "power_cut"));
    let usual = share(&|plan| plan.knobs.snapshot_count == 10_000);
    let banks = share(&|plan| plan.clients.contains(&Role::Bank));
    for (what, count) in [("cut", cut), ("usual", usual), ("banks", banks)] {
        assert!((120..280).contains(&count), "{what}: {count}");
    }
    assert!(plans.iter().all(|plan| !plan.clients.is_empty()));
}
