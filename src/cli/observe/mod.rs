//! `nsgwatch observe`: the records of the running agent, as they come.

mod filters;
mod lines;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::ValueEnum;

use self::filters::Filters;
use self::lines::Lines;
use super::agent_socket::AgentSocket;
use super::flows::push_escaped;
use super::terminal::Color;
use super::{exit, terminal};
use crate::control::client;

const AFTER_HELP: &str = "\
Without --follow, what the agent remembers is printed: of the newest 8192 records, the last 20 that meet the filters, \
or all of them with --since or --until. With --follow, what comes is printed until the agent ends.

Whoever reads too slowly loses records, and is told how many: in JSON by a line \
{\"event\":\"lost\",\"count\":17}, where count are all records that passed unseen, wanted or not.

Examples:
  nsgwatch observe --follow --access deny
  nsgwatch observe --last 100 --ip 10.0.0.0/8 --not --port 53
  nsgwatch observe --since 5m --rule DenyAllInBound -o json

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 no agent reachable.";

/// Printed where nothing says how many.
const LAST: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: AgentSocket,

    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,

    /// The newest N of the remembered records
    #[arg(long, value_name = "N")]
    last: Option<usize>,

    /// Only records from this moment on: a time as 2026-11-23T08:00:00Z, or how long ago as 5m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,

    /// Only records up to this moment, and end when it has passed
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<SystemTime>,

    #[command(flatten)]
    filters: Filters,

    /// How records are printed
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "compact")]
    output_format: RecordFormat,
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RecordFormat {
    /// One line a record, for people
    Compact,
    /// One JSON object a line, as the record file has them
    Json,
    /// In columns, under a header
    Table,
}

/// Reads a time, or a time span before now.
fn moment(text: &str) -> Result<SystemTime, String> {
    let ago = |span: Duration| SystemTime::now().checked_sub(span);
    humantime::parse_rfc3339_weak(text)
        .ok()
        .or_else(|| humantime::parse_duration(text).ok().and_then(ago))
        .ok_or_else(|| "takes a time as 2026-11-23T08:00:00Z, or how long ago as 5m".to_owned())
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    if let (Some(since), Some(until)) = (arguments.since, arguments.until)
        && until < since
    {
        terminal::complain("error: --until is before --since: no record can meet both");
        return Ok(ExitCode::from(exit::USAGE));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = client::lines(&arguments.socket.path, &path(arguments)).await?;
        let mut lines = Lines::new(arguments.output_format, color.on_stdout());
        while let Some(text) = stream.next().await? {
            if !print(&lines.render(&text)?)? {
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn path(arguments: &Arguments) -> String {
    let Arguments { follow, last, since, until, filters, .. } = arguments;
    let unsaid = !follow && since.is_none() && until.is_none();
    let last = last.or(unsaid.then_some(LAST));
    let mut path = format!("/v1/observe?follow={follow}");
    let time = |time: SystemTime| humantime::format_rfc3339_nanos(time).to_string();
    let parameters = [
        ("last", last.map(|last| last.to_string())),
        ("since", since.map(time)),
        ("until", until.map(time)),
    ];
    let filters = filters.0.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    for (name, value) in parameters.chain(filters) {
        path.push('&');
        path.push_str(name);
        path.push('=');
        push_escaped(&mut path, &value);
    }
    path
}

/// Writes text at once; `false` where the reader has gone away, as `head` does.
fn print(text: &str) -> anyhow::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("can not write to standard output"),
    }
}
