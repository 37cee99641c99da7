//! The local socket: what it answers, and what it does about clients that ask for too much, too slowly or too often.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use nsgwatch::classifier::Policy;
use nsgwatch::control::server::{Limits, Listen, Server, ServerCounters, Sources};
use nsgwatch::control::watched::Watched;
use nsgwatch::control::{FlowsAnswer, Question};
use nsgwatch::nsg::{AppliedRules, NetworkSecurityGroup, ServiceTags};
use serde_json::Value;
use tempfile::TempDir;

const QUESTION: &str = r#"{"direction":"Inbound","protocol":"TCP","localPort":"22","remotePort":"*",
    "localIPAddress":"10.0.0.4","remoteIPAddress":"203.0.113.9"}"#;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// What all paths of Azure's network resources begin with.
const AZURE: &str = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network";

/// A server in a thread of its own, with a desk that knows no flow and never answers about its status.
struct Running {
    folder: TempDir,
    counters: Arc<ServerCounters>,
    address: SocketAddr,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        fs::write(&token_file, TOKEN).unwrap();
        fs::set_permissions(&token_file, fs::Permissions::from_mode(0o600)).unwrap();
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), token_file };
        let server = Server::bind(&folder.path().join("agent.sock")).unwrap();
        let server = server.listen(&listen).unwrap();
        let address = server.address().unwrap();
        let rules = AppliedRules {
            nic: Some(NetworkSecurityGroup::with_defaults_only("nsg")),
            service_tags: ServiceTags::new(["10.0.0.0/16".parse().unwrap()]),
            ..AppliedRules::default()
        };
        let policy = Arc::new(ArcSwap::from_pointee(Policy::compile(rules, 3).unwrap()));
        let interface = "eth0".to_owned();
        let watched = [Watched { interface, addresses: ArcSwap::default(), policy }].into();
        let (questions, mut asked) = tokio::sync::mpsc::channel(4);
        let counters = Arc::<ServerCounters>::default();
        let sources = Sources { watched, questions, counters: Arc::clone(&counters) };
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut unanswered = Vec::new();
                let serve = server.serve(sources, limits);
                tokio::pin!(serve);
                loop {
                    tokio::select! {
                        failed = &mut serve => panic!("{failed}"),
                        _ = &mut stopped => return,
                        Some(question) = asked.recv() => match question {
                            Question::Flows(query, reply) => {
                                let flows = vec![Value::from(query.limit)];
                                reply.send(FlowsAnswer { more: false, flows }).unwrap();
                            }
                            question => unanswered.push(question),
                        },
                    }
                }
            });
        });
        Self { folder, counters, address, _stop: stop }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends one request as it stands and returns the status line's code and the body.
    fn exchange(&self, request: &str) -> (u16, Value) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut stream)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }
}

