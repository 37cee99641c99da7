//! What `verify` and `explain` share: the question's options, and where the answer comes from.

use std::fmt::Write;

use super::agent_socket::AgentSocket;
use super::record::Record;
use super::{OutputFormat, offline_rules};
use crate::capture::link;
use crate::classifier::Policy;
use crate::config::RuleOptions;
use crate::control::verify::{Endpoint, VerifyAnswer, VerifyError, VerifyQuery};
use crate::flow::{Direction, Protocol};
use crate::nsg::RuleNameStyle;

/// A packet that nobody sent.
#[derive(Debug, clap::Args)]
pub(super) struct Packet {
    /// Which way the packet goes, seen from the VM: inbound or outbound
    #[arg(long, value_parser = clap::value_parser!(Direction))]
    pub(super) direction: Direction,

    /// tcp, udp, icmp, icmpv6, esp, ah or a protocol number
    #[arg(long, value_parser = clap::value_parser!(Protocol))]
    pub(super) protocol: Protocol,

    /// The VM's side: ADDRESS:PORT, IPv6 in brackets; the source port may be `*`
    #[arg(long, value_name = "ENDPOINT", value_parser = clap::value_parser!(Endpoint))]
    pub(super) local: Endpoint,

    /// The other side
    #[arg(long, value_name = "ENDPOINT", value_parser = clap::value_parser!(Endpoint))]
    pub(super) remote: Endpoint,
}

impl Packet {
    /// Makes the packet that opened a flow; `None` of a flow that nobody can ask about.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let (source, destination) =
            (record.source().parse().ok()?, record.destination().parse().ok()?);
        let direction = record.direction.parse().ok()?;
        let (local, remote) = match direction {
            Direction::Inbound => (destination, source),
            Direction::Outbound => (source, destination),
        };
        Some(Self { direction, protocol: record.transport.parse().ok()?, local, remote })
    }

    /// Makes the question.
    pub(super) fn query(&self) -> Result<VerifyQuery, VerifyError> {
        VerifyQuery::new(self.direction, self.protocol, self.local, self.remote)
    }
}

/// Who answers, and how the answer is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    #[command(flatten)]
    rules: RuleOptions,

    /// Interface whose rules are asked [default: the one that has the local address, else the only one]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,

    #[command(flatten)]
    pub(super) socket: AgentSocket,

    /// How to print the answer
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub(super) output_format: OutputFormat,

    /// How rules are named: azure (securityRules/x), diagnostics (`UserRule_x`) or bare (x)
    #[arg(long, value_name = "STYLE", default_value = "azure",
          value_parser = clap::value_parser!(RuleNameStyle))]
    pub(super) rule_names: RuleNameStyle,
}

impl Asking {
    /// Says whether rules are given, so that no agent is asked.
    pub(super) fn is_offline(&self) -> bool {
        self.rules != RuleOptions::default()
    }

    /// Writes the question to the agent.
    pub(super) fn body(&self, query: &VerifyQuery) -> serde_json::Value {
        let mut body = query.to_json();
        if let (Some(name), Some(body)) = (&self.interface, body.as_object_mut()) {
            body.insert("interface".to_owned(), name.as_str().into());
        }
        body
    }

    /// Loads the rules that the options name; `None` where they are refused, which has been said.
    pub(super) fn policy(&self) -> anyhow::Result<Option<Policy>> {
        // As `run` takes them.
        offline_rules::policy(&self.rules, || {
            let interface = match &self.interface {
                Some(name) => link::find(name),
                None => link::default_route(),
            };
            interface.map(|interface| interface.connected_prefixes()).unwrap_or_default()
        })
    }
}

/// Says the answer in one line, and one more for each thing to know of it.
pub(super) fn sentence(answer: &VerifyAnswer) -> String {
    let mut text = verdict(answer);
    if let Some(platform) = answer.platform {
        // Writing to a string can not fail, here and below.
        _ = write!(
            text,
            "\nplatform: {} traffic, {} whatever the rules say",
            platform.traffic, platform.effect
        );
    }
    for note in &answer.notes {
        _ = write!(text, "\nnote: {}", note.message);
    }
    text
}

fn verdict(answer: &VerifyAnswer) -> String {
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
