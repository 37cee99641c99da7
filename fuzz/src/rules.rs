//! Rule files: any text loads or is refused with words that fit on a line, and what loads means the same compiled as
//! read.

use nsgwatch::classifier::Policy;
use nsgwatch::flow::Direction;
use nsgwatch::nsg::evaluate;
use nsgwatch::nsg::load::{
    LoadError, Loaded, SourceFile, Sources, Unresolved, check as check_files, load,
};

use super::bytes::Bytes;

/// Packets that are judged by every set of rules.
const PACKETS: usize = 8;

/// The first byte says what the file is given as, then come the packets, the rest is the text.
pub fn check(input: &[u8]) {
    let mut bytes = Bytes(input);
    let choice = bytes.u8();
    let mut packets = Bytes(bytes.take(64));
    // What is no text is refused before a loader sees it.
    let Ok(text) = str::from_utf8(bytes.0) else { return };
    let name = if choice & 0x80 == 0 { "rules.json" } else { "rules.yaml" };
    let file = SourceFile { name, text, group: None };
    let unresolved = if choice & 0x40 == 0 { Unresolved::Refuse } else { Unresolved::Undecided };
    let sources = sources(choice & 0x3f, file, unresolved);
    if let Err(errors) = check_files(&[file], &Sources { unresolved, ..Sources::default() }) {
        assert_clear(&errors);
    }
    match load(&sources) {
        Err(errors) => assert_clear(&errors),
        Ok(Loaded { rules, warnings }) => {
            for warning in &warnings {
                assert_line(&warning.to_string());
            }
            // Rules that would take too much memory are refused, whatever they mean.
            let Ok(policy) = Policy::compile(rules, 1) else { return };
            for _ in 0..PACKETS {
                let (direction, tuple) = (packets.direction(), packets.tuple());
                let meant = evaluate(policy.rules(), direction, &tuple);
                assert_eq!(policy.classify(direction, &tuple), meant, "{direction:?} {tuple}");
                explained_as_decided(&policy, direction, &tuple);
            }
        }
    }
}

fn explained_as_decided(policy: &Policy, direction: Direction, tuple: &nsgwatch::flow::FiveTuple) {
    let explanation = policy.explain(direction, tuple);
    assert_eq!(explanation.verdict, policy.classify(direction, tuple));
}

fn sources(choice: u8, file: SourceFile<'_>, unresolved: Unresolved) -> Sources<'_> {
    const GROUP: &str = r#"{"name":"nsg","securityRules":[{"name":"r","priority":100,
        "direction":"Inbound","access":"Allow","protocol":"*","sourcePortRange":"*",
        "sourceAddressPrefix":"Storage","destinationPortRange":"*",
        "destinationApplicationSecurityGroups":[{"id":"/subscriptions/s/web"}]}]}"#;
    let known = Some(SourceFile { name: "nsg.json", text: GROUP, group: None });
    let one = Sources {
        virtual_network: vec!["10.0.0.0/16".parse().expect("a prefix")],
        unresolved,
        ..Sources::default()
    };
    match choice % 7 {
        0 => Sources { nic: Some(file), subnet: Some(file), ..one },
        1 => Sources { effective: Some(file), ..one },
        2 => Sources { admin: vec![file], nic: known, ..one },
        3 => Sources { nic: Some(file), parameters: Some(file), ..one },
        4 => Sources { nic: known, interface: Some(file), ..one },
        5 => Sources { nic: known, application_security_groups: vec![file], ..one },
        _ => Sources { nic: known, service_tags: Some(file), ..one },
    }
}

fn assert_clear(errors: &[LoadError]) {
    assert!(!errors.is_empty(), "refused without a reason");
    for error in errors {
        assert!(!error.message.is_empty(), "{error:?}");
        assert_line(&error.to_string());
    }
}

fn assert_line(line: &str) {
    assert!(!line.contains(|character: char| character.is_control()), "{line:?}");
}
