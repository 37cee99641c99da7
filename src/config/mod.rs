//! Settings: what the command line and the configuration file say, joined.
//!
//! In come options from both places under the same names, out goes one [`Settings`] value with every default filled
//! in. [`rule_files`] reads the files that the settings name. Nothing here opens an interface, a socket or a thread.

pub mod rule_files;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use serde::Deserialize;

use crate::engine::{Limits, Timeouts};
use crate::nsg::load::Unresolved;

/// Where the configuration file is looked for when `--config` is not given.
pub const DEFAULT_CONFIG: &str = "/etc/nsgwatch/nsgwatch.toml";
/// Where the agent listens when `--socket` is not given.
pub const DEFAULT_SOCKET: &str = "/run/nsgwatch/nsgwatch.sock";
/// The largest configuration file, in bytes.
const LARGEST_CONFIG: u64 = 1024 * 1024;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What was tried, and what the system said.
        reason: String,
    },
    /// The file is not what it should be.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A value is outside of its bounds.
    #[error("{option} is {value}; it must be {expected}")]
    OutOfBounds {
        /// Name of the option.
        option: &'static str,
        /// What was given.
        value: u64,
        /// What is possible.
        expected: &'static str,
    },
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON object a line, for programs.
    Json,
    /// One aligned line, for people.
    Text,
}

/// A time span: a number of seconds, or a number with a unit, as in `4m` or `500ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecondsOrText")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text)).map(Self)
    }
}

#[derive(Deserialize)]
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
#[serde(try_from = "String")]
pub struct Prefix(pub IpNet);

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
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
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
    /// Interface to watch [default: the one of the default route]
    #[arg(short, long, value_name = "NAME")]
    pub interface: Option<String>,

    /// Which rules apply.
    #[command(flatten)]
    pub rules: RuleOptions,

    /// Unix socket to answer questions on [default: /run/nsgwatch/nsgwatch.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// File to append records to; `-` is standard output [default: -]
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// How records are written [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

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

    /// Size of the capture ring in MiB [default: 32]
    #[arg(long, value_name = "MIB", hide_short_help = true)]
    pub ring_mib: Option<u32>,
}

/// The configuration file: the same names as on the command line, flat.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ConfigFile {
    interface: Option<String>,
    nic_nsg: Option<String>,
    subnet_nsg: Option<String>,
    effective: Option<String>,
    admin_rules: Option<Vec<PathBuf>>,
    nic: Option<PathBuf>,
    application_security_groups: Option<Vec<PathBuf>>,
    parameters: Option<PathBuf>,
    service_tags: Option<PathBuf>,
    virtual_network: Option<Vec<Prefix>>,
    internet: Option<Vec<Prefix>>,
    unresolved: Option<Unresolved>,
    socket: Option<PathBuf>,
    output: Option<PathBuf>,
    format: Option<Format>,
    max_flows: Option<u32>,
    tcp_idle_timeout: Option<Span>,
    udp_idle_timeout: Option<Span>,
    other_idle_timeout: Option<Span>,
    closed_timeout: Option<Span>,
    record_queue: Option<u32>,
    ring_mib: Option<u32>,
}

impl ConfigFile {
    /// Reads the file's text; paths in it are taken from the file's own directory.
    fn parse(path: &Path, text: &str) -> Result<RunOptions, ConfigError> {
        let file: Self = toml::from_str(text).map_err(|error| {
            let (line, column) = place(text, error.span().map_or(0, |span| span.start));
            let message = error.message().trim_end().replace('\n', ", ");
            ConfigError::Invalid { path: path.to_owned(), line, column, message }
        })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let near = |relative: PathBuf| directory.join(relative);
        let all_near = |files: Vec<PathBuf>| files.into_iter().map(near).collect();
        let group_near = |group: String| {
            if group == rule_files::NO_GROUP {
                group
            } else {
                near(group.into()).display().to_string()
            }
        };
        Ok(RunOptions {
            interface: file.interface,
            rules: RuleOptions {
                nic_nsg: file.nic_nsg.map(group_near),
                subnet_nsg: file.subnet_nsg.map(group_near),
                effective: file.effective.map(group_near),
                admin_rules: file.admin_rules.map(all_near),
                nic: file.nic.map(near),
                application_security_groups: file.application_security_groups.map(all_near),
                parameters: file.parameters.map(near),
                service_tags: file.service_tags.map(near),
                virtual_network: file.virtual_network,
                internet: file.internet,
                unresolved: file.unresolved,
            },
            socket: file.socket.map(near),
            output: file.output.map(|path| if path == Path::new("-") { path } else { near(path) }),
            format: file.format,
            max_flows: file.max_flows,
            tcp_idle_timeout: file.tcp_idle_timeout,
            udp_idle_timeout: file.udp_idle_timeout,
            other_idle_timeout: file.other_idle_timeout,
            closed_timeout: file.closed_timeout,
            record_queue: file.record_queue,
            ring_mib: file.ring_mib,
        })
    }
}

