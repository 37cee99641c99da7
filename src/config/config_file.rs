//! The configuration file: TOML with the names of the command line.
//!
//! In comes a path, out go options, or the line and column where the file is not what it should be. Paths in the file
//! are taken from its own directory. Fills in no default and opens no other file.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::interfaces::Interfaces;
use super::options::{Events, Format, Prefix, RuleOptions, RunOptions, Span};
use super::rule_files::NO_GROUP;
use super::text_file::{self, Unreadable};
use super::{ConfigError, DEFAULT_CONFIG};
use crate::nsg::load::Unresolved;

/// The largest configuration file, in bytes.
const LARGEST_CONFIG: u64 = 1024 * 1024;

/// Returns the configuration file that was named, else the default one where it is there. Whoever started with a
/// file must find it again at a reload: without it, other rules than the intended ones would come in force.
#[must_use]
pub fn file_in_use(named: Option<PathBuf>, default: &Path) -> Option<PathBuf> {
    named.or_else(|| default.exists().then(|| default.to_owned()))
}

/// Reads the file, or the one that is looked for where none is given; only that one may be missing.
///
/// # Errors
/// The file can not be read, or holds something it should not.
pub(super) fn read(given: Option<&Path>) -> Result<RunOptions, ConfigError> {
    let path = given.unwrap_or(Path::new(DEFAULT_CONFIG));
    match text_file::read(path, LARGEST_CONFIG) {
        Ok(text) => parse(path, &text),
        Err(Unreadable::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound && given.is_none() =>
        {
            Ok(RunOptions::default())
        }
        Err(other) => {
            let reason = other.to_string();
            Err(ConfigError::Unreadable { path: path.to_owned(), reason })
        }
    }
}

/// The configuration file: the same names as on the command line, flat; the rules of single interfaces in tables.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ConfigFile {
    interface: Option<Interfaces>,
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
    listen: Option<SocketAddr>,
    listen_token_file: Option<PathBuf>,
    user: Option<String>,
    output: Option<PathBuf>,
    format: Option<Format>,
    events: Option<Events>,
    max_flows: Option<u32>,
    tcp_idle_timeout: Option<Span>,
    udp_idle_timeout: Option<Span>,
    other_idle_timeout: Option<Span>,
    closed_timeout: Option<Span>,
    record_queue: Option<u32>,
    ring_mib: Option<u32>,
}

/// Reads the file's text; paths in it are taken from the file's own directory.
pub(super) fn parse(path: &Path, text: &str) -> Result<RunOptions, ConfigError> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let message = on_one_line(error.message().trim_end());
        ConfigError::Invalid { path: path.to_owned(), line, column, message }
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let near = |relative: PathBuf| directory.join(relative);
    let Interfaces { names, rules: of_interfaces } = file.interface.unwrap_or_default();
    let rules = RuleOptions {
        nic_nsg: file.nic_nsg,
        subnet_nsg: file.subnet_nsg,
        effective: file.effective,
        admin_rules: file.admin_rules,
        nic: file.nic,
        application_security_groups: file.application_security_groups,
        parameters: file.parameters,
        service_tags: file.service_tags,
        virtual_network: file.virtual_network,
        internet: file.internet,
        unresolved: file.unresolved,
    };
    Ok(RunOptions {
        interface: (!names.is_empty()).then_some(names),
        rules: rules_near(directory, rules),
        interface_rules: of_interfaces
            .into_iter()
            .map(|(name, rules)| (name, rules_near(directory, rules)))
            .collect(),
        socket: file.socket.map(near),
        listen: file.listen,
        listen_token_file: file.listen_token_file.map(near),
        user: file.user,
        output: file.output.map(|path| if path == Path::new("-") { path } else { near(path) }),
        format: file.format,
        events: file.events,
        max_flows: file.max_flows,
        tcp_idle_timeout: file.tcp_idle_timeout,
        udp_idle_timeout: file.udp_idle_timeout,
        other_idle_timeout: file.other_idle_timeout,
        closed_timeout: file.closed_timeout,
        record_queue: file.record_queue,
        ring_mib: file.ring_mib,
    })
}

