//! Real Azure data, which does not belong to this project: skipped loudly where it is not at hand.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nsgwatch::nsg::load::{Format, parse_groups, service_tag_file};

fn shared(path: &str) -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = manifest
        .ancestors()
        .map(|folder| folder.join("shared/azure").join(path))
        .find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: shared/azure/{path} is not here");
    }
    found
}

/// Files of the real kind that Azure would refuse, and the words of the reason. Two were changed by hand by their
/// authors into something Azure does not take.
const REFUSED: [(&str, Option<&str>, &str); 2] = [
    ("batfish-NetworkSecurityGroupTest.json", None, "names are unique in a group"),
    (
        "batfish-test-nsg-vm2.json",
        Some("SecurityRuleInvalidPriority"),
        "`5` is not a number from 100 to 4096",
    ),
];

#[test]
fn every_recorded_group_loads_or_is_refused_for_a_documented_reason() {
    let Some(folder) = shared("nsg/rest") else { return };
    let mut groups = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let outcome = parse_groups(&name, &text, Format::Json);
        match REFUSED.iter().find(|(file, ..)| *file == name) {
            None => {
                let parsed = outcome.unwrap_or_else(|errors| panic!("{errors:#?}"));
                assert_eq!(parsed.warnings, [], "{name}");
                for loaded in &parsed.groups {
                    let defaults = loaded.group.rules.iter().filter(|rule| rule.is_default).count();
                    assert_eq!(defaults, 6, "{name}");
                    assert!(loaded.group.rules.iter().all(|rule| rule.id.is_some()), "{name}");
                }
                groups += parsed.groups.len();
            }
            Some((_, code, words)) => {
                let errors = outcome.expect_err(&name);
                assert_eq!(errors.len(), 1, "{errors:#?}");
                assert_eq!(errors[0].code, *code);
                assert!(errors[0].to_string().contains(words), "{}", errors[0]);
            }
        }
    }
    assert!(groups >= 7, "only {groups} groups");
}

#[test]
fn every_published_tag_can_be_read_and_one_tag_is_read_quickly() {
    let Some(path) = shared("servicetags/ServiceTags_Public_20251109.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let none = std::collections::BTreeSet::new();
    let names = service_tag_file::parse("tags", &text, &none).unwrap().names;
    assert_eq!(names.len(), 3041);
    let all = names.iter().map(ToString::to_string).collect();
    let found = service_tag_file::parse("tags", &text, &all).unwrap().found;
    assert_eq!(found.len(), 3041);
    let empty: Vec<&String> =
        found.iter().filter(|(_, set)| set.is_empty()).map(|(name, _)| name).collect();
    assert!(empty.is_empty(), "{empty:?}");
    let eastus = &found["storage.eastus"];
    assert!(eastus.contains("20.38.98.100".parse().unwrap()));

    let one = ["Storage.EastUS".to_owned()].into();
    let start = Instant::now();
    let tags = service_tag_file::parse("tags", &text, &one).unwrap();
    eprintln!("one tag of {} bytes in {:?}", text.len(), start.elapsed());
    assert_eq!(tags.found.len(), 1);
    if !cfg!(debug_assertions) {
        assert!(start.elapsed().as_millis() < 100);
    }
}
