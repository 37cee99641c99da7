//! `nsgwatch top` on a real terminal, which tmux is: 80 columns, 24 lines, keys, the agent's absence, and the way back
//! to the shell. Needs root and tmux; skipped with a note without them, and never skipped where
//! `NSGWATCH_REQUIRE_PRIVILEGED` is set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod netns;

use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use agent::{Agent, BINARY, Rules, group, rule};
use netns::{OUTSIDE_V4, Side, VM_INTERFACE, VM_V4, VethPair, skip};

/// A terminal with a shell that runs one command and then says how it ended.
struct Screen {
    folder: TempDir,
}

impl Screen {
    fn start(command: &str) -> Self {
        let screen = Self { folder: tempfile::tempdir().unwrap() };
        let script = format!(
            "echo $$ > {}; {command}; echo ENDED $?; stty -a | grep -o '[ -]icanon'; sleep 60",
            screen.pid_file().display()
        );
        let started =
            screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &script]);
        assert!(started.status.success(), "{started:?}");
        screen
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("shell.pid")
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.env("LC_ALL", "C.UTF-8").env_remove("TMUX").arg("-S");
        tmux.arg(self.folder.path().join("tmux")).arg("-u").args(arguments).output().unwrap()
    }

    fn press(&self, key: &str) {
        assert!(self.tmux(&["send-keys", key]).status.success());
    }

    fn text(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, words: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let text = self.text();
            if text.contains(words) {
                return text;
            }
            assert!(Instant::now() < deadline, "no `{words}` on the screen:\n{text}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The program that the shell runs.
    fn program(&self) -> u32 {
        let shell = std::fs::read_to_string(self.pid_file()).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        std::fs::read_to_string(children).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn has_tmux() -> bool {
    let found = Command::new("tmux").arg("-V").output().is_ok();
    found || skip("tmux is not installed")
}

fn top(socket: &Path) -> String {
    format!("{BINARY} top --socket {}", socket.display())
}

fn deny(pair: &VethPair, port: u16) {
    pair.inside(Side::Outside, move || {
        let socket = UdpSocket::bind((OUTSIDE_V4, 40_000)).unwrap();
        socket.send_to(b"x", (VM_V4, port)).unwrap();
    });
}

#[test]
fn the_screen_shows_denies_explains_them_and_waits_for_an_agent_that_is_away() {
    if !has_tmux() {
        return;
    }
    let Some(pair) = VethPair::create() else { return };
    let links = tempfile::tempdir().unwrap();
    let socket = links.path().join("agent.sock");
    let screen = Screen::start(&top(&socket));
    screen.wait_for("AGENT AWAY");

    let nic = group("nic-nsg", &[rule("allow-dns", 100, "Inbound", "Allow", "Udp", "53")]);
    let rules = Rules { subnet: None, nic: Some(&nic) };
    let mut agent =
        Agent::start(&pair, VM_INTERFACE, &rules, &["--virtual-network", "10.0.0.0/16"]);
    symlink(agent.socket(), &socket).unwrap();
    screen.wait_for("rules rev 1");
    deny(&pair, 4711);
    deny(&pair, 53);
    agent.wait_for_flows(2);
    let text = screen.wait_for("udp  10.77.0.2:40000 -> 10.77.0.1:4711  DenyAllInBound");
    for words in ["nsgwatch  vm0", "rules by hits", "newest denies", "kernel drops 0", "? help"] {
        assert!(text.contains(words), "no `{words}` on the screen:\n{text}");
    }
    screen.wait_for("1        in  nic    Allow  100   allow-dns");

    screen.press("/");
    screen.press("4711");
    screen.press("Enter");
    screen.wait_for("newest denies with `4711`");
    screen.press("Enter");
    screen.wait_for("nearest Allow");
    screen.press("x");
    screen.press("?");
    screen.wait_for("explain the marked flow");
    screen.press("x");
    screen.press("p");
    screen.wait_for("PAUSED");

    agent.stop();
    screen.wait_for("AGENT AWAY");
    screen.press("q");
    let text = screen.wait_for("icanon");
    assert!(text.contains("ENDED 0") && text.contains(" icanon"), "{text}");
    assert!(!text.contains("AGENT AWAY"), "the screen is given back:\n{text}");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    if !has_tmux() {
        return;
    }
    let screen = Screen::start(&top(Path::new("/nowhere/agent.sock")));
    screen.wait_for("AGENT AWAY");
    let program = nix::unistd::Pid::from_raw(screen.program().try_into().unwrap());
    nix::sys::signal::kill(program, nix::sys::signal::Signal::SIGTERM).unwrap();
    let text = screen.wait_for("icanon");
    assert!(text.contains("ENDED 0") && text.contains(" icanon"), "{text}");
    assert!(!text.contains("AGENT AWAY"), "the screen is given back:\n{text}");
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let output = Command::new(BINARY).arg("top").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nsgwatch observe"));
}
