//! The configuration file: TOML with the names of the command line.
//!
//! In comes a path, out go options, or the line and column where the file is not what it should be. Paths in the file
//! are taken from its own directory. Fills in no default and opens no other file.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::options::{Format, Prefix, RuleOptions, RunOptions, Span};
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

/// Reads the file's text; paths in it are taken from the file's own directory.
pub(super) fn parse(path: &Path, text: &str) -> Result<RunOptions, ConfigError> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let message = error.message().trim_end().replace('\n', ", ");
        ConfigError::Invalid { path: path.to_owned(), line, column, message }
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let near = |relative: PathBuf| directory.join(relative);
    let all_near = |files: Vec<PathBuf>| files.into_iter().map(near).collect();
    let group_near = |group: String| {
        if group == NO_GROUP { group } else { near(group.into()).display().to_string() }
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

/// Returns the line and the column, both from 1, of a place in the text given in bytes.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("format = \"json\"\nformat = \"text\"\n", "2:1", "duplicate key"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            let start = format!("/etc/nsgwatch/nsgwatch.toml:{place}: ");
            assert!(error.starts_with(&start) && error.contains(reason), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
