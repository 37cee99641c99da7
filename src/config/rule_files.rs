//! Reads the rule files that the settings name, and hands their texts to [`crate::nsg::load`].
//!
//! In come [`RuleOptions`] and the prefixes the interface is connected to, out come rules ready to be compiled, or
//! every error of every file. A file that can not be read is reported among the other errors. Loads all or nothing and
//! keeps nothing.

use std::io;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::text_file::{self, Unreadable};
use super::{Prefix, RuleOptions};
use crate::nsg::NetworkSecurityGroup;
use crate::nsg::load::{
    self, LoadError, LoadWarning, Loaded, Place, SourceFile, Sources, Unresolved,
};

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
    load_with_origin(options, connected).map(|(loaded, _)| loaded)
}

/// What rules were read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The files, in the order in which their contents are summed up.
    pub files: Vec<String>,
    /// CRC-32 (as gzip and zip have it) of the contents of all files, one behind the other.
    pub content_crc32: u32,
}

/// Loads as [`load()`] does, and says what was read.
///
/// # Errors
/// All errors of all files.
pub fn load_with_origin(
    options: &RuleOptions,
    connected: &[IpNet],
) -> Result<(Loaded, Origin), RuleFileErrors> {
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
        (loaded, files.origin())
    })
}

/// Checks files with rules of any kind, each by itself and everything in it; of `FILE#NAME` that the group is there,
/// and what it refers to. `with` names what the rules may refer
/// to: tags, members and parameters.
///
/// # Errors
/// All errors of all files.
pub fn check(files: &[String], with: &RuleOptions) -> Result<Vec<LoadWarning>, RuleFileErrors> {
    let mut errors = Vec::new();
    let groups: Vec<_> = files.iter().filter_map(|file| named_group(file, &mut errors)).collect();
    let others = Files::read(with, &mut errors);
    let sources: Vec<_> = groups.iter().map(GroupFile::source).collect();
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

    fn origin(&self) -> Origin {
        let groups = [&self.effective, &self.subnet, &self.nic].into_iter().flatten();
        let groups = groups.map(|group| (&group.name, &group.text));
        let others = self.admin.iter().chain(&self.interface).chain(&self.members);
        let others =
            others.chain(&self.parameters).chain(&self.tags).map(|(name, text)| (name, text));
        let mut crc = flate2::Crc::new();
        let mut names = Vec::new();
        for (name, text) in groups.chain(others) {
            crc.update(text.as_bytes());
            names.push(name.clone());
        }
        Origin { files: names, content_crc32: crc.sum() }
    }

    fn sources<'a>(&'a self, options: &RuleOptions) -> Sources<'a> {
        let prefixes = |given: &[Prefix]| given.iter().map(|prefix| prefix.0).collect();
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
            // What a file that can not be read would have explained is not reported a second time.
            unresolved: if self.explanations_are_missing(options) {
                Unresolved::Undecided
            } else {
                options.unresolved.unwrap_or_default()
            },
        }
    }

    fn explanations_are_missing(&self, options: &RuleOptions) -> bool {
        let members = options.application_security_groups.as_ref().map_or(0, Vec::len);
        (options.service_tags.is_some() && self.tags.is_none())
            || (options.nic.is_some() && self.interface.is_none())
            || self.members.len() < members
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

fn group_file(given: Option<&str>, errors: &mut Vec<LoadError>) -> Option<GroupFile> {
    given.filter(|given| *given != NO_GROUP).and_then(|given| named_group(given, errors))
}

/// Reads `FILE` or `FILE#NAME`; a file whose own name holds a `#` wins.
fn named_group(given: &str, errors: &mut Vec<LoadError>) -> Option<GroupFile> {
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
    match text_file::read(Path::new(file), largest) {
        Ok(text) => Some((file.to_owned(), text)),
        Err(unreadable) => {
            let place = Place { file: file.to_owned(), ..Place::default() };
            let (message, hint) = (unreadable.to_string(), hint(&unreadable).map(str::to_owned));
            errors.push(LoadError { place, code: None, message, hint });
            None
        }
    }
}

fn hint(unreadable: &Unreadable) -> Option<&'static str> {
    match unreadable {
        Unreadable::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
            "the agent gives up all capabilities before it reads rules: the file's permission bits must let its user in",
        ),
        Unreadable::NotText { .. } => Some("save the file as UTF-8"),
        _ => None,
    }
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
    fn a_tag_file_that_can_not_be_read_is_the_one_error() {
        let options = RuleOptions {
            nic_nsg: Some(
                concat!(env!("CARGO_MANIFEST_DIR"), "/rules/locked-down-outbound.json").into(),
            ),
            service_tags: Some("/no/such/tags.json".into()),
            ..RuleOptions::default()
        };
        assert_eq!(load(&options, &[]).unwrap_err().0.len(), 1);
    }

    #[test]
    fn the_origin_names_the_files_and_sums_up_their_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let group = |name: &str| format!(r#"{{"name":"{name}","securityRules":[]}}"#);
        std::fs::write(path("s.json"), group("s")).unwrap();
        std::fs::write(path("n.json"), group("n")).unwrap();
        let options = RuleOptions { subnet_nsg: Some(path("s.json")), ..options(&path("n.json")) };
        let (_, origin) = load_with_origin(&options, &[]).unwrap();
        assert_eq!(origin.files, [path("s.json"), path("n.json")]);
        let mut crc = flate2::Crc::new();
        crc.update((group("s") + &group("n")).as_bytes());
        assert_eq!(origin.content_crc32, crc.sum());
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
