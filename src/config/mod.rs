//! Settings: what the command line and the configuration file say, joined.
//!
//! In come options from both places under the same names, out goes one [`Settings`] value with every default filled
//! in. Nothing here opens an interface, a socket or a thread.
//!
//! - `options`: what can be said, word by word.
//! - `config_file`: the file that says it; `interfaces`: the one value in it that has several forms.
//! - [`rule_files`]: reads the files that the settings name.
//! - `text_file`: reads one file, whatever stands at its path.

mod config_file;
mod interfaces;
mod options;
pub mod rule_files;
mod text_file;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::config_file::file_in_use;
pub use self::options::{Events, Format, Prefix, RuleOptions, RunOptions, Span};

use crate::engine::{Limits, Timeouts};

/// Where the configuration file is looked for when `--config` is not given.
pub const DEFAULT_CONFIG: &str = "/etc/nsgwatch/nsgwatch.toml";
/// Where the agent listens when `--socket` is not given.
pub const DEFAULT_SOCKET: &str = "/run/nsgwatch/nsgwatch.sock";

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
    /// An interface that can not be watched.
    #[error("the interface `{}` can not be watched: {reason}", .name.escape_debug())]
    Interface {
        /// What was given.
        name: String,
        /// Why not, and what to do.
        reason: &'static str,
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
    /// Others than this machine's users could connect.
    #[error(
        "listen is {0}, which is not a loopback address: the listener has no encryption and is for this machine alone; \
         it must be as 127.0.0.1:8123 or [::1]:8123"
    )]
    NotLoopback(SocketAddr),
    /// One of two options that need each other.
    #[error("`{given}` needs `{missing}`")]
    Alone {
        /// The option that is there.
        given: &'static str,
        /// The option that is not.
        missing: &'static str,
    },
}

/// Everything the agent needs to know, every default filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Interfaces to watch; none means the one of the default route.
    pub interfaces: Vec<String>,
    /// Which rules apply to an interface of which `interface_rules` says nothing.
    pub rules: RuleOptions,
    /// Which rules apply to single interfaces, complete.
    pub interface_rules: BTreeMap<String, RuleOptions>,
    /// The socket to answer on.
    pub socket: PathBuf,
    /// A loopback address to answer on as well, and the file with its token.
    pub listen: Option<(SocketAddr, PathBuf)>,
    /// The user to become where root starts the agent; `None` leaves the choice to it.
    pub user: Option<String>,
    /// The file to append records to; `None` is standard output.
    pub output: Option<PathBuf>,
    /// How records are written; `None` means that the output decides.
    pub format: Option<Format>,
    /// Which events of a flow become records.
    pub events: Events,
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
        let file = config_file::read(config)?;
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
        let interfaces = options.interface.unwrap_or_default();
        check_interfaces(&interfaces)?;
        let complete = |(name, rules): (_, RuleOptions)| (name, rules.or(options.rules.clone()));
        Ok(Self {
            interfaces,
            interface_rules: options.interface_rules.into_iter().map(complete).collect(),
            rules: options.rules.clone(),
            socket: options.socket.unwrap_or_else(|| DEFAULT_SOCKET.into()),
            listen: listen(options.listen, options.listen_token_file)?,
            user: options.user,
            output: options.output.filter(|path| path != Path::new("-")),
            format: options.format,
            events: options.events.unwrap_or_default(),
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
            ring_mib: within("ring-mib", options.ring_mib, 8, 2, 1024, "from 2 to 1024")?,
        })
    }

    /// Returns which rules apply to an interface.
    #[must_use]
    pub fn rules_of(&self, interface: &str) -> &RuleOptions {
        self.interface_rules.get(interface).unwrap_or(&self.rules)
    }

    /// Returns all that may apply: one for each interface that is named, or the one for whichever has the default
    /// route.
    #[must_use]
    pub fn rule_sets(&self) -> Vec<&RuleOptions> {
        if self.interfaces.is_empty() {
            return vec![&self.rules];
        }
        self.interfaces.iter().map(|name| self.rules_of(name)).collect()
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
        let without_rules = |settings: &Self| Self {
            rules: RuleOptions::default(),
            interface_rules: BTreeMap::new(),
            ..settings.clone()
        };
        without_rules(self) != without_rules(other)
    }
}

/// Joins where to listen and the file with the token, which need each other.
fn listen(
    address: Option<SocketAddr>,
    token_file: Option<PathBuf>,
) -> Result<Option<(SocketAddr, PathBuf)>, ConfigError> {
    let alone = |given, missing| Err(ConfigError::Alone { given, missing });
    match (address, token_file) {
        (None, None) => Ok(None),
        (Some(_), None) => alone("listen", "listen-token-file"),
        (None, Some(_)) => alone("listen-token-file", "listen"),
        (Some(address), Some(_)) if !address.ip().is_loopback() => {
            Err(ConfigError::NotLoopback(address))
        }
        (Some(address), Some(token_file)) => Ok(Some((address, token_file))),
    }
}

/// The most interfaces that are watched: each takes a thread and a ring.
const MOST_INTERFACES: usize = 32;

