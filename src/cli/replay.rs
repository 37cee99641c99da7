//! `nsgwatch replay`: judges the packets of capture files, and sums up what each rule decided.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::progress::ProgressLine;
use super::terminal::Color;
use super::{OutputFormat, exit, offline_rules, terminal};
use crate::capture::pcap::FileEnd;
use crate::config::{Format, Prefix, RuleOptions, RunOptions, Settings, Span};
use crate::daemon::record_format;
use crate::replay::{Replay, Replayed, RuleTotal, Summary};
use crate::report::{Hub, Output, RecordCounters, RecordQueue, RecordWriter, Sink, WriterHandle};

const AFTER_HELP: &str = "\
The same engine judges as live, by the packets' own times. Files may be pcap or pcapng, gzip or not, of any size, with \
Ethernet, Linux cooked, raw IP or BSD loopback frames; several are read one after the other in the order given, as if \
they were one. `-` is standard input.

The direction of a packet is told by --local. Without it: by the records, where all of them say it (tcpdump -i any); \
else by the Ethernet address, else by the IP addresses, that are an end of every packet at the files' beginning. What \
was assumed is printed; where it can not be told nothing is replayed.

Standard output gets a table with what each rule decided (or the records, with --records) and at the end one JSON \
line with the counters; messages go to standard error. The exit code is 1 where a file is damaged in the middle; one \
that is cut off at its end, as a killed capture leaves it, only gives a warning.

Examples:
  nsgwatch replay --local 10.0.0.4 --virtual-network 10.0.0.0/16 --nic-nsg web-nic.json capture.pcap
  nsgwatch replay --nic-nsg web-nic.json --subnet-nsg web-subnet.json \\
      --output flows.jsonl day-*.pcapng.gz
  tcpdump -i eth0 -w - -c 1000 | nsgwatch replay --local 10.0.0.4 --records -

Exit codes: 0 all was judged, 1 something was not, 2 wrong usage.";

