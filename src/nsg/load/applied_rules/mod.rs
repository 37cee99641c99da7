//! Everything that decides about one interface, joined from the texts of all files.
//!
//! In come the texts, each with what it is meant for; out come rules ready to be compiled, or every error of every
//! file. Loads all or nothing; how a file of one kind is read is the business of the other files of this room.

mod explained_names;

use std::str::FromStr;

use ipnet::IpNet;

use super::document::Node;
use super::document_kind::{self, DocumentKind};
use super::error::{Findings, LoadError, LoadWarning, Refusal, Scope, sort_errors};
use super::group_file::{self, LoadedGroup, read_document, read_groups, select};
use super::references::References;
use super::{Format, membership};
use crate::flow::UnknownWord;
use crate::nsg::{AdminRuleCollection, AppliedRules, Layer, NetworkSecurityGroup, ServiceTags};

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

/// What becomes of rules that name a service tag or an application security group that nothing explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unresolved {
    /// They are not loaded: the name is an error.
    #[default]
    Refuse,
    /// They are loaded with a warning, and packets that they might decide get the answer `Undecided`.
    Undecided,
}

impl FromStr for Unresolved {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "undecided" => Ok(Self::Undecided),
            _ => Err(UnknownWord { value: text.to_owned(), expected: "refuse or undecided" }),
        }
    }
}

/// What the rules of one interface are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// Effective rules: both groups and the admin rules in one file. A group of its own file wins.
    pub effective: Option<SourceFile<'a>>,
    /// File with the group of the interface's subnet.
    pub subnet: Option<SourceFile<'a>>,
    /// File with the group of the interface itself.
    pub nic: Option<SourceFile<'a>>,
    /// Files with security admin rules.
    pub admin: Vec<SourceFile<'a>>,
    /// Values of an ARM template's parameters.
    pub parameters: Option<SourceFile<'a>>,
    /// The interface itself, which says of which application security groups it is a member.
    pub interface: Option<SourceFile<'a>>,
    /// Files that name all members of application security groups.
    pub application_security_groups: Vec<SourceFile<'a>>,
    /// The published service tags.
    pub service_tags: Option<SourceFile<'a>>,
    /// What `VirtualNetwork` stands for; the host address is added.
    pub virtual_network: Vec<IpNet>,
    /// What `Internet` stands for, where it is known better than "all public addresses elsewhere".
    pub internet: Option<Vec<IpNet>>,
    /// What becomes of rules with names that nothing explains.
    pub unresolved: Unresolved,
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
/// Everything that is wrong with any of the files, by file and place. A service tag or an application security group
/// that no file explains is an error at each rule that names it, never an empty set.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, Vec<LoadError>> {
    let mut loader = Loader::new(sources.unresolved, sources.parameters);
    let (own_subnet, own_nic) = loader.effective(sources);
    let subnet = loader.group(sources.subnet, Layer::Subnet).or(own_subnet);
    let nic = loader.group(sources.nic, Layer::Nic).or(own_nic);
    let mut admin: Vec<AdminRuleCollection> = Vec::new();
    for source in &sources.admin {
        admin.extend(loader.admin(*source, group_file::admin_rules));
    }
    if let Some(source) = sources.effective {
        admin.extend(loader.admin(source, group_file::effective_admin_rules));
    }
    let mut service_tags = ServiceTags::new(sources.virtual_network.iter().copied());
    if let Some(internet) = &sources.internet {
        service_tags = service_tags.with_internet(internet.iter().copied());
    }
    loader.resolve_tags(sources.service_tags, &mut service_tags);
    let application_security_groups = loader.resolve_groups(sources);
    let warnings = loader.finish()?;
    let rules = AppliedRules { admin, subnet, nic, service_tags, application_security_groups };
    Ok(Loaded { rules, warnings })
}

