//! `nsgwatch flows`: the flows that the running agent knows, most recently seen first.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::agent_socket::AgentSocket;
use super::record::Record;
use super::terminal::Color;
use super::{OutputFormat, block_on, terminal};
use crate::control::{FlowsAnswer, FlowsQuery, client};
use crate::nsg::{Access, Layer, RuleNameStyle};

const AFTER_HELP: &str = "\
Examples:
  nsgwatch flows --access deny
  nsgwatch flows --rule DenyAllInBound --limit 1000
  nsgwatch flows -o json | jq '.flows[].\"source.address\"'

Exit codes: 0 answered, 1 failed, 2 wrong usage, 4 no agent reachable.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: AgentSocket,

    /// Only flows with this answer: allow, deny or undecided
    #[arg(long, value_name = "ACCESS", value_parser = clap::value_parser!(Access))]
    access: Option<Access>,

    /// Only flows that this rule decided about: NAME, `securityRules/NAME`, `UserRule_NAME`, ...
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,

    /// The most flows to list, at most 10000
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=FlowsQuery::MOST as u64))]
    limit: u64,

    /// How to print the answer
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output_format: OutputFormat,

    /// How rules are named: azure (securityRules/x), diagnostics (`UserRule_x`) or bare (x)
    #[arg(long, value_name = "STYLE", default_value = "bare",
          value_parser = clap::value_parser!(RuleNameStyle))]
    rule_names: RuleNameStyle,
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    let mut path = format!("/v1/flows?limit={}", arguments.limit);
    if let Some(access) = arguments.access {
        path.push_str("&access=");
        path.push_str(access.as_str());
    }
    if let Some(rule) = &arguments.rule {
        path.push_str("&rule=");
        push_escaped(&mut path, rule);
    }
    let mut answer: FlowsAnswer = block_on(client::get(&arguments.socket.path, &path))?;
    for flow in &mut answer.flows {
        respell(flow, arguments.rule_names);
    }
    terminal::answer(&match arguments.output_format {
        OutputFormat::Json => serde_json::to_string_pretty(&answer)?,
        OutputFormat::Text => terminal::painted(&table(&answer)?, color.on_stdout()),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Spells the name of the rule that decided about a flow; the agent gives it bare.
fn respell(flow: &mut Value, style: RuleNameStyle) {
    let layer = flow.get("security_rule.layer").and_then(|layer| Layer::deserialize(layer).ok());
    let is_default = flow.get("security_rule.default").and_then(Value::as_bool);
    if let (Some(Value::String(name)), Some(layer), Some(is_default)) =
        (flow.get_mut("security_rule.name"), layer, is_default)
    {
        *name = style.spell(name, layer, is_default);
    }
}

/// Appends a value to a query; what is not plain is written as `%XX`.
pub(super) fn push_escaped(path: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string can not fail.
            _ = write!(path, "%{byte:02X}");
        }
    }
}

fn table(answer: &FlowsAnswer) -> anyhow::Result<String> {
    let titles =
        ["ACCESS", "DIRECTION", "PROTO", "SOURCE", "DESTINATION", "RULE", "NSG", "PACKETS"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for flow in &answer.flows {
        rows.push(row(&Record::deserialize(flow).context("the agent sent what is no record")?));
    }
    let mut text = terminal::columns(&rows);
    if answer.more {
        text.push_str("there are more; see --limit\n");
    }
    Ok(text)
}

fn row(flow: &Record) -> Vec<String> {
    vec![
        flow.access_word().to_owned(),
        flow.direction.clone(),
        flow.transport.clone(),
        flow.source(),
        flow.destination(),
        flow.rule(),
        flow.nsg(),
        flow.packets(),
    ]
}
