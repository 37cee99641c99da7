//! Questions: any body or query string gets an answer or a refusal, and every way to ask gives the same answer.

use std::sync::LazyLock;

use axum::extract::Query;
use axum::http::Uri;
use nsgwatch::classifier::Policy;
use nsgwatch::control::batch::{ANSWER_HEADER, Batch, BatchFormat, CsvHeader};
use nsgwatch::control::explain::Explained;
use nsgwatch::control::verify::{VerifyAnswer, VerifyError, VerifyQuery, VerifyRequest};
use nsgwatch::control::{ErrorBody, FlowsQuery};
use nsgwatch::nsg::load::{SourceFile, Sources, Unresolved, load};
use nsgwatch::nsg::{RuleName, RuleNameStyle};
use serde_json::Value;

/// Rules of which the answer depends on every field of a question, the source port and an unknown tag included.
const GROUP: &str = r#"{"name":"nsg","securityRules":[
    {"name":"ssh","priority":100,"direction":"Inbound","access":"Allow","protocol":"Tcp","sourcePortRange":"*",
     "sourceAddressPrefix":"203.0.113.0/24","destinationPortRange":"22","destinationAddressPrefix":"10.0.0.4"},
    {"name":"odd","priority":110,"direction":"Inbound","access":"Deny","protocol":"Udp","sourcePortRange":"53",
     "sourceAddressPrefix":"*","destinationPortRanges":["1000-2000","53"],"destinationAddressPrefix":"*"},
    {"name":"who","priority":120,"direction":"Outbound","access":"Deny","protocol":"*","sourcePortRange":"*",
     "sourceAddressPrefix":"*","destinationPortRange":"443","destinationAddressPrefix":"CorpNetSaw"}]}"#;

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let group = SourceFile { name: "nsg.json", text: GROUP, group: None };
    let sources = Sources {
        nic: Some(group),
        virtual_network: vec!["10.0.0.0/16".parse().expect("a prefix")],
        unresolved: Unresolved::Undecided,
        ..Sources::default()
    };
    Policy::compile(load(&sources).expect("the rules are sound").rules, 1).expect("few rules")
});

/// The first byte says what the rest is.
pub fn check(input: &[u8]) {
    let [choice, rest @ ..] = input else { return };
    match choice % 4 {
        0 | 1 => check_body(rest),
        2 => check_query_string(rest),
        _ => check_csv(rest),
    }
}

fn check_body(body: &[u8]) {
    let request = match VerifyRequest::from_json(body) {
        Ok(request) => request,
        Err(refused) => return assert_refusal(&refused),
    };
    let query = request.query;
    let asked_again = VerifyQuery::from_json(query.to_json().to_string().as_bytes());
    assert_eq!(asked_again.as_ref(), Ok(&query), "a question that can not be asked again");
    let answer = query.ask(&POLICY);
    let explained = Explained::answer(&query, &POLICY);
    match (&answer, &explained) {
        (Ok(answer), Ok(explained)) => {
            assert_eq!(explained.answer, *answer);
            let text = serde_json::to_string(explained).expect("an answer is JSON");
            assert_eq!(
                &serde_json::from_str::<Explained>(&text).expect("and comes back"),
                explained
            );
            let text = serde_json::to_string(answer).expect("an answer is JSON");
            assert_eq!(
                &serde_json::from_str::<VerifyAnswer>(&text).expect("and comes back"),
                answer
            );
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert_refusal(one);
        }
        _ => panic!("{answer:?}, explained {explained:?}"),
    }
    check_as_batch(body, &answer);
}

/// The same body on a line of a batch gets the same answer.
fn check_as_batch(body: &[u8], answer: &Result<VerifyAnswer, VerifyError>) {
    if body.contains(&b'\n') {
        return;
    }
    let mut out = Vec::new();
    let format = BatchFormat::JsonLines;
    let failed = Batch::new(&POLICY, &format, RuleNameStyle::Azure).answer(body, 7, &mut out);
    let line: Value = serde_json::from_slice(&out).expect("one line of JSON");
    assert_eq!(line["line"], 7);
    assert_eq!(failed, u64::from(answer.is_err()));
    if let Ok(answer) = answer {
        assert_eq!(line["access"], answer.access.as_str());
        assert_eq!(line.get("ruleName").and_then(Value::as_str), answer.rule_name.as_deref());
    }
}

fn check_query_string(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(uri) = format!("/v1/flows?{text}").parse::<Uri>() else { return };
    if let Ok(Query(FlowsQuery { rule: Some(rule), .. })) = Query::<FlowsQuery>::try_from_uri(&uri)
    {
        _ = rule.parse::<RuleName>();
    }
}

/// The first line is the header of a CSV, the others are questions.
fn check_csv(lines: &[u8]) {
    let end = lines.iter().position(|byte| *byte == b'\n').unwrap_or(lines.len());
    let (header, lines) = lines.split_at(end);
    let Ok(header) = str::from_utf8(header) else { return };
    let header = match CsvHeader::read(header) {
        Ok(header) => header,
        Err(refused) => return assert_refusal(&refused),
    };
    let mut out = Vec::new();
    let format = BatchFormat::Csv(header);
    Batch::new(&POLICY, &format, RuleNameStyle::Azure).answer(lines, 1, &mut out);
    let questions = lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let answers = String::from_utf8(out).expect("an answer is text");
    assert_eq!(answers.lines().count(), questions.count(), "{answers}");
    for answer in answers.lines().filter(|answer| !answer.contains('"')) {
        assert_eq!(answer.split(',').count(), ANSWER_HEADER.split(',').count(), "{answer}");
    }
}

fn assert_refusal(refused: &VerifyError) {
    let body = ErrorBody::new(refused.code(), refused.to_string());
    let text = serde_json::to_string(&body).expect("an error is JSON");
    assert_eq!(serde_json::from_str::<ErrorBody>(&text).expect("and comes back"), body);
    assert!(!body.error.code.is_empty() && !body.error.message.is_empty());
}
