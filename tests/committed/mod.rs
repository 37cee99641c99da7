//! Files that are generated and committed: a test fails where one is not what the program makes now.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The variable that makes these tests write the files in place of comparing them.
pub const RENEW: &str = "NSGWATCH_RENEW_GOLDEN";

pub fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Compares a text with a committed file, or writes that file where the variable says so.
pub fn assert_is(below: &str, text: &str) {
    let path = path(below);
    if std::env::var_os(RENEW).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let first = committed.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        committed == text,
        "{below} is not what is made now; if that is meant, run the tests with {RENEW}=1.\nFirst difference: \
         {first:#?}\nNow:\n{text}"
    );
}