/// Returns the line and the column, both from 1, of a place in the text given in bytes.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
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
    /// Returns these options where they are given, and the others where not.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            interface: self.interface.or(other.interface),
            rules: self.rules.or(other.rules),
            socket: self.socket.or(other.socket),
            output: self.output.or(other.output),
            format: self.format.or(other.format),
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

/// Everything the agent needs to know, every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Interface to watch; `None` means the one of the default route.
    pub interface: Option<String>,
    /// Which rules apply.
    pub rules: RuleOptions,
    /// The socket to answer on.
    pub socket: PathBuf,
    /// The file to append records to; `None` is standard output.
    pub output: Option<PathBuf>,
    /// How records are written; `None` means that the output decides.
    pub format: Option<Format>,
    /// The most flows remembered at once.
    pub max_flows: u32,
    /// Idle time of TCP flows.
    pub tcp_idle_timeout: Duration,
    /// Idle time of UDP flows.
    pub udp_idle_timeout: Duration,
    /// Idle time of other flows.
    pub other_idle_timeout: Duration,
    /// How long a closed TCP flow is kept.
    pub closed_timeout: Duration,
    /// The most records waiting to be written.
    pub record_queue: u32,
    /// Size of the capture ring in MiB.
    pub ring_mib: u32,
}

impl Settings {
    /// Joins the command line and the configuration file: a flag wins over the file, the file over the default.
    /// Without `--config` a missing default file is no error.
    ///
    /// # Errors
    /// The file can not be read or holds something it should not; a value is out of bounds.
    pub fn load(flags: &RunOptions, config: Option<&Path>) -> Result<Self, ConfigError> {
        let file = read_config(config)?;
        Self::resolve(flags.clone().or(file))
    }

    /// Fills in every default, without any configuration file.
    ///
    /// # Errors
    /// A value is out of bounds.
    pub fn resolve(options: RunOptions) -> Result<Self, ConfigError> {
        let span =
            |span: Option<Span>, seconds| span.map_or(Duration::from_secs(seconds), |span| span.0);
        let within = |option, value: Option<u32>, default, low, high, expected| match value {
            Some(value) if value < low || value > high => {
                Err(ConfigError::OutOfBounds { option, value: value.into(), expected })
            }
            value => Ok(value.unwrap_or(default)),
        };
        Ok(Self {
            interface: options.interface,
            rules: options.rules,
            socket: options.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            output: options.output.filter(|path| path != Path::new("-")),
            format: options.format,
            max_flows: within(
                "max-flows",
                options.max_flows,
                262_144,
                1,
                16_777_216,
                "from 1 to 16777216",
            )?,
            tcp_idle_timeout: span(options.tcp_idle_timeout, 240),
            udp_idle_timeout: span(options.udp_idle_timeout, 30),
            other_idle_timeout: span(options.other_idle_timeout, 30),
            closed_timeout: span(options.closed_timeout, 5),
            record_queue: within(
                "record-queue",
                options.record_queue,
                131_072,
                1,
                16_777_216,
                "from 1 to 16777216",
            )?,
            ring_mib: within("ring-mib", options.ring_mib, 32, 2, 1024, "from 2 to 1024")?,
        })
    }

    /// Returns how much the engine may keep.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            max_flows: self.max_flows as usize,
            timeouts: Timeouts {
                tcp: self.tcp_idle_timeout,
                udp: self.udp_idle_timeout,
                other: self.other_idle_timeout,
                closed: self.closed_timeout,
            },
            ..Limits::default()
        }
    }

    /// Says whether a change from these settings to the others takes a restart: everything but the rules does.
    #[must_use]
    pub fn needs_restart(&self, other: &Self) -> bool {
        Self { rules: RuleOptions::default(), ..self.clone() }
            != Self { rules: RuleOptions::default(), ..other.clone() }
    }
}

