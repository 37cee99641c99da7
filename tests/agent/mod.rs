//! The agent as a child process: started with its own socket, output and rule files in a folder of its own, asked
//! through its own command line, ended by SIGTERM.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this module")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::netns::{Side, VethPair};

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_nsgwatch");

/// Whom the agent becomes where root runs the tests.
pub const AGENTS_USER: &str = "nobody";

/// A running agent; killed if it is dropped without having been stopped.
pub struct Agent {
    child: Child,
    folder: TempDir,
}

/// What an agent left behind.
pub struct Finished {
    pub summary: Value,
    pub records: Vec<Value>,
    pub stderr: String,
}

/// Rule files for one agent.
pub struct Rules<'a> {
    pub subnet: Option<&'a Value>,
    pub nic: Option<&'a Value>,
}

impl Agent {
    /// Starts the agent in the VM's namespace and waits until it answers.
    pub fn start(pair: &VethPair, interface: &str, rules: &Rules<'_>, more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), pair, interface, rules, more)
    }

    /// Starts it in a folder that is prepared for what the test is about.
    pub fn start_in(
        folder: TempDir,
        pair: &VethPair,
        interface: &str,
        rules: &Rules<'_>,
        more: &[&str],
    ) -> Self {
        let mut command = pair.command_in(Side::Vm, BINARY);
        command.args(["run", "--interface", interface, "--format", "json"]);
        for (option, name, group) in
            [("--subnet-nsg", "subnet.json", rules.subnet), ("--nic-nsg", "nic.json", rules.nic)]
        {
            let path = folder.path().join(name);
            match group {
                Some(group) => {
                    fs::write(&path, group.to_string()).unwrap();
                    command.arg(option).arg(path);
                }
                None => {
                    command.args([option, "none"]);
                }
            }
        }
        command.args(more);
        Self::spawn(command, folder)
    }

    /// Starts the agent with a configuration file that names the interfaces and the rules.
    pub fn start_with_config(pair: &VethPair, config: &Path) -> Self {
        let mut command = pair.command_in(Side::Vm, BINARY);
        command.args(["run", "--format", "json", "--config"]).arg(config);
        Self::spawn(command, tempfile::tempdir().unwrap())
    }

    fn spawn(mut command: Command, folder: TempDir) -> Self {
        if nix::unistd::geteuid().is_root() {
            command.args(["--user", AGENTS_USER]);
            give_to_the_agent(folder.path());
        }
        command.arg("--socket").arg(folder.path().join("agent.sock"));
        command.arg("--output").arg(folder.path().join("flows.jsonl"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(fs::File::create(folder.path().join("stderr")).unwrap());
        let mut agent = Self { child: command.spawn().unwrap(), folder };
        agent.wait_until("it answers", |agent| {
            if let Some(status) = agent.child.try_wait().unwrap() {
                panic!("the agent ended with {status}: {}", agent.stderr());
            }
            agent.command("status", &[]).output().unwrap().status.success()
        });
        agent
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("agent.sock")
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// A client command that asks this agent.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg(name).arg("--socket").arg(self.socket()).args(arguments);
        command
    }

    pub fn ask(&self, name: &str, arguments: &[&str]) -> Value {
        let output = self.command(name, arguments).args(["-o", "json"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn status(&self) -> Value {
        self.ask("status", &[])
    }

    /// Waits until the agent has seen so many packets that open or continue flows.
    pub fn wait_for_flows(&mut self, flows: u64) {
        self.wait_until("the flows are there", |agent| {
            agent.status()["interfaces"][0]["engine"]["flows"]["created"].as_u64().unwrap() >= flows
        });
    }

    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < deadline, "waited too long until {what}: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the agent and reads what it wrote. Asserts the balance of the counters, in every test that runs it.
    pub fn stop(self) -> Finished {
        let finished = self.stop_with_losses();
        finished.assert_balance();
        finished
    }

    /// Ends the agent and reads what it wrote, where flows or records are lost on purpose: what balances then is
    /// for the test to say. The balance of frames always holds.
    pub fn stop_with_losses(mut self) -> Finished {
        self.signal(Signal::SIGTERM);
        let mut stdout = self.child.stdout.take().unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.stderr());
        assert!(!self.socket().exists(), "the socket was left behind");
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let records = read_records(&self.path("flows.jsonl"));
        let finished = Finished { summary, records, stderr: self.stderr() };
        finished.assert_balance_of_frames();
        finished
    }

    /// Ends the agent without any chance to write; returns its folder.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Gives a folder and what is in it to the user whom the agent becomes where root starts it.
pub fn give_to_the_agent(folder: &Path) {
    let user = nix::unistd::User::from_name(AGENTS_USER).unwrap().unwrap();
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in inside.chain([folder.to_owned()]) {
        std::os::unix::fs::lchown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

pub fn read_records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Finished {
    pub fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.summary))
    }

    fn assert_balance_of_frames(&self) {
        let summary = &self.summary;
        assert_eq!(
            self.count("kernel_packets"),
            self.count("parsed") + self.count("skipped") + self.count("kernel_drops"),
            "{summary}"
        );
        assert_eq!(
            self.count("packets"),
            self.count("parsed") + self.count("skipped"),
            "{summary}"
        );
    }

    fn assert_balance(&self) {
        let summary = &self.summary;
        assert_eq!(self.count("records_lost"), 0, "{summary}");
        let expected = 2 * self.count("flows") + self.count("gaps");
        assert_eq!(self.count("records_written"), expected, "{summary}");
        assert_eq!(self.records.len() as u64, self.count("records_written"), "{summary}");
        let sides = ["packets.to_destination", "packets.to_source"];
        let in_flows: u64 =
            self.ends().flat_map(|record| sides.map(|side| record[side].as_u64().unwrap())).sum();
        assert_eq!(in_flows, self.count("parsed"), "{summary}");
    }

    /// The records of ended flows.
    pub fn ends(&self) -> impl Iterator<Item = &Value> {
        self.records.iter().filter(|record| record["event"] == "flow_end")
    }

    /// The two records of the first flow with these fields.
    pub fn first_flow(&self, fields: &Value) -> (&Value, &Value) {
        let meets = |record: &&Value| {
            fields.as_object().unwrap().iter().all(|(name, value)| record[name] == *value)
        };
        let start =
            self.records.iter().filter(meets).find(|it| it["event"] == "flow_start").unwrap();
        let is_its_end = |end: &&Value| {
            end["event"] == "flow_end" && end["source.port"] == start["source.port"] && meets(end)
        };
        (start, self.records.iter().find(is_its_end).unwrap())
    }

    /// The two records of the one flow with these fields.
    pub fn flow(&self, fields: &Value) -> (&Value, &Value) {
        let meets = |record: &&Value| {
            fields.as_object().unwrap().iter().all(|(name, value)| record[name] == *value)
        };
        let found: Vec<&Value> = self.records.iter().filter(meets).collect();
        match found[..] {
            [start, end] if start["event"] == "flow_start" && end["event"] == "flow_end" => {
                (start, end)
            }
            _ => panic!("not one flow with {fields}: {found:#?}\nof {:#?}", self.records),
        }
    }
}

/// A rule as `az network nsg rule show` prints it.
pub fn rule(
    name: &str,
    priority: u16,
    direction: &str,
    access: &str,
    protocol: &str,
    port: &str,
) -> Value {
    json!({
        "name": name, "priority": priority, "direction": direction, "access": access, "protocol": protocol,
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": port,
    })
}

pub fn group(name: &str, rules: &[Value]) -> Value {
    json!({ "name": name, "securityRules": rules })
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
