//! Output that goes away under the agent, and an agent that goes away in the middle of its output.

use std::fs;
use std::io::Write;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::agent::{self, Agent, Rules};
use super::netns::{VM_INTERFACE, VethPair};
use super::{frame_sender, send, udp_frame};

const NO_RULES: Rules<'_> = Rules { subnet: None, nic: None };

#[test]
fn without_its_directory_the_agent_goes_on_and_writes_again_when_it_is_back() {
    let Some(pair) = VethPair::create() else { return };
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    std::os::unix::fs::symlink(logs.join("flows.jsonl"), folder.path().join("flows.jsonl"))
        .unwrap();
    let mut agent = Agent::start_in(folder, &pair, VM_INTERFACE, &NO_RULES, &[]);
    let mut sender = frame_sender(&pair);
    let written = |agent: &Agent| agent.status()["records"]["written"].as_u64().unwrap();
    let mut flows = |agent: &mut Agent, ports: std::ops::Range<u16>| {
        let before = written(agent);
        let count = ports.len() as u64;
        ports.for_each(|port| send(&mut *sender, &udp_frame(port, 9077)));
        agent.wait_until("they are written", |agent| written(agent) >= before + count);
    };
    flows(&mut agent, 0..10);
    fs::remove_dir_all(&logs).unwrap();
    // The old file has no name any more, but takes what comes.
    agent.signal(Signal::SIGHUP);
    flows(&mut agent, 10..20);
    fs::create_dir(&logs).unwrap();
    agent::give_to_the_agent(&logs);
    agent.signal(Signal::SIGHUP);
    agent.wait_until("the file is there", |_| logs.join("flows.jsonl").exists());
    flows(&mut agent, 20..30);
    let done = agent.stop_with_losses();
    assert!(done.stderr.contains("the old record file stays in use"), "{}", done.stderr);
    assert_eq!(done.count("records_lost"), 0, "{}", done.summary);
    assert_eq!(done.count("records_written"), 2 * done.count("flows"), "{}", done.summary);
    let starts = |from: u64, to: u64| {
        let ours =
            |record: &&Value| record["event"] == "flow_start" && record["destination.port"] == 9077;
        let ports =
            done.records.iter().filter(ours).map(|record| record["source.port"].as_u64().unwrap());
        ports.filter(|port| (from..to).contains(port)).count()
    };
    assert_eq!((starts(0, 20), starts(20, 30)), (0, 10), "only what came after is in the new file");
    assert!(done.ends().count() >= 30, "all flows ended in the new file");
}

#[test]
fn killed_again_and_again_the_agent_leaves_whole_lines() {
    let Some(pair) = VethPair::create() else { return };
    let mut folder = tempfile::tempdir().unwrap();
    let mut sender = frame_sender(&pair);
    for round in 0..6_u16 {
        let mut agent = Agent::start_in(folder, &pair, VM_INTERFACE, &NO_RULES, &[]);
        let path = agent.path("flows.jsonl");
        let before = fs::metadata(&path).unwrap().len();
        for port in 0..2000 {
            send(&mut *sender, &udp_frame(port, 9000 + round));
        }
        agent.wait_until("something is written", |_| fs::metadata(&path).unwrap().len() > before);
        std::thread::sleep(Duration::from_millis(u64::from(round) * 7));
        folder = agent.kill();
        // A kill may come in the middle of a write, which nobody can time: so it is made to look as if it had.
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"timestamp":"torn"#).unwrap();
    }
    let mut agent = Agent::start_in(folder, &pair, VM_INTERFACE, &NO_RULES, &[]);
    let path = agent.path("flows.jsonl");
    send(&mut *sender, &udp_frame(1, 9999));
    agent.wait_until("it is written", |_| {
        fs::read_to_string(&path).unwrap().contains("\"destination.port\":9999")
    });
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, "").unwrap();
    let done = agent.stop_with_losses();
    assert_eq!(done.count("records_lost"), 0, "{}", done.summary);
    assert_eq!(done.count("records_written"), 2 * done.count("flows"), "{}", done.summary);
    let (whole, torn): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(torn, [r#"{"timestamp":"torn"#; 6], "only what a kill tore is torn");
    assert!(whole.len() > 600, "{} lines", whole.len());
}