/// How long the last records may take to be written, if anybody reads them at all.
const PATIENCE: Duration = Duration::from_hours(24 * 365);

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Capture files (pcap or pcapng, gzip or not); `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    rules: RuleOptions,

    /// Addresses of the VM, or prefixes that hold nothing else: they tell the direction of packets
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    local: Vec<Prefix>,

    /// Print the records of flows in place of the table
    #[arg(long, conflicts_with = "output_format")]
    records: bool,

    /// File to append records to; the table is printed all the same
    #[arg(long, value_name = "PATH", conflicts_with = "records")]
    output: Option<PathBuf>,

    /// How records are written [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// How the table is printed; as JSON it is part of the line with the counters
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output_format: OutputFormat,

    /// The interface that records name
    #[arg(long, value_name = "NAME", default_value = "replay", hide_short_help = true)]
    interface: String,

    /// The most flows remembered at once [default: 262144]
    #[arg(long, value_name = "N", hide_short_help = true)]
    max_flows: Option<u32>,

    /// A TCP flow ends after this time without a packet [default: 240s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    tcp_idle_timeout: Option<Span>,

    /// A UDP flow ends after this time without a packet [default: 30s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    udp_idle_timeout: Option<Span>,

    /// Any other flow ends after this time without a packet [default: 30s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    other_idle_timeout: Option<Span>,

    /// A closed TCP flow is kept this long for late packets [default: 5s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    closed_timeout: Option<Span>,
}

impl Arguments {
    /// The settings of `run` that a replay has too.
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::resolve(RunOptions {
            output: self.output.clone(),
            format: self.format,
            max_flows: self.max_flows,
            tcp_idle_timeout: self.tcp_idle_timeout,
            udp_idle_timeout: self.udp_idle_timeout,
            other_idle_timeout: self.other_idle_timeout,
            closed_timeout: self.closed_timeout,
            ..RunOptions::default()
        })?)
    }
}

/// The last line of the output.
#[derive(Serialize)]
struct LastLine<'a> {
    #[serde(flatten)]
    summary: Summary,
    records_written: u64,
    records_lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a [RuleTotal]>,
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    let Some(policy) = offline_rules::policy(&arguments.rules, Vec::new)? else {
        return Ok(ExitCode::from(exit::FAILED));
    };
    let settings = arguments.settings()?;
    let local: Vec<_> = arguments.local.iter().map(|prefix| prefix.0).collect();
    let (queue, writer) = match open_records(arguments, &settings, color)? {
        Some((queue, writer)) => (Some(queue), Some(writer)),
        None => (None, None),
    };
    let replay = Replay::new(&arguments.files, &local, policy, settings.limits(), queue)?;
    if local.is_empty() {
        terminal::complain(&format!("note: {}", replay.local_side()));
    }
    let mut line = ProgressLine::new(&arguments.files, "packets");
    let replayed =
        replay.run(&arguments.files, |progress| line.show(progress.bytes, progress.packets));
    line.clear();
    let replayed = replayed?;
    let records = writer.map(|writer| writer.finish(PATIENCE)).unwrap_or_default();
    print(arguments, &replayed, &records)?;
    Ok(verdict(&replayed, &records))
}

fn open_records(
    arguments: &Arguments,
    settings: &Settings,
    color: Color,
) -> anyhow::Result<Option<(RecordQueue, WriterHandle)>> {
    let sink = match &settings.output {
        Some(path) => Sink::File(path.clone()),
        None if arguments.records || arguments.output.is_some() => Sink::Stdout,
        None => return Ok(None),
    };
    let format = record_format(settings.format, &sink, color.on_stdout());
    let writer = RecordWriter {
        output: Output::open(sink)?,
        format,
        interface_names: vec![arguments.interface.clone()],
        queue_limit: settings.record_queue as usize,
        hub: Hub::new(0, 0),
    };
    // The reader of standard output has gone away, as `head` does: there is nobody to go on for.
    let (queues, writer) = writer.start(|| std::process::exit(0))?;
    Ok(queues.into_iter().next().map(|queue| (queue, writer)))
}

fn print(
    arguments: &Arguments,
    replayed: &Replayed,
    records: &RecordCounters,
) -> anyhow::Result<()> {
    let as_json = arguments.output_format == OutputFormat::Json;
    let is_on_stdout = arguments.records || arguments.output.as_deref() == Some(Path::new("-"));
    if !as_json && !is_on_stdout {
        terminal::answer(&table(&replayed.rules))?;
    }
    let last = LastLine {
        summary: replayed.summary,
        records_written: records.written,
        records_lost: records.lost_queue_full + records.lost_write,
        rules: as_json.then_some(&replayed.rules),
    };
    terminal::answer(&serde_json::to_string(&last)?)
}

fn table(rules: &[RuleTotal]) -> String {
    let header = ["RULE", "NSG", "LAYER", "ACCESS", "FLOWS", "PACKETS", "BYTES"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for total in rules {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        rows.push(vec![
            or_dash(&total.rule),
            or_dash(&total.nsg),
            or_dash(&total.layer.map(|layer| layer.to_string())),
            total.access.to_string(),
            total.flows.to_string(),
            total.packets.to_string(),
            total.bytes.to_string(),
        ]);
    }
    terminal::columns(&rows)
}

/// Says what went wrong, and turns it into the exit code.
fn verdict(replayed: &Replayed, records: &RecordCounters) -> ExitCode {
    let mut is_incomplete = false;
    for (path, end) in &replayed.troubles {
        let path = path.display();
        match end {
            FileEnd::Whole => {}
            FileEnd::Cut { offset } => terminal::complain(&format!(
                "warning: {path}: cut off in the record at byte {offset}; what is before it was used"
            )),
            FileEnd::Damaged { offset, reason } => {
                is_incomplete = true;
                terminal::complain(&format!(
                    "error: {path}: byte {offset}: {reason}; only what is before it was used"
                ));
            }
        }
    }
    let summary = &replayed.summary;
    if summary.direction_assumed > 0 {
        terminal::complain(&format!(
            "warning: {} packets are not between a local and another address; they are taken as inbound",
            summary.direction_assumed
        ));
    }
    let lost = records.lost_queue_full + records.lost_write;
    if lost > 0 {
        is_incomplete = true;
        terminal::complain(&format!("error: {lost} records could not be written"));
    }
    if is_incomplete { ExitCode::from(exit::FAILED) } else { ExitCode::SUCCESS }
}