/// Checks every file by itself, whatever it holds, as if it were to be loaded. `with` is what the rules of all of
/// them may name; its own groups and admin rules are not looked at.
///
/// # Errors
///
/// Everything that is wrong with any of the files, by file and place.
pub fn check(
    files: &[SourceFile<'_>],
    with: &Sources<'_>,
) -> Result<Vec<LoadWarning>, Vec<LoadError>> {
    let mut loader = Loader::new(with.unresolved, with.parameters);
    for file in files {
        loader.check(*file);
    }
    loader.resolve_tags(with.service_tags, &mut ServiceTags::default());
    loader.resolve_groups(with);
    loader.finish()
}

struct Loader {
    errors: Vec<LoadError>,
    warnings: Vec<LoadWarning>,
    references: References,
    parameters: Option<Node>,
    unresolved: Unresolved,
}

impl Loader {
    fn new(unresolved: Unresolved, parameters: Option<SourceFile<'_>>) -> Self {
        let (errors, warnings) = (Vec::new(), Vec::new());
        let references = References::default();
        let mut loader = Self { errors, warnings, references, parameters: None, unresolved };
        loader.parameters =
            parameters.and_then(|source| loader.document(source, |root, _| root.clone()));
        loader
    }

    fn finish(mut self) -> Result<Vec<LoadWarning>, Vec<LoadError>> {
        if self.errors.is_empty() {
            self.warnings.dedup();
            return Ok(self.warnings);
        }
        sort_errors(&mut self.errors);
        Err(self.errors)
    }

    /// Reads a document that holds no groups.
    fn document<T>(
        &mut self,
        source: SourceFile<'_>,
        read: impl FnOnce(&Node, &mut Findings) -> T,
    ) -> Option<T> {
        let mut findings = Findings::new(source.name);
        let format = Format::of(source.name, source.text);
        let root = read_document(source.name, source.text, format, &mut findings);
        let value = root.map(|root| read(&root, &mut findings));
        match findings.finish() {
            Ok(warnings) => self.warnings.extend(warnings),
            Err(errors) => {
                self.errors.extend(errors);
                return None;
            }
        }
        value
    }

    fn group(
        &mut self,
        source: Option<SourceFile<'_>>,
        layer: Layer,
    ) -> Option<NetworkSecurityGroup> {
        let source = source?;
        let mut groups = self.groups(source)?;
        // Where a document says what each group is bound to, the others are not meant.
        if groups.iter().any(|loaded| loaded.layers.contains(&layer)) {
            groups.retain(|loaded| loaded.layers.contains(&layer));
        }
        self.selected(source, groups)
    }

    fn selected(
        &mut self,
        source: SourceFile<'_>,
        groups: Vec<LoadedGroup>,
    ) -> Option<NetworkSecurityGroup> {
        match select(source.name, groups, source.group) {
            Ok(LoadedGroup { group, references, .. }) => {
                self.references.extend(references);
                Some(group)
            }
            Err(error) => {
                self.errors.push(*error);
                None
            }
        }
    }

    /// Takes the groups of both layers, subnet and interface, out of effective rules.
    fn effective(
        &mut self,
        sources: &Sources<'_>,
    ) -> (Option<NetworkSecurityGroup>, Option<NetworkSecurityGroup>) {
        let Some(source) = sources.effective else { return (None, None) };
        let Some(groups) = self.groups(source) else { return (None, None) };
        if groups.iter().any(|loaded| loaded.layers.is_empty()) {
            let refusal = Refusal::new("does not say whether its rules are the subnet's or the interface's")
                .hint("give what `az network nic list-effective-nsg` prints, or name the file as --subnet-nsg or --nic-nsg");
            self.refuse(source, refusal);
            return (None, None);
        }
        let [subnet, nic] =
            [(Layer::Subnet, sources.subnet), (Layer::Nic, sources.nic)].map(|(layer, own)| {
                let bound = groups.iter().filter(|loaded| loaded.layers.contains(&layer));
                let bound: Vec<LoadedGroup> = bound.cloned().collect();
                let is_wanted = own.is_none() && !bound.is_empty();
                is_wanted.then(|| self.selected(source, bound)).flatten()
            });
        (subnet, nic)
    }

    fn refuse(&mut self, source: SourceFile<'_>, refusal: Refusal) {
        let place = Findings::new(source.name).place(&Scope::default(), None, None);
        self.errors.push(refusal.at(place));
    }

    fn admin(
        &mut self,
        source: SourceFile<'_>,
        read: impl FnOnce(&Node, &mut References, &mut Findings) -> Vec<AdminRuleCollection>,
    ) -> Vec<AdminRuleCollection> {
        let mut references = References::default();
        let collections =
            self.document(source, |root, findings| read(root, &mut references, findings));
        self.references.extend(references);
        collections.unwrap_or_default()
    }

    fn check(&mut self, source: SourceFile<'_>) {
        let mut findings = Findings::new(source.name);
        let format = Format::of(source.name, source.text);
        let root = read_document(source.name, source.text, format, &mut findings);
        match root.as_ref().map(document_kind::of) {
            Some(Ok(DocumentKind::AdminRules)) => {
                self.admin(source, group_file::admin_rules);
            }
            Some(Ok(DocumentKind::NetworkInterface)) => {
                self.document(source, membership::all_members);
            }
            _ => {
                let groups = self.groups(source).unwrap_or_default();
                if source.group.is_some() && !groups.is_empty() {
                    self.selected(source, groups);
                    return;
                }
                for loaded in groups {
                    self.references.extend(loaded.references);
                }
            }
        }
    }

    fn groups(&mut self, source: SourceFile<'_>) -> Option<Vec<LoadedGroup>> {
        let format = Format::of(source.name, source.text);
        match read_groups(source.name, source.text, format, self.parameters.as_ref()) {
            Ok(parsed) => {
                self.warnings.extend(parsed.warnings);
                Some(parsed.groups)
            }
            Err(mut refused) => {
                self.errors.extend(refused.errors);
                // Only a group that is asked for by name is told from the others here.
                refused.references.retain(|place| {
                    source.group.is_none_or(|wanted| {
                        let group = place.group.as_deref();
                        group.is_some_and(|group| group.eq_ignore_ascii_case(wanted))
                    })
                });
                self.references.extend(refused.references);
                None
            }
        }
    }
}