fn check_interfaces(names: &[String]) -> Result<(), ConfigError> {
    let refuse = |name: &str, reason| Err(ConfigError::Interface { name: name.to_owned(), reason });
    let mut seen = BTreeSet::new();
    for name in names {
        match name.as_str() {
            "any" => {
                return refuse(
                    name,
                    "a set of rules belongs to one interface, and a capture of all of them tells neither whose \
                     address is the local one nor which rules apply; name each interface with --interface",
                );
            }
            "" => return refuse(name, "it has no name"),
            _ if name.contains(|it: char| {
                it == '/' || it == ':' || it.is_whitespace() || it.is_control()
            }) =>
            {
                return refuse(
                    name,
                    "no name has a `/`, a `:`, a space or a control character in it",
                );
            }
            _ if name.len() > 15 => return refuse(name, "a name has at most 15 bytes"),
            _ if !seen.insert(name) => return refuse(name, "it is named twice"),
            _ => {}
        }
    }
    match names.get(MOST_INTERFACES) {
        Some(name) => refuse(name, "at most 32 interfaces are watched at once"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RunOptions, ConfigError> {
        config_file::parse(Path::new(DEFAULT_CONFIG), text)
    }

    #[test]
    fn without_any_option_every_default_is_filled_in() {
        let settings = Settings::resolve(RunOptions::default()).unwrap();
        assert!(settings.interfaces.is_empty());
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
        let flags = RunOptions { interface: Some(vec!["eth1".into()]), ..RunOptions::default() };
        let settings = Settings::resolve(flags.or(file)).unwrap();
        assert_eq!(settings.interfaces, ["eth1"]);
        assert_eq!(settings.max_flows, 10);
        assert_eq!(settings.udp_idle_timeout, Duration::from_mins(2));
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_the_bounds() {
        let error = Settings::resolve(parse("max-flows = 0\n").unwrap()).unwrap_err().to_string();
        assert_eq!(error, "max-flows is 0; it must be from 1 to 16777216");
    }

    #[test]
    fn a_name_that_no_interface_can_have_is_refused_in_plain_text() {
        for (name, shown) in [("eth0\t\u{1b}", "eth0\\t\\u{1b}"), ("a/b", "a/b"), ("e 0", "e 0")] {
            let options =
                RunOptions { interface: Some(vec![name.to_owned()]), ..RunOptions::default() };
            let error = Settings::resolve(options).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the interface `{shown}` can not")), "{error}");
        }
    }

    #[test]
    fn an_address_to_listen_on_and_its_token_need_each_other() {
        for (text, expected) in [
            ("listen = \"127.0.0.1:8123\"\n", "`listen` needs `listen-token-file`"),
            ("listen-token-file = \"token\"\n", "`listen-token-file` needs `listen`"),
            (
                "listen = \"10.0.0.4:1\"\nlisten-token-file = \"token\"\n",
                "listen is 10.0.0.4:1, which is not a loopback address",
            ),
        ] {
            let error = Settings::resolve(parse(text).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let both = parse("listen = \"[::1]:8123\"\nlisten-token-file = \"token\"\n").unwrap();
        let (address, file) = Settings::resolve(both).unwrap().listen.unwrap();
        assert_eq!((address.port(), file.as_path()), (8123, Path::new("/etc/nsgwatch/token")));
    }

    #[test]
    fn each_interface_has_the_rules_of_its_table_else_those_for_all() {
        let file = "nic-nsg = \"all.json\"\nsubnet-nsg = \"none\"\n\
            [interface.eth0]\nnic-nsg = \"web.json\"\n[interface.eth1]\n";
        let settings =
            |flags: RunOptions| Settings::resolve(flags.or(parse(file).unwrap())).unwrap();
        let nic = |settings: &Settings, name| settings.rules_of(name).nic_nsg.clone().unwrap();
        let from_file = settings(RunOptions::default());
        assert_eq!(from_file.interfaces, ["eth0", "eth1"]);
        assert_eq!(nic(&from_file, "eth0"), "/etc/nsgwatch/web.json");
        assert_eq!(from_file.rules_of("eth0").subnet_nsg.as_deref(), Some("none"));
        assert_eq!(nic(&from_file, "eth1"), "/etc/nsgwatch/all.json");
        assert_eq!(nic(&from_file, "eth2"), "/etc/nsgwatch/all.json");
        let rules = RuleOptions { nic_nsg: Some("flag.json".into()), ..RuleOptions::default() };
        let flags =
            RunOptions { interface: Some(vec!["eth0".into()]), rules, ..RunOptions::default() };
        let with_flags = settings(flags);
        assert_eq!(with_flags.interfaces, ["eth0"]);
        assert_eq!(nic(&with_flags, "eth0"), "flag.json", "a flag wins over the file");
    }

    #[test]
    fn interfaces_that_can_not_be_watched_are_refused_with_the_reason() {
        for (text, reason) in [
            (
                "interface = \"any\"\n",
                "`any` can not be watched: a set of rules belongs to one interface",
            ),
            ("interface = [\"eth0\", \"eth0\"]\n", "named twice"),
            ("interface = \"a-name-far-too-long\"\n", "at most 15 bytes"),
            ("interface = \"\"\n", "no name"),
        ] {
            let error = Settings::resolve(parse(text).unwrap()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn only_a_change_of_the_rules_takes_no_restart() {
        let settings = |text| Settings::resolve(parse(text).unwrap()).unwrap();
        let before = settings("nic-nsg = \"a.json\"\n");
        assert!(!before.needs_restart(&settings("nic-nsg = \"b.json\"\n")));
        assert!(before.needs_restart(&settings("nic-nsg = \"a.json\"\nmax-flows = 5\n")));
    }
}
