//! The web page, used in a real browser as a person would use it, on real traffic.

mod agent;
mod netns;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use self::agent::{Agent, Rules, text};
use self::netns::{OUTSIDE_V4, Side, VM_INTERFACE, VM_V4, VethPair};

const TOKEN: &str = "a-token-of-the-operator-0123456789";
const LISTEN: &str = "127.0.0.1:8053";

#[test]
fn the_page_asks_explains_and_shows_verdicts_as_they_come() {
    let Some(pair) = VethPair::create() else { return };
    let browser = ["chromium", "chromedriver", "python3"];
    if let Some(missing) = browser.iter().find(|program| !is_installed(program)) {
        netns::skip(&format!("{missing} is not installed"));
        return;
    }
    let group = json!({ "name": "web", "properties": { "securityRules": [{
        "name": "deny-discard",
        "properties": {
            "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "Udp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "9",
        },
    }] } });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    agent::give_to_the_agent(folder.path());
    let rules = Rules { subnet: None, nic: Some(&group) };
    let more = ["--listen", LISTEN, "--listen-token-file", token.to_str().unwrap()];
    let mut agent = Agent::start(&pair, VM_INTERFACE, &rules, &more);
    let datagrams = pair.spawn_thread_in(Side::Outside, || {
        let sender = UdpSocket::bind((OUTSIDE_V4, 0)).unwrap();
        for _ in 0..5 {
            sender.send_to(b"x", (VM_V4, 9)).unwrap();
        }
    });
    datagrams.join().unwrap();
    agent.wait_for_flows(1);

    let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page.png");
    let output = pair
        .command_in(Side::Vm, "python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/page.py"))
        .args([format!("http://{LISTEN}/"), TOKEN.into(), screenshot.display().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(fs::metadata(&screenshot).unwrap().len() > 10_000);
    agent.stop();
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    })
}
