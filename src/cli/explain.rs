//! `nsgwatch explain`: why the rules answer a question as they do, with or without a running agent.

use std::fmt::Write;
use std::process::ExitCode;

use super::question::{Asking, Packet, sentence};
use super::{OutputFormat, block_on, exit, terminal};
use crate::control::client;
use crate::control::explain::{Explained, ExplainedRule, MatchedBy};
use crate::control::verify::VerifyQuery;

const AFTER_HELP: &str = "\
Every rule that was asked is shown, up to the deciding one, with the fields that the packet met: protocol, source,
source port, destination, destination port. `?` stands where a field names a service tag or an application security
group that nobody explained.

Example:
  nsgwatch explain --nic-nsg web.json --virtual-network 10.0.0.0/16 \\
      --direction inbound --protocol tcp --local 10.0.0.4:8443 --remote 203.0.113.9:50211";

/// The longest value of a rule's field that is printed for people.
const LONGEST_VALUE: usize = 60;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    packet: Packet,

    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let query = match arguments.packet.query() {
        Ok(query) => query,
        Err(error) => {
            terminal::complain(&format!("error: {error}"));
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let Some(mut explained) = ask(&arguments.asking, &query)? else {
        return Ok(ExitCode::from(exit::FAILED));
    };
    explained.respell(arguments.asking.rule_names);
    terminal::answer(&match arguments.asking.output {
        OutputFormat::Json => serde_json::to_string_pretty(&explained)?,
        OutputFormat::Text => screen(&explained),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn ask(asking: &Asking, query: &VerifyQuery) -> anyhow::Result<Option<Explained>> {
    if asking.is_offline() {
        let policy = asking.policy()?;
        return Ok(policy.map(|policy| Explained::answer(query, &policy)).transpose()?);
    }
    let mut body = query.to_json();
    if let Some(body) = body.as_object_mut() {
        body.insert("explain".to_owned(), true.into());
    }
    Ok(Some(block_on(client::post(&asking.socket, "/v1/verify", &body))?))
}

fn screen(explained: &Explained) -> String {
    let mut text = format!("{}\n", sentence(&explained.answer));
    if !explained.layers.is_empty() {
        text.push('\n');
        text.push_str(&table(explained));
    }
    text.push('\n');
    // Writing to a string can not fail, here and below.
    if let Some(nearest) = &explained.nearest_allow {
        _ = writeln!(
            text,
            "nearest Allow  {} ({}, {}): {} is {}, the rule has {}",
            nearest.rule_name,
            nearest.network_security_group,
            nearest.layer,
            nearest.field,
            nearest.actual,
            shortened(&nearest.expected)
        );
    }
    let same = &explained.same_answer;
    for (side, prefix, ports) in [
        ("source", &same.source_address_prefix, &same.source_port_range),
        ("destination", &same.destination_address_prefix, &same.destination_port_range),
    ] {
        _ = write!(text, "same answer    {side} {prefix}");
        if let Some(ports) = ports {
            _ = write!(text, "; {side} port {ports}");
        }
        text.push_str("  (each alone, the rest as asked)\n");
    }
    for assumption in &explained.answer.assumptions {
        _ = writeln!(text, "assumed        {} [{}]", assumption.message, assumption.id);
    }
    text
}

fn table(explained: &Explained) -> String {
    let titles =
        ["LAYER", "PRIORITY", "RULE", "SAYS", "PROTO", "SRC", "SPORT", "DST", "DPORT", "MET BY"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for layer in &explained.layers {
        rows.extend(layer.rules.iter().map(|rule| row(layer.layer.as_str(), rule)));
    }
    terminal::columns(&rows)
}

fn row(layer: &str, rule: &ExplainedRule) -> Vec<String> {
    let mark = |met: Option<bool>| match met {
        Some(true) => "yes".to_owned(),
        Some(false) => "-".to_owned(),
        None => "?".to_owned(),
    };
    let met_by = match rule.matched {
        Some(true) => {
            let sides = [("from", &rule.source_matched_by), ("to", &rule.destination_matched_by)];
            let sides =
                sides.iter().filter_map(|(word, by)| Some(format!("{word} {}", met(by.as_ref()?))));
            format!("<- decides: {}", sides.collect::<Vec<_>>().join(" "))
        }
        Some(false) => String::new(),
        None => "<- may decide".to_owned(),
    };
    vec![
        layer.to_owned(),
        rule.priority.to_string(),
        rule.rule_name.clone(),
        rule.access.to_string(),
        mark(Some(rule.protocol_matched)),
        mark(rule.source_matched),
        mark(Some(rule.source_port_matched)),
        mark(rule.destination_matched),
        mark(Some(rule.destination_port_matched)),
        met_by,
    ]
}

fn met(by: &MatchedBy) -> String {
    match &by.prefix {
        Some(prefix) => format!("{} ({prefix})", shortened(&by.value)),
        None => by.value.clone(),
    }
}

fn shortened(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    let start: String = value.chars().take(LONGEST_VALUE).collect();
    format!("{start}...")
}
