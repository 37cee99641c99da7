//! What is linked in: every licence, source and crate is one that `deny.toml` lets in. `cargo deny` says the same, and
//! more where it is installed; this needs nothing but cargo.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// An expression of SPDX, as far as crates write them: `OR`, `AND`, parentheses, and the old `/`.
struct Licence<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a BTreeSet<String>,
}

impl Licence<'_> {
    fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
        let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut licence = Licence { words, at: 0, allowed };
        let is_allowed = licence.either();
        assert_eq!(licence.at, licence.words.len(), "can not read `{expression}`");
        is_allowed
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at) == Some(&word);
        self.at += usize::from(is_next);
        is_next
    }

    fn either(&mut self) -> bool {
        let mut holds = self.both();
        while self.takes("OR") {
            holds |= self.both();
        }
        holds
    }

    fn both(&mut self) -> bool {
        let mut holds = self.one();
        while self.takes("AND") {
            holds &= self.one();
        }
        holds
    }

    fn one(&mut self) -> bool {
        if self.takes("(") {
            let holds = self.either();
            assert!(self.takes(")"), "no end of a parenthesis in {:?}", self.words);
            return holds;
        }
        let mut name = self.words[self.at].to_owned();
        self.at += 1;
        if self.takes("WITH") {
            name = format!("{name} WITH {}", self.words[self.at]);
            self.at += 1;
        }
        self.allowed.contains(&name)
    }
}

fn metadata(platform: &str) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The packages that the program is built of, those that only tests use left out.
fn linked_in(metadata: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().unwrap().clone();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (node["id"].as_str().unwrap().to_owned(), node))
        .collect();
    let mut found = BTreeSet::new();
    let mut open = vec![metadata["resolve"]["root"].as_str().unwrap().to_owned()];
    while let Some(id) = open.pop() {
        for dependency in list(&nodes[&id]["deps"]) {
            let is_built_in = list(&dependency["dep_kinds"]).iter().any(|it| it["kind"] != "dev");
            let package = dependency["pkg"].as_str().unwrap().to_owned();
            if is_built_in && found.insert(package.clone()) {
                open.push(package);
            }
        }
    }
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(|package| found.contains(package["id"].as_str().unwrap())).collect()
}

#[test]
fn every_crate_that_is_linked_in_is_one_that_may_be() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let deny: toml::Table = text.parse().unwrap();
    let allowed: BTreeSet<String> = deny["licenses"]["allow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    let banned: BTreeSet<&str> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["crate"].as_str().unwrap())
        .collect();
    assert!(!allowed.is_empty() && !banned.is_empty());
    for platform in PLATFORMS {
        let metadata = metadata(platform);
        let packages = linked_in(&metadata);
        assert!(packages.len() > 50, "only {} crates: what is looked at?", packages.len());
        for package in packages {
            let text = |key: &str| package[key].as_str().unwrap_or_default();
            let (name, licence) = (text("name"), text("license"));
            assert!(Licence::is_allowed(licence, &allowed), "{name}: `{licence}`");
            assert_eq!(text("source"), "registry+https://github.com/rust-lang/crates.io-index");
            assert!(!banned.contains(name), "{name} is banned by deny.toml");
        }
    }
}

#[test]
fn a_licence_must_hold_in_all_its_parts() {
    let allowed: BTreeSet<String> = ["MIT", "Zlib"].map(str::to_owned).into();
    for good in ["MIT", "GPL-3.0 OR MIT", "Apache-2.0/MIT", "(GPL-3.0 OR MIT) AND Zlib"] {
        assert!(Licence::is_allowed(good, &allowed), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH LLVM-exception", "Zlib AND (A OR B)"] {
        assert!(!Licence::is_allowed(bad, &allowed), "{bad}");
    }
}
