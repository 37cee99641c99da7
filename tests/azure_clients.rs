//! Real clients against a live agent: Azure's own client library, unmodified, over the Unix socket and over the
//! loopback address; and schemathesis, which tries the agent's own routes against their description.
//!
//! The clients come from `PyPI` into an environment of their own below the target folder, once for each list of versions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod netns;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use agent::{Agent, Rules};
use netns::{Side, VM_INTERFACE, VethPair};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const PORT: &str = "18700";
const REQUIREMENTS: &str = include_str!("clients/requirements.txt");

/// Returns the folder with the clients' programs; `None`, said aloud, where they can not be had.
fn clients() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("azure-clients");
    let (programs, stamp) = (folder.join("bin"), folder.join("installed.txt"));
    // Two tests of one run, or two runs, make it once.
    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Some(programs);
    }
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/requirements.txt");
    let made =
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).and_then(|()| {
            run(Command::new(programs.join("pip")).args([
                "install",
                "--quiet",
                "--requirement",
                requirements,
            ]))
        });
    match made {
        Ok(()) => {
            fs::write(&stamp, REQUIREMENTS).unwrap();
            Some(programs)
        }
        Err(reason) => {
            netns::skip(&format!("the clients can not be installed: {reason}"));
            None
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {errors}"))
}

/// An agent in a namespace of its own that listens on both.
struct Listening {
    pair: VethPair,
    agent: Agent,
    _token: tempfile::TempDir,
}

impl Listening {
    fn start() -> Option<Self> {
        let pair = VethPair::create()?;
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, format!("{TOKEN}\n")).unwrap();
        fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        agent::give_to_the_agent(folder.path());
        let rule = |name: &str, priority: u16, properties: Value| {
            let mut all = json!({
                "priority": priority, "sourcePortRange": "*", "sourceAddressPrefix": "*",
                "destinationAddressPrefix": "*", "destinationPortRange": "*", "protocol": "*",
            });
            all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
            json!({ "name": name, "properties": all })
        };
        let nic = json!({ "name": "web", "properties": { "securityRules": [
            rule("https", 100, json!({
                "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
                "destinationPortRange": null, "destinationPortRanges": ["443", "8443"],
            })),
            rule("no-dns", 100, json!({
                "direction": "Outbound", "access": "Deny", "protocol": "Udp", "destinationPortRange": "53",
            })),
        ]}});
        let subnet = json!({ "name": "tier", "properties": { "securityRules": [
            rule("all-in", 200, json!({ "direction": "Inbound", "access": "Allow" })),
        ]}});
        let listen = format!("127.0.0.1:{PORT}");
        let more = ["--listen", &listen, "--listen-token-file", token.to_str().unwrap()];
        let rules = Rules { subnet: Some(&subnet), nic: Some(&nic) };
        let agent = Agent::start(&pair, VM_INTERFACE, &rules, &more);
        Some(Self { pair, agent, _token: folder })
    }
}

/// Direction, protocol, local and remote, as the command line takes them.
const QUESTIONS: [[&str; 6]; 6] = [
    ["Inbound", "TCP", "10.77.0.1", "443", "203.0.113.9", "50000"],
    ["Inbound", "TCP", "10.77.0.1", "22", "203.0.113.9", "*"],
    ["Inbound", "UDP", "10.77.0.1", "53", "10.77.0.2", "5353"],
    ["Outbound", "UDP", "10.77.0.1", "*", "203.0.113.9", "53"],
    ["Outbound", "TCP", "10.77.0.1", "40000", "203.0.113.9", "443"],
    ["Outbound", "TCP", "10.77.0.1", "40000", "172.31.0.100", "443"],
];

/// The lines that the README shows to users, with another socket.
fn program_of_the_readme(socket: &Path) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, program) = readme.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let ours = socket.to_str().unwrap().replace('/', "%2F");
    assert!(program.contains("%2Frun%2Fnsgwatch%2Fnsgwatch.sock"), "{program}");
    program.replace("%2Frun%2Fnsgwatch%2Fnsgwatch.sock", &ours)
}

#[test]
fn azures_client_library_gets_the_answers_of_verify_over_both_listeners() {
    let Some(clients) = clients() else { return };
    let Some(Listening { pair, agent, _token }) = Listening::start() else { return };
    let questions = QUESTIONS.map(|[direction, protocol, local, local_port, remote, remote_port]| {
        json!({
            "direction": direction, "protocol": protocol, "localIPAddress": local, "localPort": local_port,
            "remoteIPAddress": remote, "remotePort": remote_port,
        })
    });
    let output = pair
        .command_in(Side::Vm, clients.join("python").to_str().unwrap())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/azure_sdk.py"))
        .arg(agent.socket())
        .args([
            &format!("http://127.0.0.1:{PORT}"),
            TOKEN,
            &Value::from(questions.to_vec()).to_string(),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verify = QUESTIONS.map(|[direction, protocol, local, local_port, remote, remote_port]| {
        let (local, remote) = (format!("{local}:{local_port}"), format!("{remote}:{remote_port}"));
        let arguments = [
            "--direction",
            direction,
            "--protocol",
            protocol,
            "--local",
            &local,
            "--remote",
            &remote,
        ];
        let answer = agent.ask("verify", &arguments);
        json!({ "access": answer["access"], "ruleName": answer["ruleName"] })
    });
    let readme = pair
        .command_in(Side::Vm, clients.join("python").to_str().unwrap())
        .args(["-c", &program_of_the_readme(&agent.socket())])
        .output()
        .unwrap();
    assert_eq!(agent::text(&readme), "Allow securityRules/https\n");
    for listener in ["unix", "tcp"] {
        let answers = &answers[listener];
        assert_eq!(answers["verdicts"], Value::from(verify.to_vec()), "{listener}");
        let diagnostic = json!([
            { "access": "Deny", "rule": "DefaultRule_DenyAllInBound" },
            { "access": "Allow", "rule": "UserRule_https" },
        ]);
        assert_eq!(answers["diagnostic"], diagnostic, "{listener}");
        let effective = answers["effective"].as_array().unwrap();
        assert_eq!(effective.len(), 7 + 8, "{listener}: {effective:?}");
        assert!(effective.contains(&json!("securityRules/all-in")), "{effective:?}");
        assert_eq!(answers["group"][0], "https");
        assert_eq!(answers["ports"], json!(["443", "8443"]));
        assert_eq!(answers["groups"], json!(["tier", "web"]));
        assert_eq!(answers["missing"], "ResourceNotFound");
    }
    agent.stop();
}

#[test]
fn the_description_of_version_one_holds_under_schemathesis() {
    let Some(clients) = clients() else { return };
    let Some(Listening { pair, agent, _token }) = Listening::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = pair
        .command_in(Side::Vm, clients.join("schemathesis").to_str().unwrap())
        .current_dir(folder.path())
        .args(["run", &format!("http://127.0.0.1:{PORT}/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        // It has no end where that is asked for; tests/observe.rs holds what it promises.
        .args(["--exclude-path", "/v1/observe"])
        .args(["--max-examples", "30", "--seed", "1", "--no-color"])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("passed"), "{report}");
    eprintln!("{}", report.lines().rev().take(12).collect::<Vec<_>>().join("\n"));
    agent.stop();
}
