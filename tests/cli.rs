//! The command line without an agent: answers, exit codes, and errors that say what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod committed;

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn nsgwatch(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nsgwatch"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A question to the web tier of the samples, answered without an agent.
fn ask_samples(question: [&str; 4], more: &[&str]) -> Output {
    let [direction, protocol, local, remote] = question;
    let mut arguments = vec!["verify", "--virtual-network", "10.0.0.0/16"];
    arguments.extend([
        "--subnet-nsg",
        "rules/web-tier-subnet.json",
        "--nic-nsg",
        "rules/web-tier-nic.json",
    ]);
    arguments.extend([
        "--direction",
        direction,
        "--protocol",
        protocol,
        "--local",
        local,
        "--remote",
        remote,
    ]);
    arguments.extend(more);
    nsgwatch(&arguments)
}

#[test]
fn a_question_is_answered_on_one_line_with_the_rule_and_where_it_stands() {
    let output = ask_samples(["inbound", "tcp", "10.0.1.4:22", "203.0.113.9:50211"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let answer = stdout(&output);
    assert!(answer.starts_with("Deny  defaultSecurityRules/DenyAllInBound  (NSG "), "{answer}");
    assert_eq!(answer.lines().count(), 1, "{answer}");
}

#[test]
fn the_json_answer_begins_with_azures_own_fields() {
    let output = ask_samples(["Inbound", "TCP", "10.0.1.4:22", "203.0.113.9:*"], &["-o", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["access"], "Deny");
    assert_eq!(answer["ruleName"], "defaultSecurityRules/DenyAllInBound");
    assert_eq!(answer["ruleId"], "");
    assert_eq!(answer["priority"], 65500);
}

#[test]
fn deny_ends_with_three_only_where_the_exit_code_is_asked_for() {
    let question = ["inbound", "tcp", "10.0.1.4:22", "203.0.113.9:50211"];
    assert_eq!(ask_samples(question, &[]).status.code(), Some(0));
    assert_eq!(ask_samples(question, &["--exit-code"]).status.code(), Some(3));
    let allowed = ["outbound", "tcp", "10.0.1.4:*", "10.0.2.4:443"];
    assert_eq!(ask_samples(allowed, &["--exit-code"]).status.code(), Some(0));
}

#[test]
fn a_question_that_makes_no_sense_is_wrong_usage() {
    for (question, reason) in [
        (["sideways", "tcp", "10.0.1.4:22", "203.0.113.9:1"], "Inbound or Outbound"),
        (["inbound", "tpc", "10.0.1.4:22", "203.0.113.9:1"], "tcp, udp, icmp"),
        (["inbound", "tcp", "10.0.1.4:*", "203.0.113.9:1"], "needs one destination port"),
        (["inbound", "tcp", "10.0.1.4:22", "[2001:db8::1]:1"], "different address families"),
        (["inbound", "icmp", "10.0.1.4:22", "203.0.113.9"], "icmp has no ports"),
        (["inbound", "tcp", "10.0.1.400:22", "203.0.113.9:1"], "ADDRESS:PORT"),
    ] {
        let output = ask_samples(question, &[]);
        assert_eq!(output.status.code(), Some(2), "{question:?}");
        assert!(stderr(&output).contains(reason), "{question:?}: {}", stderr(&output));
    }
}

#[test]
fn without_an_agent_the_client_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nobody.sock");
    let socket = socket.to_str().unwrap();
    for command in [
        vec!["status"],
        vec!["flows"],
        vec!["rules"],
        vec!["observe", "--follow"],
        vec![
            "verify",
            "--direction",
            "inbound",
            "--protocol",
            "icmp",
            "--local",
            "::1",
            "--remote",
            "::2",
        ],
    ] {
        let mut arguments = command.clone();
        arguments.extend(["--socket", socket]);
        let output = nsgwatch(&arguments);
        assert_eq!(output.status.code(), Some(4), "{command:?}");
        assert!(stderr(&output).contains("nsgwatch run"), "{}", stderr(&output));
    }
}

#[test]
fn check_says_everything_that_is_wrong_with_its_place_and_azures_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yaml");
    fs::write(
        &path,
        "name: bad\nsecurityRules:\n  - {name: a, priority: 100, direction: Inbound, access: Allow, protocol: Tcp,\n     \
         sourceAddressPrefix: 10.0.1.4/24, sourcePortRange: '*', destinationAddressPrefix: '*', destinationPortRange: '80,443'}\n  \
         - {name: b, priority: 100, direction: Inbound, access: Deny, protocol: Tcp,\n     \
         sourceAddressPrefix: '*', sourcePortRange: '*', destinationAddressPrefix: '*', destinationPortRange: '80'}\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let output = nsgwatch(&["check", path]);
    assert_eq!(output.status.code(), Some(1));
    let errors = stderr(&output);
    for expected in [
        "bad.yaml:4:",
        "SecurityRuleInvalidAddressPrefix",
        "SecurityRuleInvalidPortRange",
        "SecurityRuleConflict",
        "rule `a` of `bad`, field `sourceAddressPrefix`",
    ] {
        assert!(errors.contains(expected), "no {expected} in {errors}");
    }
    let json: Value =
        serde_json::from_slice(&nsgwatch(&["check", path, "-o", "json"]).stdout).unwrap();
    assert_eq!(json["valid"], false);
    assert!(json["errors"].as_array().unwrap().len() >= 3, "{json}");
}

#[test]
fn the_samples_are_valid() {
    let groups =
        ["web-tier-subnet.json", "web-tier-nic.json", "locked-down-outbound.json", "database.yaml"];
    let groups = groups.map(|name| format!("rules/{name}"));
    let mut arguments = vec!["check", "--service-tags", "rules/service-tags.json"];
    arguments.extend(groups.iter().map(String::as_str));
    let output = nsgwatch(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "4 files valid\n");
}

#[test]
fn a_configuration_is_checked_with_the_rule_files_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nsgwatch.toml");
    fs::write(&config, "nic-nsg = \"missing.json\"\n").unwrap();
    let output = nsgwatch(&["check", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let missing = folder.path().join("missing.json");
    assert!(stderr(&output).contains(missing.to_str().unwrap()), "{}", stderr(&output));
    fs::write(&config, "nicnsg = \"missing.json\"\n").unwrap();
    let output = nsgwatch(&["check", config.to_str().unwrap()]);
    assert!(stderr(&output).contains("unknown field `nicnsg`"), "{}", stderr(&output));
}

#[test]
fn a_configuration_that_is_wrong_ends_the_agent_with_a_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nsgwatch.toml");
    let config = config.to_str().unwrap();
    for (text, words) in [
        ("max-flows = 0\n", "from 1 to 16777216"),
        ("listen = \"0.0.0.0:1\"\nlisten-token-file = \"token\"\n", "not a loopback address"),
    ] {
        fs::write(config, text).unwrap();
        let output = nsgwatch(&["run", "--config", config]);
        assert_eq!(output.status.code(), Some(78));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert_eq!(nsgwatch(&["check", config]).status.code(), Some(1), "{text}");
    }
    let output = nsgwatch(&["run", "--config", "/no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("/no/such/file.toml"), "{}", stderr(&output));
}

#[test]
fn a_configuration_without_end_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for config in ["/dev/zero", pipe.to_str().unwrap()] {
        let output = nsgwatch(&["run", "--config", config]);
        assert_eq!(output.status.code(), Some(78));
        assert_eq!(stderr(&output), format!("error: {config}: not a regular file\n"));
    }
}

#[test]
fn an_error_says_its_cause_too_and_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.csv");
    fs::write(&empty, "").unwrap();
    let batch = |file: &str| {
        let rules = ["--nic-nsg", "none", "--virtual-network", "10.0.0.0/16"];
        let output = nsgwatch(&[&["verify", "--batch", file], rules.as_slice()].concat());
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    assert_eq!(
        batch("missing.csv"),
        "error: can not open missing.csv: No such file or directory (os error 2)\n"
    );
    let error = batch(empty.to_str().unwrap());
    assert!(error.contains("empty.csv: line 1: "), "{error}");

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nsgwatch"))
        .args(["check", "rules/web-tier-nic.json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "error: can not write to standard output: No space left on device (os error 28)\n"
    );
}

const COMMANDS: [&str; 10] =
    ["run", "verify", "explain", "check", "replay", "status", "flows", "rules", "observe", "top"];

#[test]
fn help_is_as_committed_and_has_examples_and_exit_codes() {
    for command in COMMANDS.map(Some).into_iter().chain([None]) {
        let arguments: Vec<&str> = command.into_iter().chain(["--help"]).collect();
        let output = nsgwatch(&arguments);
        assert_eq!(output.status.code(), Some(0));
        let help = stdout(&output);
        let name = command.unwrap_or("nsgwatch");
        assert!(help.contains("Examples:\n  nsgwatch "), "{name}: {help}");
        assert!(help.contains("Exit codes: 0 "), "{name}: {help}");
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let help = help.join("\n") + "\n";
        committed::assert_is(&format!("tests/golden/help/{name}.txt"), &help);
    }
}

#[test]
fn main_outputs_are_as_committed() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.yaml");
    fs::write(&bad, "name: bad\nsecurityRules:\n  - {name: a, priority: 99, direction: Inbound}\n")
        .unwrap();
    let bad = bad.to_str().unwrap();
    let question = ["inbound", "tcp", "10.0.1.4:22", "203.0.113.9:50211"];
    for (golden, output) in [
        ("verify.txt", ask_samples(question, &[])),
        ("verify.json", ask_samples(question, &["-o", "json"])),
        ("verify-coloured.txt", ask_samples(question, &["--color", "always"])),
        ("check.txt", nsgwatch(&["check", bad])),
        ("check.json", nsgwatch(&["check", bad, "-o", "json"])),
    ] {
        let text = format!("{}{}", stdout(&output), stderr(&output));
        committed::assert_is(&format!("tests/golden/{golden}"), &text.replace(bad, "bad.yaml"));
    }
}

#[test]
fn the_environment_colours_answers_and_the_command_line_has_the_last_word() {
    let colour = |variable: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nsgwatch"))
            .args(["verify", "--nic-nsg", "none", "--virtual-network", "10.0.0.0/16"])
            .args(["--direction", "inbound", "--protocol", "tcp"])
            .args(["--local", "10.0.1.4:22", "--remote", "203.0.113.9:1"])
            .args(more)
            .env(variable, "1")
            .output()
            .unwrap();
        stdout(&output).starts_with("\x1b[32mAllow\x1b[0m")
    };
    assert!(!colour("OTHER", &[]));
    assert!(colour("CLICOLOR_FORCE", &[]));
    assert!(colour("NO_COLOR", &["--color", "always"]));
    assert!(!colour("CLICOLOR_FORCE", &["--color", "never"]));
}

#[test]
fn one_group_of_a_file_is_checked_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.json");
    fs::write(&path, r#"[{"name":"a","securityRules":[]},{"name":"b","securityRules":[]}]"#)
        .unwrap();
    let path = path.to_str().unwrap();
    for name in [path.to_owned(), format!("{path}#b"), format!("{path}#B")] {
        assert_eq!(nsgwatch(&["check", &name]).status.code(), Some(0), "{name}");
    }
    let output = nsgwatch(&["check", &format!("{path}#c")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no network security group `c`; there are: a, b"));
}

#[test]
fn help_breaks_lines_only_where_they_are_full() {
    for command in COMMANDS {
        let help = stdout(&nsgwatch(&[command, "--help"]));
        let lines: Vec<&str> = help.lines().collect();
        for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
            assert!(line.len() <= 100 || line.starts_with("Usage:"), "{command}: {line}");
            let next_word = next.split(' ').next().unwrap_or_default();
            let in_paragraph = !line.is_empty() && !line.starts_with(' ') && !next_word.is_empty();
            assert!(!in_paragraph || line.len() + next_word.len() >= 100, "{command}: {line}");
        }
    }
}

#[test]
fn every_option_of_run_is_a_key_of_the_configuration_file() {
    let help = stdout(&nsgwatch(&["run", "--help"]));
    let options: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches("-i, ").strip_prefix("--"))
        .map(|rest| rest.split(' ').next().unwrap())
        .filter(|option| !["config", "help", "color"].contains(option))
        .collect();
    assert!(options.len() >= 14, "{options:?}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nsgwatch.toml");
    for option in options {
        fs::write(&config, format!("{option} = {{}}\n")).unwrap();
        let output = nsgwatch(&["check", config.to_str().unwrap()]);
        assert!(!stderr(&output).contains("unknown field"), "{option}: {}", stderr(&output));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let question = "--virtual-network 10.0.0.0/16 --nic-nsg rules/web-tier-nic.json --direction inbound --protocol tcp \
        --local 10.0.1.4:22 --remote 203.0.113.9:1";
    for command in [
        "check rules/database.yaml".to_owned(),
        "check rules/database.yaml -o json".to_owned(),
        format!("verify {question}"),
        format!("explain {question}"),
        "verify --nic-nsg none --virtual-network 10.0.0.0/16 --batch tests/golden/questions.csv"
            .to_owned(),
        "--help".to_owned(),
        "run --help".to_owned(),
    ] {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_nsgwatch"))
            .args(command.split_whitespace())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::from(writer))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{command}");
    }
}

/// Answers questions on standard input under the rules of the samples.
fn batch(questions: &str, more: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nsgwatch"))
        .args(["verify", "--virtual-network", "10.0.0.0/16", "--batch", "-"])
        .args(["--nic-nsg", "rules/web-tier-nic.json"])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(questions.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_batch_on_standard_input_is_answered_in_order_with_bad_lines_in_their_place() {
    let csv = "direction,protocol,localIPAddress,localPort,remoteIPAddress,remotePort\n\
        inbound,tcp,10.0.1.4,443,203.0.113.9,50211\n\
        inbound,tcp,10.0.1.400,443,203.0.113.9,50211\n\
        inbound,tcp,10.0.1.4,23,203.0.113.9,50211\n";
    let output = batch(csv, &["--rule-names", "diagnostics"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "error: 1 line could not be answered\n");
    let answers = stdout(&output);
    let lines: Vec<&str> = answers.lines().collect();
    let [_, web, bad, telnet] = lines[..] else { panic!("{answers}") };
    assert!(web.starts_with("2,Allow,UserRule_allow-https,web-nic-nsg,nic,"), "{web}");
    assert!(bad.starts_with("3,,") && bad.contains("`localIPAddress`: `10.0.1.400`"), "{bad}");
    assert!(telnet.starts_with("4,Deny,DefaultRule_DenyAllInBound,"), "{telnet}");

    let question = |port: &str| {
        format!(
            r#"{{"direction":"Inbound","protocol":"TCP","localIPAddress":"10.0.1.4","localPort":"{port}","remoteIPAddress":"203.0.113.9","remotePort":"*"}}"#
        )
    };
    let output =
        batch(&format!("{}\n{}\n\n{}", question("443"), question("x"), question("23")), &[]);
    assert_eq!(output.status.code(), Some(1));
    let answers: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<_> = answers.iter().map(|answer| answer["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 2, 4]);
    assert_eq!(answers[0]["ruleName"], "securityRules/allow-https");
    assert_eq!(answers[1]["error"]["code"], "InvalidParameter");
    assert_eq!(answers[2]["access"], "Deny");
    assert_eq!(batch(&question("443"), &[]).status.code(), Some(0));
}

#[test]
fn a_batch_needs_rules_and_a_header() {
    let output = nsgwatch(&["verify", "--batch", "-"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("takes the rules as options"), "{}", stderr(&output));
    let output = batch("direction,protocol\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("line 1: `localIPAddress` is missing"), "{}", stderr(&output));
    let output = nsgwatch(&["verify", "--nic-nsg", "none", "--batch", "/no/such/file.csv"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/no/such/file.csv: No such file"), "{}", stderr(&output));
    let help = stdout(&nsgwatch(&["verify", "--help"]));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("or with --batch a line could not be answered"), "{help}");
}

/// Compares what `explain` prints with a file of `tests/golden`.
fn assert_explained(golden: &str, arguments: &str) {
    let arguments: Vec<&str> = ["explain", "--virtual-network", "10.0.0.0/16"]
        .into_iter()
        .chain(arguments.split(' '))
        .collect();
    let output = nsgwatch(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let screen = stdout(&output);
    committed::assert_is(&format!("tests/golden/{golden}"), &screen);
    assert!(screen.lines().all(|line| line.chars().count() <= 100), "{screen}");
}

#[test]
fn an_explanation_is_read_at_a_glance() {
    assert_explained(
        "explain-inbound-deny.txt",
        "--subnet-nsg rules/web-tier-subnet.json --nic-nsg rules/web-tier-nic.json \
         --direction inbound --protocol tcp --local 10.0.1.4:8443 --remote 203.0.113.9:50211",
    );
    assert_explained(
        "explain-outbound-allow-by-a-tag.txt",
        "--service-tags rules/service-tags.json --nic-nsg rules/locked-down-outbound.json --rule-names diagnostics \
         --direction outbound --protocol tcp --local 10.0.1.4:50000 --remote 192.0.2.0:443",
    );
    assert_explained(
        "explain-undecided.txt",
        "--unresolved undecided --nic-nsg rules/locked-down-outbound.json \
         --direction outbound --protocol tcp --local 10.0.1.4:50000 --remote 20.38.98.100:443",
    );
}

#[test]
fn rules_are_named_in_the_spelling_that_is_asked_for() {
    let question = ["inbound", "tcp", "10.0.1.4:443", "203.0.113.9:50211"];
    for (style, expected) in [
        ("azure", "securityRules/allow-https"),
        ("diagnostics", "UserRule_allow-https"),
        ("bare", "allow-https"),
    ] {
        let output = ask_samples(question, &["-o", "json", "--rule-names", style]);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["ruleName"], expected);
    }
    let output = ask_samples(question, &["--rule-names", "arm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("azure, diagnostics or bare"), "{}", stderr(&output));

    let output = nsgwatch(&[
        "explain",
        "-o",
        "json",
        "--rule-names",
        "bare",
        "--virtual-network",
        "10.0.0.0/16",
        "--subnet-nsg",
        "rules/web-tier-subnet.json",
        "--direction",
        "inbound",
        "--protocol",
        "tcp",
        "--local",
        "10.0.1.4:8443",
        "--remote",
        "203.0.113.9:50211",
    ]);
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(explained["ruleName"], "DenyAllInBound");
    assert_eq!(explained["diagnosticsRuleName"], "DefaultRule_DenyAllInBound");
    let first = &explained["layers"][0]["rules"][0];
    assert_eq!(first["ruleName"], "allow-web");
    assert_eq!(first["diagnosticsRuleName"], "UserRule_allow-web");
    assert_eq!(explained["nearestAllow"]["ruleName"], "allow-web");
}
