//! `nsgwatch verify`: asks what the rules say of a packet that nobody sent, with or without a running agent.

use std::process::ExitCode;

use super::question::{Asking, Packet, sentence};
use super::{OutputFormat, block_on, exit, terminal};
use crate::control::client;
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
    #[command(flatten)]
    packet: Packet,

    #[command(flatten)]
    asking: Asking,

    /// End with exit code 3 where the answer is Deny
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let asking = &arguments.asking;
    let query = match arguments.packet.query() {
        Ok(query) => query,
        Err(error) => {
            terminal::complain(&format!("error: {error}"));
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let answer = if asking.is_offline() {
        let Some(policy) = asking.policy()? else { return Ok(ExitCode::from(exit::FAILED)) };
        query.ask(&policy)?
    } else {
        block_on(client::post(&asking.socket, "/v1/verify", &query.to_json()))?
    };
    terminal::answer(&match asking.output {
        OutputFormat::Json => serde_json::to_string_pretty(&answer)?,
        OutputFormat::Text => sentence(&answer),
    })?;
    let denied = arguments.exit_code && answer.access == Access::Deny;
    Ok(if denied { ExitCode::from(exit::DENIED) } else { ExitCode::SUCCESS })
}
