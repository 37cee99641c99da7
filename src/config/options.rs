//! What can be told on the command line: the options of the agent, and the words their values are made of.
//!
//! In come single words of a command line or of a configuration file, out go typed values, or what is wrong with one
//! word. No option has a default here, so that two places can be joined; nothing here reads a file.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use serde::Deserialize;

use crate::nsg::load::Unresolved;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON object a line, for programs.
    Json,
    /// One aligned line, for people.
    Text,
}

/// Which events of a flow become records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Events {
    /// Its start, with the verdict, and its end, with the traffic.
    #[default]
    Both,
    /// Only its start.
    Start,
    /// Only its end.
    End,
}

/// A time span: a number of seconds, or a number with a unit, as in `4m` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "SecondsOrText")]
pub struct Span(#[cfg_attr(test, schemars(with = "SecondsOrText"))] pub Duration);

impl FromStr for Span {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text)).map(Self)
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
enum SecondsOrText {
    Seconds(u64),
    Text(String),
}

impl TryFrom<SecondsOrText> for Span {
    type Error = humantime::DurationError;

    fn try_from(value: SecondsOrText) -> Result<Self, Self::Error> {
        match value {
            SecondsOrText::Seconds(seconds) => Ok(Self(Duration::from_secs(seconds))),
            SecondsOrText::Text(text) => text.parse(),
        }
    }
}

/// An IP prefix; an address alone is a prefix of full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(try_from = "String")]
pub struct Prefix(#[cfg_attr(test, schemars(with = "String"))] pub IpNet);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text.parse().map_err(|_| {
            format!("`{text}` is not a prefix such as 10.0.0.0/16 or 2001:db8::/48")
        })?;
        if network.addr() == network.network() {
            Ok(Self(network))
        } else {
            Err(format!("`{text}` has host bits set; did you mean {}?", network.trunc()))
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Which rules apply: the same options for `run`, `verify` and `check`, on the command line and in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RuleOptions {
    /// Network security group of the interface: FILE, FILE#NAME where the file holds several, or `none`. A file is
    /// Azure's JSON, YAML with the same fields, an ARM template, or what `terraform show -json` prints
    #[arg(long, value_name = "FILE")]
    pub nic_nsg: Option<String>,

    /// Network security group of the subnet: FILE, FILE#NAME or `none`
    #[arg(long, value_name = "FILE")]
    pub subnet_nsg: Option<String>,

    /// Effective rules (`az network nic list-effective-nsg`): the groups of subnet and interface and the admin rules,
    /// with Azure's own expansion of the tags. A group that is also given by itself is taken from there
    #[arg(long, value_name = "FILE")]
    pub effective: Option<String>,

    /// Security admin rules of a virtual network manager
    #[arg(long, value_name = "FILE", value_delimiter = ',', num_args = 1..)]
    pub admin_rules: Option<Vec<PathBuf>>,

    /// The interface (`az network nic show`), which says of which application security groups it is a member
    #[arg(long, value_name = "FILE")]
    pub nic: Option<PathBuf>,

    /// All members of application security groups: `group: [addresses]` in YAML or JSON, or `az network nic list`
    #[arg(long, value_name = "FILE", value_delimiter = ',', num_args = 1..)]
    pub application_security_groups: Option<Vec<PathBuf>>,

    /// Values of an ARM template's parameters (a parameters file)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub parameters: Option<PathBuf>,

    /// The published service tag file (`ServiceTags_Public_*.json`), for rules that name other tags than
    /// VirtualNetwork, Internet and AzureLoadBalancer
    #[arg(long, value_name = "FILE")]
    pub service_tags: Option<PathBuf>,

    /// Address space of the virtual network, peered networks included [default: the prefixes that the interface is
    /// connected to]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', num_args = 1..)]
    pub virtual_network: Option<Vec<Prefix>>,

    /// What the tag Internet stands for, as effective rules show it [default: the public address space outside the
    /// virtual network]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', num_args = 1.., hide_short_help = true)]
    pub internet: Option<Vec<Prefix>>,

    /// Rules that name a service tag or an application security group that nothing explains: `refuse` to load them,
    /// or load them and call packets that they might decide `undecided` [default: refuse]
    #[arg(long, value_name = "WHAT", hide_short_help = true, value_parser = clap::value_parser!(Unresolved))]
    pub unresolved: Option<Unresolved>,
}

/// What `run` can be told on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct RunOptions {
    /// Interface to watch, given once for each of several; one that is not there is waited for [default: the one of
    /// the default route]
    #[arg(short, long, value_name = "NAME")]
    pub interface: Option<Vec<String>>,

    /// Which rules apply to every interface.
    #[command(flatten)]
    pub rules: RuleOptions,

    /// Which rules apply to single interfaces, by name: the tables `[interface.NAME]` of the configuration file. What
    /// they leave out, `rules` says.
    #[arg(skip)]
    pub interface_rules: BTreeMap<String, RuleOptions>,

    /// Unix socket to answer questions on [default: /run/nsgwatch/nsgwatch.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Loopback address to answer on as well, over HTTP to whoever has the token [default: none]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,

    /// File with the token that clients of --listen must send; nobody but its owner and group may read it
    #[arg(long, value_name = "FILE")]
    pub listen_token_file: Option<PathBuf>,

    /// User to become where root starts the agent: it reads the rules and writes the records as this one [default:
    /// whoever used sudo, else nsgwatch where there is such a user, else nobody]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// File to append records to; `-` is standard output [default: -]
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// How records are written [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Which events of a flow become records: its `start`, its `end` or `both`; `observe` and `top` see the same
    /// [default: both]
    #[arg(long, value_name = "WHICH", hide_short_help = true, hide_possible_values = true)]
    pub events: Option<Events>,

    /// The most flows remembered at once [default: 262144]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub max_flows: Option<u32>,

    /// A TCP flow ends after this time without a packet [default: 240s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub tcp_idle_timeout: Option<Span>,

    /// A UDP flow ends after this time without a packet [default: 30s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub udp_idle_timeout: Option<Span>,

    /// Any other flow ends after this time without a packet [default: 30s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub other_idle_timeout: Option<Span>,

    /// A closed TCP flow is kept this long for late packets [default: 5s]
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub closed_timeout: Option<Span>,

    /// The most records waiting to be written; more are lost and counted [default: 131072]
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub record_queue: Option<u32>,

    /// Size of the capture ring in MiB; one holds about 7,000 small packets [default: 8]
    #[arg(long, value_name = "MIB", hide_short_help = true)]
    pub ring_mib: Option<u32>,
}

