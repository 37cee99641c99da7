//! `nsgwatch status`: one screen about the running agent.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{OutputFormat, block_on, terminal};
use crate::config::DEFAULT_SOCKET;
use crate::control::client;
use crate::control::status::{GroupStatus, Status};
use crate::engine::VerdictCounters;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Socket of the agent
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,

    /// How to print the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: OutputFormat,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let status: Status = block_on(client::get(&arguments.socket, "/v1/status"))?;
    terminal::answer(&match arguments.output {
        OutputFormat::Json => serde_json::to_string_pretty(&status)?,
        OutputFormat::Text => screen(&status),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn screen(status: &Status) -> String {
    let engine = &status.engine;
    let interface = format!("{}  {}", status.interface.name, status.interface.addresses.join(" "));
    let mut rows = vec![
        ("agent", format!("nsgwatch {}, up {} s", status.version, status.uptime_seconds)),
        ("interface", interface),
        ("subnet NSG", group(status.rules.subnet.as_ref())),
        ("NIC NSG", group(status.rules.nic.as_ref())),
        ("VirtualNetwork", status.rules.virtual_network.join(" ")),
        ("rules", format!("revision {}, loaded {}", status.rules.revision, status.rules.loaded)),
        ("last reload", reload(status)),
        (
            "packets",
            format!(
                "{} judged, {} skipped, {} dropped by the kernel",
                engine.packets,
                engine.skipped.total(),
                status.kernel.drops
            ),
        ),
        (
            "flows",
            format!(
                "{} live of at most {}, {} since the start, {} evicted",
                engine.flows.live,
                status.flow_limit,
                engine.flows.created,
                engine.flows.ended.evicted
            ),
        ),
        ("verdicts", verdicts(&engine.verdicts)),
    ];
    let lost = status.records.lost_queue_full + status.records.lost_write_failed;
    rows.push(("records", format!("{} written, {lost} lost", status.records.written)));
    rows.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _infallible = writeln!(text, "{name:<15} {value}");
        text
    })
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
    match &status.rules.last_reload {
        None => "none".to_owned(),
        Some(reload) if reload.successful => format!("{}: new rules in force", reload.at),
        Some(reload) => format!(
            "{}: FAILED, the old rules stay in force: {}",
            reload.at,
            reload.errors.join("; ")
        ),
    }
}
