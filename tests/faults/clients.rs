//! Clients without end, clients that hold on, clients that have no business here.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::agent::{AGENTS_USER, Agent, BINARY, Rules, text};
use super::netns::{VM_INTERFACE, VethPair};
use super::{frame_sender, processor_ticks, resident_kib, send, udp_frame};

/// A user whom nobody knows.
const STRANGER: u32 = 65_533;

const NO_RULES: Rules<'_> = Rules { subnet: None, nic: None };

/// Lets this process have as many files open as the system lets it.
fn open_many_files() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    hard
}

#[test]
fn ten_thousand_clients_at_once_cost_little_and_no_packet() {
    let Some(pair) = VethPair::create() else { return };
    let clients = 10_000.min(usize::try_from(open_many_files()).unwrap_or(0) - 500);
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &[]);
    let before = resident_kib(&agent);
    let mut sender = frame_sender(&pair);
    let mut held = Vec::new();
    for number in 0..clients {
        held.push(UnixStream::connect(agent.socket()).unwrap());
        send(&mut *sender, &udp_frame(u16::try_from(number % 100).unwrap(), 9077));
    }
    let grown = resident_kib(&agent).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB for {clients} clients");
    drop(held);
    agent.wait_until("it answers again", |agent| {
        agent.command("status", &[]).output().unwrap().status.success()
    });
    let counted = agent.status()["clients"].clone();
    let [accepted, refused] = ["accepted", "refused"].map(|kind| counted[kind].as_u64().unwrap());
    assert!(accepted + refused >= clients as u64 && refused > 0, "{counted}");
    let done = agent.stop();
    assert_eq!(done.count("kernel_drops"), 0, "{}", done.summary);
    assert!(done.count("parsed") >= clients as u64, "{}", done.summary);
}

#[test]
fn out_of_file_descriptors_the_agent_neither_spins_nor_dies() {
    let Some(pair) = VethPair::create() else { return };
    let mut agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &[]);
    let pid = agent.pid().to_string();
    // Root may do it to another user's process only with a capability that it has not everywhere; the user may itself.
    let user = nix::unistd::User::from_name(AGENTS_USER).unwrap().unwrap();
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, "--nofile=40:40"])
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}", text(&limited));
    let held: Vec<_> = (0..60).map(|_| UnixStream::connect(agent.socket()).unwrap()).collect();
    thread::sleep(Duration::from_millis(300));
    let before = processor_ticks(&agent);
    thread::sleep(Duration::from_secs(2));
    let ticks = processor_ticks(&agent) - before;
    assert!(ticks <= 20, "{ticks} of 200 hundredths of a second spent on nothing");
    // The packet path needs no file.
    send(&mut *frame_sender(&pair), &udp_frame(40_000, 9077));
    drop(held);
    agent.wait_until("it answers again", |agent| {
        agent.command("status", &[]).output().unwrap().status.success()
    });
    let done = agent.stop();
    assert!(done.records.iter().any(|record| record["destination.port"] == 9077));
    assert!(done.stderr.contains("can not accept a client"), "{}", done.stderr);
}

#[test]
fn a_stranger_is_refused_by_the_socket_itself() {
    let Some(pair) = VethPair::create() else { return };
    let agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &[]);
    let folder = agent.path("");
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.join("nsgwatch");
    // By another process: a file that this one has open for writing could be inherited by a child of another test.
    assert!(Command::new("cp").arg(BINARY).arg(&program).status().unwrap().success());
    let before = agent.status()["clients"]["accepted"].as_u64().unwrap();
    let stranger = Command::new(program)
        .args(["status", "--socket"])
        .arg(agent.socket())
        .uid(STRANGER)
        .gid(STRANGER)
        .output()
        .unwrap();
    assert!(!stranger.status.success(), "{}", text(&stranger));
    assert!(text(&stranger).contains("ermission"), "{}", text(&stranger));
    // Only this question came in between.
    assert_eq!(agent.status()["clients"]["accepted"], before + 1);
    agent.stop();
}

#[test]
fn a_client_that_sends_without_end_is_let_go_and_others_are_answered() {
    let Some(pair) = VethPair::create() else { return };
    let agent = Agent::start(&pair, VM_INTERFACE, &NO_RULES, &[]);
    let before = resident_kib(&agent);
    let mut endless = UnixStream::connect(agent.socket()).unwrap();
    endless.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let sent = (0..100_000).find(|_| endless.write_all(&[b'x'; 1024]).is_err());
    assert!(sent.is_some(), "100 MB of nothing were taken in");
    let mut answer = Vec::new();
    // A refusal, or nothing at all where the connection was reset.
    let _reset = endless.read_to_end(&mut answer);
    agent.status();
    let grown = resident_kib(&agent).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB");
    agent.stop();
}
