//! Reads the rule files that the settings name, and hands their texts to [`crate::nsg::load`].
//!
//! In come [`RuleOptions`] and the prefixes the interface is connected to, out come rules ready to be compiled, or
//! every error of every file. Only regular files of bounded size are read; a file that can not be read is reported
//! among the other errors. Loads all or nothing and keeps nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::RuleOptions;
use crate::nsg::NetworkSecurityGroup;
use crate::nsg::load::{self, LoadError, LoadWarning, Loaded, Place, SourceFile, Sources};

/// The word that stands for "no group at all" in place of a file.
pub const NO_GROUP: &str = "none";
/// Name of the group that is in force where neither a file nor [`NO_GROUP`] is given: the six default rules.
pub const BUILT_IN_GROUP: &str = "built-in-defaults";
/// The largest rule file, in bytes; a group of 1,000 rules, Azure's limit, takes about one megabyte.
const LARGEST_RULE_FILE: u64 = 16 * 1024 * 1024;
/// The largest service tag file, in bytes; the published one has four megabytes.
const LARGEST_TAG_FILE: u64 = 64 * 1024 * 1024;

/// Everything that is wrong with the files, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct RuleFileErrors(pub Vec<LoadError>);

fn lines(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Loads the rules that apply. Where neither group is named, the group of the interface holds the six default rules
/// alone; `VirtualNetwork` is what the options say, else `connected`.
///
/// # Errors
/// All errors of all files.
pub fn load(options: &RuleOptions, connected: &[IpNet]) -> Result<Loaded, RuleFileErrors> {
    let mut errors = Vec::new();
    let files = Files::read(options, &mut errors);
    let mut sources = files.sources(options);
    if options.virtual_network.is_none() {
        sources.virtual_network = connected.to_vec();
    }
    let has_groups =
        options.subnet_nsg.is_some() || options.nic_nsg.is_some() || options.effective.is_some();
    all_or_errors(load::load(&sources), errors).map(|mut loaded| {
        if !has_groups {
            loaded.rules.nic = Some(NetworkSecurityGroup::with_defaults_only(BUILT_IN_GROUP));
        }
        loaded
    })
}

/// Checks files with rules of any kind, each by itself and everything in it. `with` names what the rules may refer
/// to: tags, members and parameters.
///
/// # Errors
/// All errors of all files.
pub fn check(files: &[String], with: &RuleOptions) -> Result<Vec<LoadWarning>, RuleFileErrors> {
    let mut errors = Vec::new();
    let texts: Vec<_> =
        files.iter().filter_map(|file| read(file, LARGEST_RULE_FILE, &mut errors)).collect();
    let others = Files::read(with, &mut errors);
    let sources: Vec<_> = texts.iter().map(source).collect();
    all_or_errors(load::check(&sources, &others.sources(with)), errors)
}

fn all_or_errors<T>(
    loaded: Result<T, Vec<LoadError>>,
    mut errors: Vec<LoadError>,
) -> Result<T, RuleFileErrors> {
    match loaded {
        Ok(loaded) if errors.is_empty() => Ok(loaded),
        Ok(_) => Err(RuleFileErrors(errors)),
        Err(more) => {
            errors.extend(more);
            Err(RuleFileErrors(errors))
        }
    }
}

/// The texts of all files that the options name.
struct Files {
    effective: Option<GroupFile>,
    subnet: Option<GroupFile>,
    nic: Option<GroupFile>,
    admin: Vec<(String, String)>,
    interface: Option<(String, String)>,
    members: Vec<(String, String)>,
    parameters: Option<(String, String)>,
    tags: Option<(String, String)>,
}

impl Files {
    fn read(options: &RuleOptions, errors: &mut Vec<LoadError>) -> Self {
        let all = |paths: &Option<Vec<PathBuf>>, errors: &mut Vec<LoadError>| {
            let paths = paths.iter().flatten();
            paths.filter_map(|path| read_path(path, LARGEST_RULE_FILE, errors)).collect()
        };
        let one = |path: &Option<PathBuf>, largest, errors: &mut Vec<LoadError>| {
            path.as_deref().and_then(|path| read_path(path, largest, errors))
        };
        Self {
            effective: group_file(options.effective.as_deref(), errors),
            subnet: group_file(options.subnet_nsg.as_deref(), errors),
            nic: group_file(options.nic_nsg.as_deref(), errors),
            admin: all(&options.admin_rules, errors),
            interface: one(&options.nic, LARGEST_RULE_FILE, errors),
            members: all(&options.application_security_groups, errors),
            parameters: one(&options.parameters, LARGEST_RULE_FILE, errors),
            tags: one(&options.service_tags, LARGEST_TAG_FILE, errors),
        }
    }

    fn sources<'a>(&'a self, options: &RuleOptions) -> Sources<'a> {
        let prefixes = |given: &[super::Prefix]| given.iter().map(|prefix| prefix.0).collect();
        Sources {
            effective: self.effective.as_ref().map(GroupFile::source),
            subnet: self.subnet.as_ref().map(GroupFile::source),
            nic: self.nic.as_ref().map(GroupFile::source),
            admin: self.admin.iter().map(source).collect(),
            interface: self.interface.as_ref().map(source),
            application_security_groups: self.members.iter().map(source).collect(),
            parameters: self.parameters.as_ref().map(source),
            service_tags: self.tags.as_ref().map(source),
            virtual_network: options.virtual_network.as_deref().map(prefixes).unwrap_or_default(),
            internet: options.internet.as_deref().map(prefixes),
            unresolved: options.unresolved.unwrap_or_default(),
        }
    }
}

