//! The one-way rule: reads the `use` lines and paths of every source file and fails on an edge that points back, and
//! on anything in the core that reaches for a clock, a file, a socket or the environment.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may use, in reading order.
const MAY_USE: &[(&str, &[&str])] = &[
    ("flow", &[]),
    ("nsg", &["flow"]),
    ("classifier", &["flow", "nsg"]),
    ("packet", &["flow"]),
    ("flow_table", &["flow"]),
    ("engine", &["flow", "nsg", "classifier", "packet", "flow_table"]),
    ("capture", CORE),
    ("control", CORE),
    ("report", CORE),
    ("config", CORE),
    ("privilege", CORE),
    (
        "daemon",
        &[
            "flow",
            "nsg",
            "classifier",
            "packet",
            "flow_table",
            "engine",
            "capture",
            "control",
            "report",
            "config",
            "privilege",
        ],
    ),
    (
        "replay",
        &["flow", "nsg", "classifier", "packet", "flow_table", "engine", "capture", "report"],
    ),
    (
        "cli",
        &[
            "flow",
            "nsg",
            "classifier",
            "packet",
            "flow_table",
            "engine",
            "capture",
            "control",
            "report",
            "config",
            "privilege",
            "daemon",
            "replay",
        ],
    ),
];
const CORE: &[&str] = &["flow", "nsg", "classifier", "packet", "flow_table", "engine"];

/// What no file of the core may name.
const NOT_IN_THE_CORE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::os",
    "std::net::Tcp",
    "std::net::Udp",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "tokio",
    "nix::",
    "libc::",
    "axum",
    "hyper",
    "tracing",
    "clap",
    "pnet",
    "anyhow",
];

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room a file belongs to: the first part of its path below src.
fn room_of(src: &Path, file: &Path) -> String {
    let below = file.strip_prefix(src).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The code without its comments, its test modules and what only tests use.
fn product_code(file: &Path) -> String {
    if file.file_stem().is_some_and(|stem| stem == "tests") {
        return String::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that a text names by `crate::room`, also within `use crate::{a, b::c}`.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            let mut at_start = true;
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 1 && (letter.is_alphanumeric() || letter == '_') && at_start {
                    word.push(letter);
                } else if depth <= 1 && (letter == ',' || letter == '}') {
                    named.insert(std::mem::take(&mut word));
                    at_start = true;
                } else if !letter.is_whitespace() {
                    at_start = false;
                }
                if depth == 0 {
                    named.insert(std::mem::take(&mut word));
                    break;
                }
            }
        } else {
            named.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    named.remove("");
    named
}

fn all_files() -> (PathBuf, Vec<PathBuf>) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&src, &mut files);
    files.retain(|file| !matches!(room_of(&src, file).as_str(), "lib" | "main"));
    assert!(files.len() > 15, "only {} source files found", files.len());
    (src, files)
}

#[test]
fn data_flows_one_way_through_the_rooms() {
    let (src, files) = all_files();
    let mut wrong = Vec::new();
    for file in &files {
        let room = room_of(&src, file);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{} is in no known room", file.display()));
            continue;
        };
        for named in rooms_named(&product_code(file)) {
            if named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{}: `{room}` may not use `{named}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_no_clock_no_file_no_socket_and_no_environment() {
    let (src, files) = all_files();
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| CORE.contains(&room_of(&src, file).as_str())) {
        let code = product_code(file);
        for word in NOT_IN_THE_CORE {
            let named = |(at, _): (usize, &str)| {
                !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            };
            if code.match_indices(word).any(named) {
                wrong.push(format!("{} names {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_in_the_ring_alone() {
    let (src, files) = all_files();
    let with_unsafe: Vec<_> = files
        .iter()
        .filter(|file| {
            product_code(file).contains("unsafe {") || product_code(file).contains("unsafe fn")
        })
        .filter(|file| {
            !file.starts_with(src.join("capture/ring")) && !file.ends_with("capture/ring.rs")
        })
        .collect();
    assert!(with_unsafe.is_empty(), "{with_unsafe:?}");
}

#[test]
fn every_room_has_a_description() {
    let (_, files) = all_files();
    for file in files.iter().filter(|file| file.file_stem().is_some_and(|stem| stem != "tests")) {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", file.display());
    }
}

#[test]
fn the_guard_sees_both_ways_of_naming_a_room() {
    let named =
        rooms_named("use crate::flow::X; use crate::{nsg::{A, B}, engine, packet::{self, P}};");
    let expected = ["engine", "flow", "nsg", "packet"].map(str::to_owned).into();
    assert_eq!(named, expected);
}
