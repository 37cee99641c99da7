//! Hostile input: every input that fuzzing ever found something with, and the law of the flow table, without a fuzzer.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[expect(unreachable_pub, reason = "a program of its own, which documents its modules")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use targets::TARGETS;

#[test]
fn every_input_that_once_failed_passes() {
    let regressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    let mut given = 0;
    for folder in fs::read_dir(&regressions).unwrap().map(Result::unwrap) {
        if folder.file_type().unwrap().is_dir() {
            let name = folder.file_name().into_string().unwrap();
            let check = TARGETS.iter().find(|(target, _)| *target == name);
            let (_, check) = check.unwrap_or_else(|| panic!("no target is called {name}"));
            for input in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                check(&fs::read(input.path()).unwrap());
                given += 1;
            }
        }
    }
    assert!(given > 0, "{} is empty", regressions.display());
}

#[test]
fn every_target_is_a_program_that_can_be_fuzzed() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut names: Vec<_> = fs::read_dir(programs)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|(name, _)| name));
}

proptest! {
    #[test]
    fn the_flow_table_equals_a_list_that_does_everything_the_slow_way(
        operations in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        targets::flow_table::check(&operations);
    }
}