fn source((name, text): &(String, String)) -> SourceFile<'_> {
    SourceFile { name, text, group: None }
}

/// A file that has been read, and which of its groups is meant.
struct GroupFile {
    name: String,
    text: String,
    group: Option<String>,
}

impl GroupFile {
    fn source(&self) -> SourceFile<'_> {
        SourceFile { name: &self.name, text: &self.text, group: self.group.as_deref() }
    }
}

/// Reads `FILE` or `FILE#NAME`; a file whose own name holds a `#` wins.
fn group_file(given: Option<&str>, errors: &mut Vec<LoadError>) -> Option<GroupFile> {
    let given = given.filter(|given| *given != NO_GROUP)?;
    let (file, group) = match given.rsplit_once('#') {
        Some((file, group)) if !Path::new(given).exists() => (file, Some(group.to_owned())),
        _ => (given, None),
    };
    let (name, text) = read(file, LARGEST_RULE_FILE, errors)?;
    Some(GroupFile { name, text, group })
}

fn read_path(path: &Path, largest: u64, errors: &mut Vec<LoadError>) -> Option<(String, String)> {
    read(&path.display().to_string(), largest, errors)
}

fn read(file: &str, largest: u64, errors: &mut Vec<LoadError>) -> Option<(String, String)> {
    match read_text(Path::new(file), largest) {
        Ok(text) => Some((file.to_owned(), text)),
        Err((message, hint)) => {
            let place = Place { file: file.to_owned(), ..Place::default() };
            errors.push(LoadError { place, code: None, message, hint });
            None
        }
    }
}

/// Reads a regular file of bounded size; the error is the reason, and what helps.
pub(super) fn read_text(path: &Path, largest: u64) -> Result<String, (String, Option<String>)> {
    let io = |operation: &str, error: &io::Error| {
        let hint = (error.kind() == io::ErrorKind::PermissionDenied).then(|| {
            "the agent gives up all capabilities before it reads rules: the file's permission bits must let its user in"
                .to_owned()
        });
        (format!("can not {operation} the file: {error}"), hint)
    };
    // Without O_NONBLOCK a FIFO in the place of a file would hold the agent up for ever.
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| io("open", &error))?;
    let metadata = file.metadata().map_err(|error| io("look at", &error))?;
    if !metadata.is_file() {
        return Err(("not a regular file".to_owned(), None));
    }
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes).map_err(|error| io("read", &error))?;
    if bytes.len() as u64 > largest {
        return Err((format!("larger than {largest} bytes"), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        (format!("not UTF-8 text (line {line})"), Some("save the file as UTF-8".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nsg::default_security_rules;

    fn options(nic_nsg: &str) -> RuleOptions {
        RuleOptions { nic_nsg: Some(nic_nsg.to_owned()), ..RuleOptions::default() }
    }

    fn messages(options: &RuleOptions) -> String {
        load(options, &[]).unwrap_err().to_string()
    }

    #[test]
    fn without_any_group_the_six_default_rules_are_in_force() {
        let rules = load(&RuleOptions::default(), &[]).unwrap().rules;
        let nic = rules.nic.unwrap();
        assert_eq!(
            (nic.name.as_str(), nic.rules.len()),
            (BUILT_IN_GROUP, default_security_rules().len())
        );
        assert!(rules.subnet.is_none());
    }

    #[test]
    fn the_word_none_means_no_group_at_all() {
        let rules = load(&options(NO_GROUP), &[]).unwrap().rules;
        assert!(rules.nic.is_none() && rules.subnet.is_none());
    }

    #[test]
    fn every_file_that_can_not_be_read_is_reported_at_once() {
        let options = RuleOptions {
            subnet_nsg: Some("/no/such/subnet.json".into()),
            service_tags: Some("/no/such/tags.json".into()),
            ..options("/dev/null")
        };
        let text = messages(&options);
        assert!(
            text.contains("/no/such/subnet.json: can not open the file: No such file"),
            "{text}"
        );
        assert!(text.contains("/dev/null: not a regular file"), "{text}");
        assert!(text.contains("/no/such/tags.json: can not open the file"), "{text}");
    }

    #[test]
    fn a_fifo_in_the_place_of_a_file_does_not_hold_the_agent_up() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("rules.json");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(messages(&options(fifo.to_str().unwrap())).ends_with("not a regular file"));
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.json");
        std::fs::write(&path, vec![b' '; usize::try_from(LARGEST_RULE_FILE).unwrap() + 1]).unwrap();
        assert!(messages(&options(path.to_str().unwrap())).ends_with("larger than 16777216 bytes"));
        std::fs::write(&path, b"{\n\n\"name\": \"\xff\"}").unwrap();
        assert!(messages(&options(path.to_str().unwrap())).contains("not UTF-8 text (line 3)"));
    }

    #[test]
    fn one_of_several_groups_is_chosen_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("two.json");
        std::fs::write(
            &path,
            r#"[{"name":"a","securityRules":[]},{"name":"b","securityRules":[]}]"#,
        )
        .unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(load(&options(&format!("{path}#b")), &[]).unwrap().rules.nic.unwrap().name, "b");
        let text = messages(&options(path));
        assert!(text.contains('a') && text.contains('b'), "{text}");
    }
}
