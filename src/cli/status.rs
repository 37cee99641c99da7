//! `nsgwatch status`: one screen about the running agent.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use super::agent_socket::AgentSocket;
use super::{OutputFormat, block_on, terminal};
use crate::control::client;
use crate::control::status::{GroupStatus, InterfaceStatus, RulesStatus, Status};
use crate::engine::VerdictCounters;

const AFTER_HELP: &str = "\
Examples:
  nsgwatch status
  nsgwatch status -o json | jq '.interfaces[].engine.flows'
  nsgwatch status --socket /run/nsgwatch/nsgwatch.sock

Exit codes: 0 answered, 1 failed, 2 wrong usage, 4 no agent reachable.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: AgentSocket,

    /// How to print the answer
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output_format: OutputFormat,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let status: Status = block_on(client::get(&arguments.socket.path, "/v1/status"))?;
    terminal::answer(&match arguments.output_format {
        OutputFormat::Json => serde_json::to_string_pretty(&status)?,
        OutputFormat::Text => screen(&status),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn screen(status: &Status) -> String {
    let mut rows =
        vec![("agent", format!("nsgwatch {}, up {}", status.version, span(status.uptime_seconds)))];
    for interface in &status.interfaces {
        rows.extend(interface_rows(interface));
    }
    let lost = status.records.lost_queue_full + status.records.lost_write_failed;
    rows.push(("last reload", reload(status)));
    rows.push(("records", format!("{} written, {lost} lost", status.records.written)));
    let observers = &status.observers;
    rows.push((
        "observers",
        format!(
            "{}, {} records delivered, {} lost",
            observers.readers, observers.delivered, observers.lost
        ),
    ));
    rows.into_iter().fold(String::new(), |mut text, (name, value)| {
        text.push_str(format!("{name:<15} {value}").trim_end());
        text.push('\n');
        text
    })
}

fn interface_rows(interface: &InterfaceStatus) -> Vec<(&'static str, String)> {
    let (engine, rules) = (&interface.engine, &interface.rules);
    vec![
        ("", String::new()),
        ("interface", state(interface)),
        ("  addresses", interface.addresses.join(" ")),
        ("  subnet NSG", group(rules.subnet.as_ref())),
        ("  NIC NSG", group(rules.nic.as_ref())),
        ("  VirtualNet", rules.virtual_network.join(" ")),
        ("  rules", revision(rules)),
        (
            "  packets",
            format!(
                "{} judged, {} skipped, {} dropped by the kernel",
                engine.packets,
                engine.skipped.total(),
                interface.kernel.drops
            ),
        ),
        (
            "  flows",
            format!(
                "{} live of at most {}, {} since the start, {} evicted",
                engine.flows.live,
                interface.flow_limit,
                engine.flows.created,
                engine.flows.ended.evicted
            ),
        ),
        ("  verdicts", verdicts(&engine.verdicts)),
    ]
}

fn state(interface: &InterfaceStatus) -> String {
    let mut text = format!("{}: {}", interface.name, interface.state.as_str());
    // Writing to a string can not fail, here and below.
    if let Some(since) = &interface.degraded_since {
        _ = write!(text, " since {since}");
    }
    if let (Some(start), Some(end)) = (&interface.gaps.last_start, &interface.gaps.last_end) {
        let count = interface.gaps.count;
        _ = write!(
            text,
            " ({count} gap{}, the last from {start} to {end})",
            if count == 1 { "" } else { "s" }
        );
    }
    text
}

fn revision(rules: &RulesStatus) -> String {
    let mut text = format!("revision {}, read {} ago", rules.revision, span(rules.age_seconds));
    if !rules.files.is_empty() {
        let files = rules.files.len();
        _ = write!(
            text,
            " from {files} file{} (CRC-32 {})",
            if files == 1 { "" } else { "s" },
            rules.content_crc32
        );
    }
    text
}

/// `1day 2h 3m 4s`.
fn span(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// Undecided flows are there only where the configuration lets unknown names pass.
fn verdicts(verdicts: &VerdictCounters) -> String {
    let VerdictCounters { allow, deny, undecided } = verdicts;
    let text = format!("{allow} Allow, {deny} Deny");
    if *undecided == 0 { text } else { format!("{text}, {undecided} Undecided") }
}

fn group(group: Option<&GroupStatus>) -> String {
    group.map_or_else(
        || "none".to_owned(),
        |group| format!("{} ({} rules)", group.name, group.rules),
    )
}

fn reload(status: &Status) -> String {
    match &status.last_reload {
        None => "none".to_owned(),
        Some(reload) if reload.successful => format!("{}: new rules in force", reload.at),
        Some(reload) => format!(
            "{}: FAILED, the old rules stay in force: {}",
            reload.at,
            reload.errors.join("; ")
        ),
    }
}
