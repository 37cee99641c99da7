//! Rule files that change, vanish and turn into something else while the agent reads them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::agent::{Agent, Rules, group, rule};
use super::netns::{VM_INTERFACE, VethPair};
use super::resident_kib;

const QUESTION: &str = r#"{"direction":"Inbound","protocol":"TCP","localPort":"22","remotePort":"50000","localIPAddress":"10.77.0.1","remoteIPAddress":"203.0.113.9"}"#;

/// Two versions of the rules that answer the question differently.
fn version(number: usize) -> (Value, &'static str, &'static str) {
    let (access, name) = [("Allow", "version-even"), ("Deny", "version-odd")][number % 2];
    (group("nic-nsg", &[rule(name, 100, "Inbound", access, "Tcp", "22")]), access, name)
}

fn put(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Takes away whatever is at the path.
fn clear(path: &Path) {
    if path.is_dir() { fs::remove_dir(path).unwrap() } else { _ = fs::remove_file(path) }
}

/// Puts a thing there that is no rule file, or the next version of the rules.
fn play(path: &Path, turn: usize) {
    clear(path);
    match turn % 8 {
        0 => fs::write(path, &version(0).0.to_string()[..40]).unwrap(),
        1 => nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap(),
        2 => fs::create_dir(path).unwrap(),
        3 => fs::File::create(path).unwrap().set_len(50 << 20).unwrap(),
        4 => {} // gone
        5 => fs::write(path, "").unwrap(),
        _ => put(path, &version(turn).0.to_string()),
    }
}

/// Asks over one connection that is kept.
fn ask(stream: &mut UnixStream) -> Value {
    let length = QUESTION.len();
    write!(
        stream,
        "POST /v1/verify HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{QUESTION}"
    )
    .unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "closed: {}", String::from_utf8_lossy(&answer));
        answer.extend(&part[..length]);
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n")
            && let Ok(body) = serde_json::from_slice(&answer[end + 4..])
        {
            return body;
        }
    }
}

#[test]
fn whatever_becomes_of_the_rule_file_every_answer_is_of_one_whole_version() {
    let Some(pair) = VethPair::create() else { return };
    let first = version(0).0;
    let rules = Rules { subnet: None, nic: Some(&first) };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &[]);
    let path = agent.path("nic.json");
    let mut stream = UnixStream::connect(agent.socket()).unwrap();
    let mut seen: BTreeMap<u64, (Value, Value)> = BTreeMap::new();
    let (mut latest, mut answers) = (0, 0);
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        turn += 1;
        play(&path, turn);
        agent.signal(Signal::SIGHUP);
        let next = begun + Duration::from_millis(10) * u32::try_from(turn).unwrap();
        while Instant::now() < next {
            let answer = ask(&mut stream);
            let revision = answer["policyRevision"].as_u64().unwrap();
            let says = (answer["access"].clone(), answer["ruleName"].clone());
            assert!(
                [0, 1].iter().any(|number| {
                    let (_, access, name) = version(*number);
                    says == (access.into(), format!("securityRules/{name}").into())
                }),
                "neither version: {answer}"
            );
            assert!(revision >= latest, "back from {latest}: {answer}");
            assert_eq!(*seen.entry(revision).or_insert_with(|| says.clone()), says, "{answer}");
            latest = revision;
            answers += 1;
        }
    }
    assert!(answers > 100 && seen.len() > 10, "{answers} answers of {} versions", seen.len());
    clear(&path);
    put(&path, &version(1).0.to_string());
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the last version is in force", |agent| {
        let reload = agent.status()["last_reload"].clone();
        reload["successful"] == true && ask(&mut stream)["access"] == "Deny"
    });
    agent.stop();
}

#[test]
fn after_a_storm_of_hang_ups_the_last_version_is_in_force() {
    let Some(pair) = VethPair::create() else { return };
    let first = version(0).0;
    let rules = Rules { subnet: None, nic: Some(&first) };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &[]);
    let path = agent.path("nic.json");
    let hang_up = |agent: &Agent, count: usize| {
        for number in 0..count {
            if number % 50 == 0 {
                put(&path, &version(number / 50).0.to_string());
            }
            agent.signal(Signal::SIGHUP);
        }
    };
    hang_up(&agent, 1000);
    thread::sleep(Duration::from_millis(300));
    let before = resident_kib(&agent);
    hang_up(&agent, 5000);
    let (last, access, _) = version(1);
    put(&path, &last.to_string());
    agent.signal(Signal::SIGHUP);
    let mut stream = UnixStream::connect(agent.socket()).unwrap();
    agent.wait_until("the last version is in force", |_| ask(&mut stream)["access"] == access);
    let status = agent.status();
    assert_eq!(status["last_reload"]["successful"], true, "{status}");
    let grown = resident_kib(&agent).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    agent.stop();
}