fn read_answer(stream: &mut impl Read) -> (u16, Value) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let code = text.split(' ').nth(1).unwrap_or_else(|| panic!("no status line in {text:?}"));
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    (code.parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn verify_answers_with_azures_fields_first() {
    let (code, answer) = Running::start(Limits::default()).post("/v1/verify", QUESTION);
    assert_eq!(code, 200);
    assert_eq!(answer["access"], "Deny");
    assert_eq!(answer["ruleName"], "defaultSecurityRules/DenyAllInBound");
    assert_eq!(answer["policyRevision"], 3);
}

#[test]
fn every_error_has_the_shape_of_azure_resource_manager() {
    let running = Running::start(Limits::default());
    for ((code, body), expected, word) in [
        (running.get("/v1/nothing"), 404, "InvalidResourceType"),
        (running.get("/v1/verify"), 405, "MethodNotAllowed"),
        (running.get("/v1/flows?limit=many"), 400, "InvalidParameter"),
        (running.get("/v1/flows?access=maybe"), 400, "InvalidParameter"),
        (running.get("/v1/flows?colour=red"), 400, "InvalidParameter"),
        (running.post("/v1/verify", "{"), 400, "InvalidRequestContent"),
        (running.post("/v1/verify", "{}"), 400, "MissingParameter"),
        (running.post("/v1/verify", &QUESTION.replace("\"22\"", "\"x\"")), 400, "InvalidParameter"),
        (
            running.post("/v1/verify", &QUESTION.replace('{', "{\"interface\":\"eth7\",")),
            404,
            "InterfaceNotFound",
        ),
        (running.post("/v1/verify", &" ".repeat(65 * 1024)), 413, "RequestContentTooLarge"),
        (running.post("/v1/verify", &"[".repeat(60_000)), 400, "InvalidRequestContent"),
    ] {
        assert_eq!((code, body["error"]["code"].as_str()), (expected, Some(word)), "{body}");
        assert!(
            body["error"]["message"].as_str().is_some_and(|message| message.len() > 10),
            "{body}"
        );
    }
}

#[test]
fn a_list_of_flows_is_never_longer_than_the_limit() {
    let running = Running::start(Limits::default());
    for (path, limit) in [
        ("/v1/flows", 100),
        ("/v1/flows?limit=5&access=deny", 5),
        ("/v1/flows?limit=99999999", 10_000),
    ] {
        assert_eq!(
            running.get(path),
            (200, serde_json::json!({ "more": false, "flows": [limit] }))
        );
    }
}

#[test]
fn an_answer_that_takes_too_long_is_an_error_and_not_a_hang() {
    let running =
        Running::start(Limits { answer_deadline: Duration::from_millis(100), ..Limits::default() });
    let (code, body) = running.get("/v1/status");
    assert_eq!((code, &body["error"]["code"]), (408, &Value::from("RequestTimeout")));
}

#[test]
fn a_client_that_dribbles_its_request_is_cut_off_while_others_are_answered() {
    let running =
        Running::start(Limits { header_deadline: Duration::from_millis(200), ..Limits::default() });
    let mut slow = running.connect();
    slow.write_all(b"POST /v1/verify HTTP/1.1\r\nhost:").unwrap();
    let mut idle = running.connect();
    assert_eq!(running.post("/v1/verify", QUESTION).0, 200);
    let started = Instant::now();
    for stream in [&mut slow, &mut idle] {
        let mut rest = Vec::new();
        // The end, with or without an error answer before it.
        let _closed = stream.read_to_end(&mut rest);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_body_that_never_comes_is_cut_off() {
    let running =
        Running::start(Limits { answer_deadline: Duration::from_millis(200), ..Limits::default() });
    let mut stream = running.connect();
    stream
        .write_all(b"POST /v1/verify HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 500\r\n\r\n{")
        .unwrap();
    assert_eq!(read_answer(&mut stream).0, 408);
}

#[test]
fn a_client_that_never_reads_its_answers_gives_its_place_back() {
    let running = Running::start(Limits {
        clients: 1,
        connection_deadline: Duration::from_millis(200),
        ..Limits::default()
    });
    let mut deaf = running.connect();
    deaf.set_nonblocking(true).unwrap();
    let request = b"GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    let deadline = Instant::now() + Duration::from_secs(5);
    // Until the socket is full both ways: the server waits for room for an answer and so reads no further request.
    let full = (0..1_000_000).find_map(|_| deaf.write_all(&request).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    while running.get("/v1/flows").0 != 200 {
        assert!(Instant::now() < deadline, "the place is not free again");
    }
}

#[test]
fn a_client_too_many_is_told_so_and_let_go() {
    let running = Running::start(Limits { clients: 2, ..Limits::default() });
    let held = [running.connect(), running.connect()];
    let deadline = Instant::now() + Duration::from_secs(5);
    while running.counters.accepted.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let (code, body) = read_answer(&mut running.connect());
    assert_eq!((code, &body["error"]["code"]), (503, &Value::from("TooManyClients")));
    assert_eq!(running.counters.refused.load(Ordering::Relaxed), 1);
    drop(held);
    while running.get("/v1/flows").0 != 200 {
        assert!(Instant::now() < deadline, "the places are not free again");
    }
}

#[test]
fn the_socket_is_open_to_its_owner_and_group_alone() {
    let running = Running::start(Limits::default());
    let mode = fs::metadata(running.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_anything_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let server = Server::bind(&path).unwrap();
    let error = Server::bind(&path).unwrap_err().to_string();
    assert!(error.contains("another program is listening"), "{error}");
    drop(server);
    assert!(!path.exists(), "the socket is removed with its server");

    let datagrams = UnixDatagram::bind(&path).unwrap();
    let error = Server::bind(&path).unwrap_err().to_string();
    assert!(error.contains("can not find out who listens on"), "{error}");
    assert!(path.exists(), "a socket of another kind is somebody's");
    drop(datagrams);
    fs::remove_file(&path).unwrap();

    fs::write(&path, "precious").unwrap();
    let error = Server::bind(&path).unwrap_err().to_string();
    assert!(error.contains("is not a socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(Path::new("/dev/null"), &path).unwrap();
    assert!(Server::bind(&path).is_err(), "a symbolic link is not followed");
    assert!(!fs::metadata("/dev/null").unwrap().file_type().is_socket());
}

#[test]
fn a_missing_directory_is_made_and_an_impossible_path_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(&folder.path().join("run/agent.sock")).unwrap();
    drop(server);
    let error = Server::bind(&folder.path().join("a/b/agent.sock")).unwrap_err().to_string();
    assert!(error.contains("create the directory"), "{error}");
}

#[test]
fn a_client_of_the_loopback_address_needs_the_token_and_a_loopback_host() {
    let running = Running::start(Limits::default());
    let ask = |host: &str, token: &str| {
        let mut stream = TcpStream::connect(running.address).unwrap();
        let request = format!(
            "GET /v1/flows HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let (code, body) = read_answer(&mut stream);
        (code, body["error"]["code"].as_str().map(str::to_owned))
    };
    let own = running.address.to_string();
    assert_eq!(ask(&own, TOKEN), (200, None));
    assert_eq!(ask(&own, "wrong"), (401, Some("AuthenticationFailed".to_owned())));
    assert_eq!(ask("evil.example", TOKEN), (421, Some("InvalidHostHeader".to_owned())));
}

/// Sends one request without a body and returns the answer's head and what is behind it.
fn head_and_rest(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    host: &str,
) -> (String, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, rest) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), rest.to_owned())
}

#[test]
fn the_page_alone_is_there_without_the_token_and_may_load_nothing_from_outside() {
    let running = Running::start(Limits::default());
    let host = running.address.to_string();
    for (method, path, code, has_body) in [
        ("GET", "/", "200", true),
        ("HEAD", "/", "200", false),
        ("POST", "/", "401", true),
        ("GET", "/index.html", "401", true),
        ("HEAD", "/v1/flows", "401", false),
    ] {
        let stream = TcpStream::connect(running.address).unwrap();
        let (head, rest) = head_and_rest(stream, method, path, &host);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{method} {path}: {head}");
        assert_eq!(!rest.is_empty(), has_body, "{method} {path}");
        let is_closed = head.contains("content-security-policy: default-src 'none';");
        assert_eq!(is_closed, code == "200", "{head}");
    }
}

#[test]
fn a_method_that_is_not_possible_is_answered_with_those_that_are() {
    let running = Running::start(Limits::default());
    for (method, path, allowed) in [
        ("OPTIONS", "/v1/status", "allow: GET,HEAD"),
        ("DELETE", "/v1/verify", "allow: POST"),
        ("PUT", &format!("{AZURE}/networkSecurityGroups/nsg"), "allow: GET,HEAD"),
    ] {
        let (head, rest) = head_and_rest(running.connect(), method, path, "x");
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains(allowed), "{head}");
        assert!(rest.contains("\"MethodNotAllowed\""), "{rest}");
    }
    let (head, rest) = head_and_rest(running.connect(), "HEAD", "/v1/flows", "x");
    assert!(head.starts_with("HTTP/1.1 200 ") && rest.is_empty(), "{head}{rest}");
}

#[test]
fn a_path_that_is_not_there_is_named_as_it_was_asked() {
    let running = Running::start(Limits::default());
    for path in ["/V1/Status", "/v1/%73tatus", &format!("{AZURE}/loadBalancers/LB")] {
        let (code, body) = running.get(path);
        assert_eq!(code, 404);
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("no GET {path};")), "{message}");
    }
}

#[test]
fn azures_name_of_an_interface_and_the_agents_own_are_both_taken() {
    let running = Running::start(Limits::default());
    for (field, value, expected) in [
        ("interface", "eth0", 200),
        ("interface", "eth7", 404),
        ("targetNicResourceId", "/a/networkInterfaces/eth0", 200),
        ("targetNicResourceId", "/a/networkInterfaces/web-nic", 200),
    ] {
        let question = QUESTION.replace('{', &format!("{{\"{field}\":\"{value}\","));
        assert_eq!(running.post("/v1/verify", &question).0, expected, "{field} {value}");
    }
}

#[test]
fn an_old_connection_is_closed_behind_an_answer_that_says_so() {
    let limits = Limits { connection_deadline: Duration::from_millis(300), ..Limits::default() };
    let running = Running::start(limits);
    let mut stream = running.connect();
    let mut ask = || {
        stream.write_all(b"GET /v1/flows HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let first = ask();
    assert!(first.starts_with("HTTP/1.1 200") && !first.contains("connection: close"), "{first}");
    std::thread::sleep(Duration::from_millis(350));
    let second = ask();
    assert!(second.starts_with("HTTP/1.1 200") && second.contains("connection: close"), "{second}");
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0, "closed");
}

#[test]
fn azures_routes_take_any_letter_case_and_answer_as_verify_does() {
    let running = Running::start(Limits::default());
    for path in [
        format!("{AZURE}/networkWatchers/nw/ipFlowVerify?api-version=2025-03-01"),
        format!("{AZURE}/networkWatchers/nw/ipFlowVerify").to_uppercase(),
    ] {
        let (code, answer) = running.post(&path, QUESTION);
        let expected = serde_json::json!({
            "access": "Deny", "ruleName": "defaultSecurityRules/DenyAllInBound", "ruleId": "",
        });
        assert_eq!((code, answer), (200, expected), "{path}");
    }
}

#[test]
fn azures_routes_refuse_in_azures_shape() {
    let running = Running::start(Limits::default());
    let diagnose = format!("{AZURE}/networkWatchers/nw/networkConfigurationDiagnostic");
    let profile = |change: &str, to: &str| {
        let body = diagnostic("10.0.0.0/24", "10.0.0.4", "22");
        running.post(&diagnose, &body.replace(change, to))
    };
    let verify = format!("{AZURE}/networkWatchers/nw/ipFlowVerify");
    for ((code, body), expected, word) in [
        (running.get(&format!("{AZURE}/routeTables/rt")), 404, "InvalidResourceType"),
        (running.get(&format!("{AZURE}/networkSecurityGroups/no")), 404, "ResourceNotFound"),
        (running.get(&format!("{AZURE}/networkSecurityGroups/%ff")), 400, "InvalidResourceName"),
        (running.get(&verify), 405, "MethodNotAllowed"),
        (running.post(&verify, "{}"), 400, "MissingParameter"),
        (
            running.post(&verify, &QUESTION.replace('{', "{\"explain\":true,")),
            400,
            "InvalidRequestContent",
        ),
        (running.post(&verify, &" ".repeat(65 * 1024)), 413, "RequestContentTooLarge"),
        (
            running.post(&format!("{AZURE}/networkWatchers/nw/securityGroupView"), "{}"),
            400,
            "InvalidRequestContent",
        ),
        (profile("profiles", "profile"), 400, "InvalidRequestContent"),
        (profile("10.0.0.0/24", "10.0.0.1/24"), 400, "InvalidParameter"),
        (profile("10.0.0.0/24", "NoSuchTag"), 400, "InvalidParameter"),
        (profile("10.0.0.0/24", "2001:db8::/32"), 400, "InvalidParameter"),
        (profile("\"22\"", "\"90-80\""), 400, "InvalidParameter"),
        (profile("TCP", "Icmp"), 400, "InvalidParameter"),
        (profile("Inbound", "Sideways"), 400, "InvalidParameter"),
    ] {
        assert_eq!((code, body["error"]["code"].as_str()), (expected, Some(word)), "{body}");
    }
}

fn diagnostic(source: &str, destination: &str, port: &str) -> String {
    serde_json::json!({
        "targetResourceId": "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm",
        "profiles": [{
            "direction": "Inbound", "protocol": "TCP", "source": source, "destination": destination,
            "destinationPort": port,
        }],
    })
    .to_string()
}

#[test]
fn a_profile_gets_one_result_for_each_access_and_says_which_packets_show_it() {
    let running = Running::start(Limits::default());
    let path = format!("{AZURE}/networkWatchers/nw/networkConfigurationDiagnostic");
    for (source, accesses, note) in [
        ("10.0.0.0/24", vec!["Allow"], "all packets of this profile: Allow"),
        ("VirtualNetwork", vec!["Allow"], "all packets of this profile: Allow"),
        ("Internet", vec!["Deny"], "all packets of this profile: Deny"),
        ("203.0.113.9", vec!["Deny"], "all packets of this profile: Deny"),
        ("10.0.0.0/8", vec!["Deny", "Allow"], "some get Deny, others Allow"),
        ("*", vec!["Deny", "Allow"], "some get Deny, others Allow"),
    ] {
        let (code, answer) = running.post(&path, &diagnostic(source, "10.0.0.4", "8000-8100"));
        assert_eq!(code, 200, "{answer}");
        let results = answer["results"].as_array().unwrap();
        let found: Vec<_> = results
            .iter()
            .map(|result| {
                assert_eq!(result["profile"]["source"], source);
                assert_eq!(result["allPackets"], results.len() == 1);
                assert!(result["note"].as_str().unwrap().contains(note), "{result}");
                let result = &result["networkSecurityGroupResult"];
                let access = &result["securityRuleAccessResult"];
                let groups = result["evaluatedNetworkSecurityGroups"].as_array().unwrap();
                assert_eq!(&groups.last().unwrap()["matchedRule"]["action"], access);
                access.as_str().unwrap()
            })
            .collect();
        assert_eq!(found, accesses, "{source}");
    }
}

#[test]
fn effective_rules_say_what_is_in_force_and_can_be_loaded_again() {
    let running = Running::start(Limits::default());
    let path = format!("{AZURE}/networkInterfaces/eth0/effectiveNetworkSecurityGroups");
    let (code, answer) = running.post(&path, "");
    assert_eq!(code, 200);
    let rules = answer["value"][0]["effectiveSecurityRules"].as_array().unwrap();
    assert_eq!(rules.len(), 6);
    assert_eq!(rules[0]["name"], "defaultSecurityRules/AllowVnetInBound");
    assert_eq!(rules[0]["expandedSourceAddressPrefix"][0], "10.0.0.0/16");
    let file = running.folder.path().join("effective.json");
    fs::write(&file, answer.to_string()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nsgwatch"))
        .args([
            "verify",
            "--direction",
            "inbound",
            "--protocol",
            "tcp",
            "-o",
            "json",
            "--effective",
        ])
        .arg(&file)
        .args(["--local", "10.0.0.4:22", "--remote", "10.0.9.9:50000"])
        .output()
        .unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(verdict["ruleName"], "defaultSecurityRules/AllowVnetInBound");
}

#[test]
fn every_route_of_version_one_is_in_its_description() {
    let running = Running::start(Limits::default());
    let (code, document) = running.get("/v1/openapi.json");
    assert_eq!((code, &document["openapi"]), (200, &Value::from("3.1.0")));
    let source = include_str!("../src/control/server/routes.rs");
    let is_route = |text: &&str| text.starts_with("/v1/") && !text.contains(' ');
    let mut routes: Vec<&str> = source.split('"').filter(is_route).collect();
    assert!(routes.contains(&"/v1/verify"));
    routes.push("/v1/openapi.json");
    for route in routes {
        assert!(document["paths"][route].is_object(), "{route} is not described");
    }
}

#[test]
fn a_query_that_can_not_be_read_is_explained_in_a_sentence() {
    let running = Running::start(Limits::default());
    for (query, message) in [
        (
            "colour=red",
            "there is no parameter `colour`; /v1/flows takes `access`, `rule` and `limit`",
        ),
        ("limit=many", "the parameter `limit` can not be read: invalid digit found in string"),
    ] {
        let (_, body) = running.get(&format!("/v1/flows?{query}"));
        assert_eq!(body["error"]["message"], message);
    }
}
