//! `nsgwatch verify`: asks what the rules say of a packet that nobody sent, with or without a running agent.

use std::path::PathBuf;
use std::process::ExitCode;

use super::question::{Asking, Packet, sentence};
use super::terminal::Color;
use super::{OutputFormat, batch, block_on, exit, terminal};
use crate::control::client;
use crate::control::verify::{Endpoint, VerifyAnswer};
use crate::flow::{Direction, Protocol};
use crate::nsg::Access;

const AFTER_HELP: &str = "\
Without rule options the running agent answers, from the rules it has in force. With any option for \
rules, from --nic-nsg to --unresolved, the answer is made here, without an agent.

Examples:
  nsgwatch verify --direction inbound --protocol tcp --local 10.0.0.4:443 --remote 203.0.113.9:50211
  nsgwatch verify --nic-nsg web.json --virtual-network 10.0.0.0/16 \\
      --direction outbound --protocol udp --local '10.0.0.4:*' --remote 8.8.8.8:53 -o json
  nsgwatch verify --direction inbound --protocol tcp --local '[fd00::4]:443' \\
      --remote '[2001:db8::9]:50211'
  nsgwatch verify --nic-nsg web.json --virtual-network 10.0.0.0/16 --batch questions.csv
  zcat questions.jsonl.gz | nsgwatch verify --nic-nsg web.json --batch -

Exit codes: 0 answered, Deny included; 1 the rules are refused, or with --batch a line could not be answered \
(its answer says why, under its line number; all others are answered); 2 wrong usage; 3 Deny with --exit-code; \
4 no agent reachable.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Which way the packet goes, seen from the VM: inbound or outbound
    #[arg(long, required_unless_present = "batch", value_parser = clap::value_parser!(Direction))]
    direction: Option<Direction>,

    /// tcp, udp, icmp, icmpv6, esp, ah or a protocol number
    #[arg(long, required_unless_present = "batch", value_parser = clap::value_parser!(Protocol))]
    protocol: Option<Protocol>,

    /// The VM's side: `ADDRESS:PORT` or `[IPv6]:PORT`; the source port may be `*`
    #[arg(long, value_name = "ENDPOINT", required_unless_present = "batch",
          value_parser = clap::value_parser!(Endpoint))]
    local: Option<Endpoint>,

    /// The other side
    #[arg(long, value_name = "ENDPOINT", required_unless_present = "batch",
          value_parser = clap::value_parser!(Endpoint))]
    remote: Option<Endpoint>,

    /// Answer every line of a file (`-` is standard input): CSV with a header (direction, protocol, localIPAddress,
    /// localPort, remoteIPAddress, remotePort) or one JSON request a line; the answers come in the same form and
    /// order, each with the number of its line. A line that can not be answered gets an answer that says why, and
    /// the exit code is 1. Needs the rules as options
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["direction", "protocol", "local", "remote", "exit_code", "output_format"])]
    batch: Option<PathBuf>,

    #[command(flatten)]
    asking: Asking,

    /// End with exit code 3 where the answer is Deny, or Undecided
    #[arg(long)]
    exit_code: bool,
}

impl Arguments {
    fn packet(&self) -> Option<Packet> {
        Some(Packet {
            direction: self.direction?,
            protocol: self.protocol?,
            local: self.local?,
            remote: self.remote?,
        })
    }
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    let asking = &arguments.asking;
    if let Some(file) = &arguments.batch {
        if !asking.is_offline() {
            terminal::complain(
                "error: --batch takes the rules as options, for example --nic-nsg FILE",
            );
            return Ok(ExitCode::from(exit::USAGE));
        }
        let Some(policy) = asking.policy()? else { return Ok(ExitCode::from(exit::FAILED)) };
        return batch::run(file, &policy, asking.rule_names);
    }
    // Without --batch the command line demands all four.
    let Some(packet) = arguments.packet() else { return Ok(ExitCode::from(exit::USAGE)) };
    let query = match packet.query() {
        Ok(query) => query,
        Err(error) => {
            terminal::complain(&format!("error: {error}"));
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let mut answer = if asking.is_offline() {
        let Some(policy) = asking.policy()? else { return Ok(ExitCode::from(exit::FAILED)) };
        query.ask(&policy)?
    } else {
        block_on::<VerifyAnswer>(client::post(
            &asking.socket.path,
            "/v1/verify",
            &asking.body(&query),
        ))?
    };
    answer.respell(asking.rule_names);
    terminal::answer(&match asking.output_format {
        OutputFormat::Json => serde_json::to_string_pretty(&answer)?,
        OutputFormat::Text => terminal::painted(&sentence(&answer), color.on_stdout()),
    })?;
    let not_allowed = arguments.exit_code && answer.access != Access::Allow;
    Ok(if not_allowed { ExitCode::from(exit::DENIED) } else { ExitCode::SUCCESS })
}
