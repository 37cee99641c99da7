//! What the commands that ask an agent show for people, of answers that never change: each screen is as committed, and
//! an answer that is none is an error.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod committed;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use std::thread;

/// Runs a command against an agent that gives one answer, as HTTP has it, to whatever it is asked.
fn ask(answer: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.to_owned();
    let agent = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(client.read(&mut request).unwrap() > 0);
        client.write_all(answer.as_bytes()).unwrap();
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgwatch"));
    command.args(arguments).arg("--socket").arg(&socket).stdin(Stdio::null());
    let output = command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").output().unwrap();
    agent.join().unwrap();
    output
}

fn with_body(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn screens_are_as_committed() {
    for (screen, answer, arguments) in [
        ("status.txt", "status.json", "status"),
        ("rules.txt", "rules.json", "rules"),
        ("rules-unused.txt", "rules.json", "rules --unused"),
        ("flows.txt", "flows.json", "flows"),
        ("flows-coloured.txt", "flows.json", "flows --rule-names diagnostics --color always"),
        ("observe-compact.txt", "observe.jsonl", "observe"),
        ("observe-coloured.txt", "observe.jsonl", "observe --color always"),
        ("observe-table.txt", "observe.jsonl", "observe -o table"),
    ] {
        let body = fs::read_to_string(committed::path("tests/golden/answers").join(answer));
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let output = ask(&with_body("200 OK", &body.unwrap()), &arguments);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let trailing = text.lines().find(|line| line.ends_with(' '));
        assert_eq!(trailing, None, "{screen}");
        committed::assert_is(&format!("tests/golden/{screen}"), &text);
    }
}

#[test]
fn what_is_no_answer_is_an_error_that_names_the_agent() {
    for (answer, words) in [
        (with_body("200 OK", "[]"), "the answer is not understood"),
        (with_body("200 OK", ""), "the answer is not understood"),
        (with_body("500 Oops", "<html>"), "HTTP status 500"),
        (
            with_body("503 No", r#"{"error":{"code":"Stopping","message":"gone"}}"#),
            "gone (Stopping)",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "did not answer"),
        (String::new(), "did not answer"),
    ] {
        for command in ["status", "rules", "flows"] {
            let output = ask(&answer, &[command]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(
                (output.status.code(), output.stdout.len()),
                (Some(1), 0),
                "{answer}: {said}"
            );
            assert!(said.starts_with("error: ") && said.contains(words), "{answer}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
