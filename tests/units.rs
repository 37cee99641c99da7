//! The systemd unit: systemd itself accepts it, and it is as closed as a capturing service can be.

#![expect(clippy::print_stderr, reason = "a test says what it skips")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn systemd_analyze(arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            let required = std::env::var_os("NSGWATCH_REQUIRE_PRIVILEGED").is_some();
            assert!(!required, "systemd-analyze is missing: {error}");
            eprintln!("SKIPPED: systemd-analyze is missing");
            None
        }
    }
}

fn unit() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/nsgwatch.service").display().to_string()
}

#[test]
fn systemd_accepts_the_unit() {
    let root = tempfile::tempdir().unwrap();
    let under = |path: &str| root.path().join(path);
    for folder in ["usr/bin", "usr/lib/systemd", "etc/systemd/system", "bin"] {
        fs::create_dir_all(under(folder)).unwrap();
    }
    for program in ["usr/bin/nsgwatch", "bin/kill"] {
        fs::copy("/bin/true", under(program)).unwrap();
    }
    fs::copy(unit(), under("etc/systemd/system/nsgwatch.service")).unwrap();
    let units = Path::new("/usr/lib/systemd/system");
    if units.exists() {
        let copied =
            Command::new("cp").arg("-a").arg(units).arg(under("usr/lib/systemd")).status().unwrap();
        assert!(copied.success());
    }
    let root = format!("--root={}", root.path().display());
    let Some(output) = systemd_analyze(&["verify", &root, "--man=no", "nsgwatch.service"]) else {
        return;
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !complaints.contains("nsgwatch"), "{complaints}");
}

#[test]
fn the_unit_is_closed_but_for_what_a_capture_needs() {
    let Some(output) = systemd_analyze(&["security", "--offline=yes", "--threshold=12", &unit()])
    else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn in_a_release_a_panic_of_any_thread_ends_the_agent() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    assert_eq!(manifest["profile"]["release"]["panic"].as_str(), Some("abort"));
}

#[test]
fn the_unit_never_sets_what_would_take_the_interface_away() {
    let text = fs::read_to_string(unit()).unwrap();
    for setting in ["PrivateUsers=yes", "PrivateNetwork=yes"] {
        assert!(!text.contains(setting), "{setting} takes CAP_NET_RAW or the interface away");
    }
    assert!(text.contains("CapabilityBoundingSet=CAP_NET_RAW\n"));
    assert!(text.contains("Type=notify\n"));
}