/// Takes the paths of rules from the directory.
fn rules_near(directory: &Path, rules: RuleOptions) -> RuleOptions {
    let near = |relative: PathBuf| directory.join(relative);
    let all_near = |files: Vec<PathBuf>| files.into_iter().map(near).collect();
    let group_near = |group: String| {
        if group == NO_GROUP { group } else { near(group.into()).display().to_string() }
    };
    RuleOptions {
        nic_nsg: rules.nic_nsg.map(group_near),
        subnet_nsg: rules.subnet_nsg.map(group_near),
        effective: rules.effective.map(group_near),
        admin_rules: rules.admin_rules.map(all_near),
        nic: rules.nic.map(near),
        application_security_groups: rules.application_security_groups.map(all_near),
        parameters: rules.parameters.map(near),
        service_tags: rules.service_tags.map(near),
        virtual_network: rules.virtual_network,
        internet: rules.internet,
        unresolved: rules.unresolved,
    }
}

/// Returns the line and the column, both from 1, of a place in the text given in bytes.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// The message repeats what stands in the file: nothing in it may end the line or command a terminal.
fn on_one_line(message: &str) -> String {
    let mut safe = String::with_capacity(message.len());
    for character in message.chars() {
        match character {
            '\n' => safe.push_str(", "),
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.extend(character.escape_unicode());
            }
            character if character.is_control() => safe.extend(character.escape_unicode()),
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema of the file, its keys explained as `run --help` does.
    fn schema() -> serde_json::Value {
        let mut schema = serde_json::to_value(schemars::schema_for!(ConfigFile)).unwrap();
        let schema_fields = schema.as_object_mut().unwrap();
        schema_fields.insert("title".to_owned(), "Configuration of nsgwatch".into());
        schema_fields.remove("description");
        let keys = schema_fields["properties"].as_object_mut().unwrap();
        let options = <RunOptions as clap::Args>::augment_args(clap::Command::new("run"));
        for option in options.get_arguments() {
            let key = keys.get_mut(option.get_long().unwrap());
            let key = key.unwrap_or_else(|| panic!("{option} is not in the file"));
            key["description"] = option.get_help().unwrap().to_string().into();
        }
        assert!(keys.iter().all(|(_, key)| key.get("description").is_some()), "{keys:#?}");
        schema
    }

    #[test]
    fn the_committed_schema_is_that_of_the_file() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/schema/nsgwatch.toml.schema.json");
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        if std::env::var_os("NSGWATCH_RENEW_GOLDEN").is_some() {
            std::fs::write(path, text).unwrap();
            return;
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text, "run the tests with NSGWATCH_RENEW_GOLDEN=1 to renew {path}");
    }

    fn parse(text: &str) -> Result<RunOptions, ConfigError> {
        super::parse(Path::new(DEFAULT_CONFIG), text)
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let error = read(Some(Path::new("/dev/zero"))).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: not a regular file");
        let error = read(Some(Path::new("/no/such.toml"))).unwrap_err().to_string();
        assert!(error.starts_with("/no/such.toml: can not open the file: No such file"), "{error}");
    }

    #[test]
    fn a_file_that_was_in_use_and_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let default = folder.path().join("nsgwatch.toml");
        assert_eq!(file_in_use(None, &default), None);
        assert_eq!(file_in_use(Some("a.toml".into()), &default), Some("a.toml".into()));
        std::fs::write(&default, "nic-nsg = \"none\"\n").unwrap();
        let config = file_in_use(None, &default);
        read(config.as_deref()).unwrap();
        std::fs::remove_file(&default).unwrap();
        read(config.as_deref()).unwrap_err();
    }

    #[test]
    fn paths_in_the_file_are_taken_from_its_own_directory() {
        let options =
            parse("nic-nsg = \"web.json#web\"\nsubnet-nsg = \"none\"\noutput = \"-\"\nservice-tags = \"/t.json\"\n")
                .unwrap();
        assert_eq!(options.rules.nic_nsg.as_deref(), Some("/etc/nsgwatch/web.json#web"));
        assert_eq!(options.rules.subnet_nsg.as_deref(), Some("none"));
        assert_eq!(options.rules.service_tags.as_deref(), Some(Path::new("/t.json")));
        assert_eq!(options.output.as_deref(), Some(Path::new("-")));
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
            ("[interface.eth0]\nmax-flows = 5\n", "2:1", "unknown field `max-flows`"),
            ("interface = 5\n", "1:13", "invalid type"),
            ("format = \"json\"\nformat = \"text\"\n", "2:1", "duplicate key"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            let start = format!("/etc/nsgwatch/nsgwatch.toml:{place}: ");
            assert!(error.starts_with(&start) && error.contains(reason), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
