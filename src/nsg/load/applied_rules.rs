//! Everything that decides about one interface, joined from the texts of all files.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::error::{LoadError, LoadWarning, sort_errors};
use super::group_file::{LoadedGroup, read_groups, select};
use super::service_tag_file::{self, PublishedTags};
use super::{Format, TagReference, address_field, name};
use crate::nsg::{AppliedRules, NetworkSecurityGroup, ServiceTags};

/// The text of a file that the caller has read.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Its name for messages; its extension tells JSON from YAML.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Which of its groups is meant, by name or resource id; needed where it holds several.
    pub group: Option<&'a str>,
}

/// What the rules of one interface are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// File with the group of the interface's subnet.
    pub subnet: Option<SourceFile<'a>>,
    /// File with the group of the interface itself.
    pub nic: Option<SourceFile<'a>>,
    /// The published service tags.
    pub service_tags: Option<SourceFile<'a>>,
    /// What `VirtualNetwork` stands for; the host address is added.
    pub virtual_network: Vec<IpNet>,
    /// What `Internet` stands for, where it is known better than "all public addresses elsewhere".
    pub internet: Option<Vec<IpNet>>,
}

/// Rules ready to be compiled, and what is unwise about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The rules.
    pub rules: AppliedRules,
    /// Remarks on files that were loaded all the same.
    pub warnings: Vec<LoadWarning>,
}

/// Loads all files, all or nothing.
///
/// # Errors
///
/// Everything that is wrong with any of the files, by file and place. A service tag that no file explains is an
/// error at each rule that names it, never an empty set.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Vec<LoadError>> {
    let mut loader = Loader::default();
    let subnet = loader.group(sources.subnet);
    let nic = loader.group(sources.nic);
    let mut service_tags = ServiceTags::new(sources.virtual_network.iter().copied());
    if let Some(internet) = &sources.internet {
        service_tags = service_tags.with_internet(internet.iter().copied());
    }
    loader.resolve_tags(sources.service_tags, &mut service_tags);
    let Loader { mut errors, mut warnings, .. } = loader;
    if errors.is_empty() {
        warnings.dedup();
        return Ok(Loaded { rules: AppliedRules { subnet, nic, service_tags }, warnings });
    }
    sort_errors(&mut errors);
    Err(errors)
}

/// Checks every group of every file by itself, as if it were to be loaded.
///
/// # Errors
///
/// Everything that is wrong with any of the files, by file and place.
pub fn check(
    files: &[SourceFile<'_>],
    service_tags: Option<SourceFile<'_>>,
) -> Result<Vec<LoadWarning>, Vec<LoadError>> {
    let mut loader = Loader::default();
    for file in files {
        for LoadedGroup { tag_references, .. } in loader.groups(*file).unwrap_or_default() {
            loader.tag_references.extend(tag_references);
        }
    }
    loader.resolve_tags(service_tags, &mut ServiceTags::default());
    let Loader { mut errors, mut warnings, .. } = loader;
    if errors.is_empty() {
        warnings.dedup();
        return Ok(warnings);
    }
    sort_errors(&mut errors);
    Err(errors)
}

#[derive(Default)]
struct Loader {
    errors: Vec<LoadError>,
    warnings: Vec<LoadWarning>,
    tag_references: Vec<TagReference>,
}

impl Loader {
    fn group(&mut self, source: Option<SourceFile<'_>>) -> Option<NetworkSecurityGroup> {
        let source = source?;
        match select(source.name, self.groups(source)?, source.group) {
            Ok(LoadedGroup { group, tag_references, .. }) => {
                self.tag_references.extend(tag_references);
                Some(group)
            }
            Err(error) => {
                self.errors.push(*error);
                None
            }
        }
    }

    fn groups(&mut self, source: SourceFile<'_>) -> Option<Vec<LoadedGroup>> {
        let format = Format::of(source.name, source.text);
        match read_groups(source.name, source.text, format, None) {
            Ok(parsed) => {
                self.warnings.extend(parsed.warnings);
                Some(parsed.groups)
            }
            Err(refused) => {
                self.errors.extend(refused.errors);
                // Only a group that is asked for by name is told from the others here.
                let is_wanted = |reference: &TagReference| {
                    source.group.is_none_or(|wanted| {
                        let group = reference.place.group.as_deref();
                        group.is_some_and(|group| group.eq_ignore_ascii_case(wanted))
                    })
                };
                self.tag_references.extend(refused.tag_references.into_iter().filter(is_wanted));
                None
            }
        }
    }

    fn resolve_tags(&mut self, source: Option<SourceFile<'_>>, into: &mut ServiceTags) {
        let wanted: BTreeSet<String> =
            self.tag_references.iter().map(|reference| reference.tag.clone()).collect();
        let parsed =
            source.map(|source| service_tag_file::parse(source.name, source.text, &wanted));
        let published = match parsed {
            None => None,
            Some(Ok(published)) => Some(published),
            Some(Err(errors)) => {
                self.errors.extend(errors); // what the file would have explained is not known
                return;
            }
        };
        for (name, set) in published.iter().flat_map(|published| &published.found) {
            into.insert(name, set.clone());
        }
        for reference in std::mem::take(&mut self.tag_references) {
            if into.get(&reference.tag).is_none() {
                let hint = unknown_tag_hint(&reference.tag, published.as_ref());
                let refusal = address_field::unknown_tag(&reference.tag, hint);
                self.errors.push(refusal.at(reference.place));
            }
        }
    }
}

fn unknown_tag_hint(tag: &str, published: Option<&PublishedTags<'_>>) -> String {
    const BUILT_IN: [&str; 3] = ["VirtualNetwork", "Internet", "AzureLoadBalancer"];
    let names = published.into_iter().flat_map(|published| &published.names).map(AsRef::as_ref);
    let built_in = "VirtualNetwork, Internet and AzureLoadBalancer are built in";
    match (name::nearest(tag, names.chain(BUILT_IN)), published) {
        (Some(nearest), _) => format!("did you mean `{nearest}`?"),
        (None, Some(_)) => format!("the service tag file has no such tag; {built_in}"),
        (None, None) => format!("no service tag file is given; {built_in}"),
    }
}
