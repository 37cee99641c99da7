//! What the documents promise by name is there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("can not read {}: {error}", path.display()))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names of all functions in the sources and the tests.
fn functions() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        for line in read(&file).lines() {
            if let Some((_, rest)) = line.split_once("fn ") {
                let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                names.insert(rest.chars().take_while(|c| name(*c)).collect());
            }
        }
    }
    names
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let functions = functions();
    let text = read(&root().join("THREAT-MODEL.md"));
    let sentences: Vec<&str> = quoted(&text)
        .filter(|word| word.matches('_').count() >= 4 && !word.contains('/'))
        .collect();
    assert!(sentences.len() > 10, "{sentences:?}");
    for name in sentences {
        assert!(functions.contains(name), "there is no test {name}");
    }
}

#[test]
fn every_file_that_the_threat_model_names_exists() {
    let text = read(&root().join("THREAT-MODEL.md"));
    let paths: Vec<&str> = quoted(&text).filter(|word| word.starts_with("tests/")).collect();
    assert!(!paths.is_empty());
    for path in paths {
        assert!(root().join(path).exists(), "there is no {path}");
    }
}

#[test]
fn every_fuzz_target_that_the_threat_model_names_exists() {
    let text = read(&root().join("THREAT-MODEL.md"));
    let manifest = read(&root().join("fuzz/Cargo.toml"));
    let mut named = 0;
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("fuzz target") else { continue };
        let list = rest.split([';', '|']).next().unwrap_or_default();
        for target in quoted(list) {
            named += 1;
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "there is no target {target}"
            );
        }
    }
    assert!(named > 3);
}