fn read_config(config: Option<&Path>) -> Result<RunOptions, ConfigError> {
    let path = config.unwrap_or(Path::new(DEFAULT_CONFIG));
    if config.is_none() && fs::metadata(path).is_err_and(|it| it.kind() == io::ErrorKind::NotFound)
    {
        return Ok(RunOptions::default());
    }
    let text = rule_files::read_text(path, LARGEST_CONFIG)
        .map_err(|(reason, _hint)| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    ConfigFile::parse(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RunOptions, ConfigError> {
        ConfigFile::parse(Path::new("/etc/nsgwatch/nsgwatch.toml"), text)
    }

    #[test]
    fn without_any_option_every_default_is_filled_in() {
        let settings = Settings::resolve(RunOptions::default()).unwrap();
        assert_eq!(settings.interface, None);
        assert_eq!(settings.socket, Path::new(DEFAULT_SOCKET));
        assert_eq!(settings.max_flows, 262_144);
        assert_eq!(settings.tcp_idle_timeout, Duration::from_mins(4));
        assert_eq!(settings.udp_idle_timeout, Duration::from_secs(30));
        assert_eq!(settings.output, None);
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file =
            parse("interface = \"eth0\"\nmax-flows = 10\nudp-idle-timeout = \"2m\"\n").unwrap();
        let flags = RunOptions { interface: Some("eth1".into()), ..RunOptions::default() };
        let settings = Settings::resolve(flags.or(file)).unwrap();
        assert_eq!(settings.interface.as_deref(), Some("eth1"));
        assert_eq!(settings.max_flows, 10);
        assert_eq!(settings.udp_idle_timeout, Duration::from_mins(2));
    }

    #[test]
    fn paths_in_the_file_are_taken_from_its_own_directory() {
        let options =
            parse("nic-nsg = \"web.json#web\"\nsubnet-nsg = \"none\"\noutput = \"-\"\nservice-tags = \"/t.json\"\n")
                .unwrap();
        assert_eq!(options.rules.nic_nsg.as_deref(), Some("/etc/nsgwatch/web.json#web"));
        assert_eq!(options.rules.subnet_nsg.as_deref(), Some("none"));
        assert_eq!(options.rules.service_tags.as_deref(), Some(Path::new("/t.json")));
        assert_eq!(Settings::resolve(options).unwrap().output, None);
    }

    #[test]
    fn what_is_wrong_in_the_file_is_named_with_its_line() {
        for (text, place, reason) in [
            ("interface = \"eth0\"\nnicnsg = \"x\"\n", "2:1", "unknown field `nicnsg`"),
            ("max-flows = \"many\"\n", "1:13", "invalid type"),
            ("\nvirtual-network = [\"10.0.0.4/24\"]\n", "2:19", "did you mean 10.0.0.0/24?"),
            ("tcp-idle-timeout = \"soon\"\n", "1:20", "expected number at 0"),
            ("format = \"xml\"\n", "1:10", "unknown variant `xml`"),
            ("interface = \n", "1:13", "value"),
            ("format = \"json\"\nformat = \"text\"\n", "2:1", "duplicate key"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            let start = format!("/etc/nsgwatch/nsgwatch.toml:{place}: ");
            assert!(error.starts_with(&start) && error.contains(reason), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_the_bounds() {
        let error = Settings::resolve(parse("max-flows = 0\n").unwrap()).unwrap_err().to_string();
        assert_eq!(error, "max-flows is 0; it must be from 1 to 16777216");
    }

    #[test]
    fn only_a_change_of_the_rules_takes_no_restart() {
        let settings = |text| Settings::resolve(parse(text).unwrap()).unwrap();
        let before = settings("nic-nsg = \"a.json\"\n");
        assert!(!before.needs_restart(&settings("nic-nsg = \"b.json\"\n")));
        assert!(before.needs_restart(&settings("nic-nsg = \"a.json\"\nmax-flows = 5\n")));
    }
}
