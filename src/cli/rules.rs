//! `nsgwatch rules`: which rules are in force in the running agent, and what they have decided.

use std::fmt::Write;
use std::process::ExitCode;

use clap::ValueEnum;

use super::agent_socket::AgentSocket;
use super::record::plain;
use super::{block_on, terminal};
use crate::control::client;
use crate::control::rules::{Resolved, RuleLine, RulesAnswer};

const AFTER_HELP: &str = "\
SOURCE and DESTINATION are the prefixes of IPv4/IPv6 that the rule's values resolve to, each value counted by itself; \
* is 1/1. HITS are the flows that the rule decided. Of an Allow in a group that hands packets on to another group, \
whose rule then decides, nobody can say: it has - there, and --unused leaves it out.

A rule keeps its hits when the rules are loaded again, as long as its direction, group, name, priority and access stay \
the same.

Examples:
  nsgwatch rules
  nsgwatch rules --unused -o json

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 no agent reachable.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: AgentSocket,

    /// Only rules that have decided nothing
    #[arg(long)]
    unused: bool,

    /// How to print the answer
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    output_format: TableFormat,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableFormat {
    /// For people
    #[value(alias = "text")]
    Table,
    /// For programs
    Json,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut answer: RulesAnswer = block_on(client::get(&arguments.socket.path, "/v1/rules"))?;
    if arguments.unused {
        for interface in &mut answer.interfaces {
            interface.rules.retain(RuleLine::is_unused);
        }
    }
    terminal::answer(&match arguments.output_format {
        TableFormat::Json => serde_json::to_string_pretty(&answer)?,
        TableFormat::Table => screen(&answer),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn screen(answer: &RulesAnswer) -> String {
    let mut text = String::new();
    for interface in &answer.interfaces {
        let name = plain(&interface.interface);
        // Writing to a string can not fail, here and below.
        _ = writeln!(text, "{name}, rules of revision {}", interface.policy_revision);
        let titles = [
            "DIR",
            "LAYER",
            "NSG",
            "PRIO",
            "SAYS",
            "PROTO",
            "SOURCE",
            "SPORTS",
            "DESTINATION",
            "DPORTS",
            "HITS",
            "LAST HIT",
            "RULE",
        ];
        let mut rows = vec![titles.map(str::to_owned).to_vec()];
        rows.extend(interface.rules.iter().map(row));
        text.push_str(&terminal::columns(&rows));
        for (count, whose) in [
            (interface.without_rule, "no rule decided"),
            (interface.by_former_rules, "rules decided that are not in force any more"),
        ] {
            if count > 0 {
                _ = writeln!(text, "{count} flows {whose}");
            }
        }
    }
    text
}

fn row(rule: &RuleLine) -> Vec<String> {
    let last = rule.last_hit.as_deref().and_then(|time| time.get(..19));
    vec![
        if rule.direction == "Inbound" { "in" } else { "out" }.to_owned(),
        rule.layer.to_string(),
        plain(&rule.network_security_group),
        rule.priority.to_string(),
        rule.access.to_string(),
        rule.protocol.clone(),
        prefixes(&rule.source),
        ranges(&rule.source_ports),
        prefixes(&rule.destination),
        ranges(&rule.destination_ports),
        rule.hits.map_or_else(|| "-".to_owned(), |hits| hits.to_string()),
        last.map_or_else(|| "-".to_owned(), |time| format!("{time}Z")),
        plain(&rule.name),
    ]
}

fn prefixes(resolved: &Resolved) -> String {
    let Resolved { ipv4_prefixes, ipv6_prefixes, unresolved, .. } = resolved;
    let unknown = if *unresolved > 0 { format!(", {unresolved} unknown") } else { String::new() };
    format!("{ipv4_prefixes}/{ipv6_prefixes}{unknown}")
}

/// The ranges where they are few, else how many.
fn ranges(ports: &str) -> String {
    let count = ports.split(',').count();
    if count > 3 { format!("{count} ranges") } else { ports.to_owned() }
}
