//! The command line: one file a subcommand, each a thin caller of the rooms.
//!
//! Exit codes: 0 done, 1 failed (invalid rules for `check`), 2 wrong usage, 3 Deny or Undecided with `verify --exit-code`,
//! 4 no agent reachable, 78 the agent can not start with this configuration.

mod agent_socket;
mod batch;
mod check;
mod colour;
mod explain;
mod flows;
mod logging;
mod observe;
mod offline_rules;
mod progress;
mod question;
mod record;
mod replay;
mod rules;
mod run;
mod status;
mod terminal;
mod top;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use self::terminal::Color;
use crate::control::client::ClientError;

const AFTER_HELP: &str = "\
Examples:
  nsgwatch run --interface eth0 --nic-nsg web-nic.json --subnet-nsg web-subnet.json
  nsgwatch verify --direction inbound --protocol tcp --local 10.0.0.4:443 --remote 203.0.113.9:50211
  nsgwatch check web-nic.json web-subnet.json
  nsgwatch replay --local 10.0.0.4 --nic-nsg web-nic.json capture.pcapng

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 Deny or Undecided with `verify --exit-code`, 4 no agent reachable, \
78 the agent can not start with this configuration.";

/// Watches an interface and says of every flow which Azure network security rule allows or denies it.
///
/// It watches; it never blocks a packet.
#[derive(Debug, Parser)]
#[command(name = "nsgwatch", version, after_help = AFTER_HELP, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,

    /// When text is coloured
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options"
    )]
    color: Color,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch an interface and answer questions on the socket
    Run(run::Arguments),
    /// Ask what the rules say of a packet that nobody sent
    Verify(verify::Arguments),
    /// Say why the rules answer as they do, rule by rule and field by field
    Explain(explain::Arguments),
    /// Check rule files: all errors at once, each with its place
    Check(check::Arguments),
    /// Judge the packets of capture files, and sum up by rule
    // One value an option here, or the option would swallow the files behind it.
    #[command(mut_arg("virtual_network", |it| it.num_args(1)), mut_arg("internet", |it| it.num_args(1)), mut_arg("admin_rules", |it| it.num_args(1)), mut_arg("application_security_groups", |it| it.num_args(1)))]
    Replay(replay::Arguments),
    /// Show how the running agent is doing
    Status(status::Arguments),
    /// List the flows that the running agent knows
    Flows(flows::Arguments),
    /// List the rules in force, what they resolve to and what they have decided
    Rules(rules::Arguments),
    /// Show the records of the running agent, as they come
    Observe(observe::Arguments),
    /// Show a screen of what the running agent sees
    Top(top::Arguments),
}

/// How a command prints its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Exit codes beside success.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const DENIED: u8 = 3;
    pub(super) const NOT_REACHABLE: u8 = 4;
    /// `EX_CONFIG` of sysexits.h; systemd does not restart after it.
    pub(super) const CONFIGURATION: u8 = 78;
}

/// Returns the description of the command line, of which man pages and completions are made.
#[must_use]
pub fn command() -> clap::Command {
    CommandLine::command()
}

/// Reads the command line, does what it says and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let CommandLine { command, color } = CommandLine::parse();
    let done = match command {
        Command::Run(arguments) => run::run(&arguments, color),
        Command::Verify(arguments) => verify::run(&arguments, color),
        Command::Explain(arguments) => explain::run(&arguments, color),
        Command::Check(arguments) => check::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments, color),
        Command::Status(arguments) => status::run(&arguments),
        Command::Flows(arguments) => flows::run(&arguments, color),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Observe(arguments) => observe::run(&arguments, color),
        Command::Top(arguments) => top::run(&arguments, color),
    };
    done.unwrap_or_else(|error| {
        terminal::complain(&format!("error: {}", with_causes(&error)));
        let not_reachable = matches!(error.downcast_ref(), Some(ClientError::NotReachable { .. }));
        ExitCode::from(if not_reachable { exit::NOT_REACHABLE } else { exit::FAILED })
    })
}

/// Says on one line what went wrong and why; a cause whose words stand there already is not said again.
fn with_causes(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// Runs a short dialogue with the agent to its end.
fn block_on<T>(dialogue: impl Future<Output = Result<T, ClientError>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(dialogue)?)
}
