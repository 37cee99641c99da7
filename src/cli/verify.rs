//! `nsgwatch verify`: asks what the rules say of a packet that nobody sent, with or without a running agent.

use std::path::PathBuf;
use std::process::ExitCode;

use ipnet::IpNet;

use super::{OutputFormat, block_on, exit, terminal};
use crate::capture::link;
use crate::classifier::Policy;
use crate::config::rule_files;
use crate::config::{DEFAULT_SOCKET, RuleOptions};
use crate::control::client;
use crate::control::verify::{Endpoint, VerifyAnswer, VerifyQuery};
use crate::flow::{Direction, Protocol};
use crate::nsg::Access;

const AFTER_HELP: &str = "\
Without rule options the running agent answers, from the rules it has in force. With any of --nic-nsg,
--subnet-nsg, --virtual-network or --service-tags the answer is made here, without an agent.

Examples:
  nsgwatch verify --direction inbound --protocol tcp --local 10.0.0.4:443 --remote 203.0.113.9:50211
  nsgwatch verify --nic-nsg web.json --virtual-network 10.0.0.0/16 \\
      --direction outbound --protocol udp --local '10.0.0.4:*' --remote 8.8.8.8:53 -o json
  nsgwatch verify --direction inbound --protocol tcp --local '[fd00::4]:443' --remote '[2001:db8::9]:50211'";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// Which way the packet goes, seen from the VM: inbound or outbound
    #[arg(long, value_parser = clap::value_parser!(Direction))]
    direction: Direction,

    /// tcp, udp, icmp, icmpv6, esp, ah or a protocol number
    #[arg(long, value_parser = clap::value_parser!(Protocol))]
    protocol: Protocol,

    /// The VM's side: ADDRESS:PORT, IPv6 in brackets; the source port may be `*`
    #[arg(long, value_name = "ENDPOINT", value_parser = clap::value_parser!(Endpoint))]
    local: Endpoint,

    /// The other side
    #[arg(long, value_name = "ENDPOINT", value_parser = clap::value_parser!(Endpoint))]
    remote: Endpoint,

    #[command(flatten)]
    rules: RuleOptions,

    /// Socket of the agent
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,

    /// How to print the answer
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: OutputFormat,

    /// End with exit code 3 where the answer is Deny
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let question = VerifyQuery::new(
        arguments.direction,
        arguments.protocol,
        arguments.local,
        arguments.remote,
    );
    let query = match question {
        Ok(query) => query,
        Err(error) => {
            terminal::complain(&format!("error: {error}"));
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let answer = if arguments.rules == RuleOptions::default() {
        block_on(client::post(&arguments.socket, "/v1/verify", &query.to_json()))?
    } else {
        match rule_files::load(&arguments.rules, &connected_prefixes(&arguments.rules)) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    terminal::complain(&format!("warning: {warning}"));
                }
                query.ask(&Policy::compile(loaded.rules, 1)?)?
            }
            Err(errors) => {
                for error in errors.0 {
                    terminal::complain(&format!("error: {error}"));
                }
                return Ok(ExitCode::from(exit::FAILED));
            }
        }
    };
    terminal::answer(&match arguments.output {
        OutputFormat::Json => serde_json::to_string_pretty(&answer)?,
        OutputFormat::Text => sentence(&answer),
    })?;
    let denied = arguments.exit_code && answer.access == Access::Deny;
    Ok(if denied { ExitCode::from(exit::DENIED) } else { ExitCode::SUCCESS })
}

/// The prefixes of this machine's default-route interface, as `run` takes them, where the options do not say what
/// the virtual network is.
fn connected_prefixes(rules: &RuleOptions) -> Vec<IpNet> {
    if rules.virtual_network.is_some() {
        return Vec::new();
    }
    let connected =
        link::default_route().map(|interface| interface.connected_prefixes()).unwrap_or_default();
    let list: Vec<String> = connected.iter().map(ToString::to_string).collect();
    terminal::complain(&format!(
        "note: VirtualNetwork is taken as {}; say otherwise with --virtual-network",
        if list.is_empty() { "empty".to_owned() } else { list.join(" ") }
    ));
    connected
}

fn sentence(answer: &VerifyAnswer) -> String {
    let Some(name) = &answer.rule_name else {
        return format!("{}  (no network security group applies)", answer.access);
    };
    let text = format!("{}  {name}", answer.access);
    match (&answer.network_security_group, answer.layer, answer.priority) {
        (Some(group), Some(layer), Some(priority)) => {
            format!("{text}  (NSG {group}, {layer}, priority {priority})")
        }
        _ => text,
    }
}