impl RuleOptions {
    /// Returns these options where they are given, and the others where not.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            nic_nsg: self.nic_nsg.or(other.nic_nsg),
            subnet_nsg: self.subnet_nsg.or(other.subnet_nsg),
            effective: self.effective.or(other.effective),
            admin_rules: self.admin_rules.or(other.admin_rules),
            nic: self.nic.or(other.nic),
            application_security_groups: self
                .application_security_groups
                .or(other.application_security_groups),
            parameters: self.parameters.or(other.parameters),
            service_tags: self.service_tags.or(other.service_tags),
            virtual_network: self.virtual_network.or(other.virtual_network),
            internet: self.internet.or(other.internet),
            unresolved: self.unresolved.or(other.unresolved),
        }
    }
}

impl RunOptions {
    /// Returns these options where they are given, and the others where not. Rules that these options give for every
    /// interface win over what the others say of a single one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut interface_rules = self.interface_rules;
        for (name, rules) in other.interface_rules {
            let own = interface_rules.remove(&name).unwrap_or_default();
            interface_rules.insert(name, own.or(self.rules.clone()).or(rules));
        }
        Self {
            interface_rules,
            interface: self.interface.or(other.interface),
            rules: self.rules.or(other.rules),
            socket: self.socket.or(other.socket),
            listen: self.listen.or(other.listen),
            listen_token_file: self.listen_token_file.or(other.listen_token_file),
            user: self.user.or(other.user),
            output: self.output.or(other.output),
            format: self.format.or(other.format),
            events: self.events.or(other.events),
            max_flows: self.max_flows.or(other.max_flows),
            tcp_idle_timeout: self.tcp_idle_timeout.or(other.tcp_idle_timeout),
            udp_idle_timeout: self.udp_idle_timeout.or(other.udp_idle_timeout),
            other_idle_timeout: self.other_idle_timeout.or(other.other_idle_timeout),
            closed_timeout: self.closed_timeout.or(other.closed_timeout),
            record_queue: self.record_queue.or(other.record_queue),
            ring_mib: self.ring_mib.or(other.ring_mib),
        }
    }
}
