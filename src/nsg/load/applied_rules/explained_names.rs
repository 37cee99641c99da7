//! What the names in the rules stand for: service tags and application security groups.
//!
//! In come the names that the rules of all files hold, and the files that explain names; out come addresses. A name
//! that nothing explains is an error, or a warning where packets may stay undecided, and never an empty set.

use std::collections::BTreeSet;

use super::{Loader, SourceFile, Sources, Unresolved};
use crate::nsg::load::error::{LoadError, LoadWarning, Refusal, shown};
use crate::nsg::load::membership::{self, Members};
use crate::nsg::load::references::{GroupReference, Role};
use crate::nsg::load::service_tag_file::{self, PublishedTags};
use crate::nsg::load::{address_field, name};
use crate::nsg::{ApplicationSecurityGroups, ServiceTags};

impl Loader {
    pub(super) fn resolve_tags(&mut self, source: Option<SourceFile<'_>>, into: &mut ServiceTags) {
        let named = std::mem::take(&mut self.references.service_tags);
        let wanted: BTreeSet<String> =
            named.iter().map(|reference| reference.tag.clone()).collect();
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
        for reference in named {
            if into.get(&reference.tag).is_none() {
                let hint = unknown_tag_hint(&reference.tag, published.as_ref());
                let refusal = address_field::unknown_tag(&reference.tag, hint);
                self.unresolved(refusal.at(reference.place));
            }
        }
    }

    /// A name that nothing explains: an error, or a warning where packets may stay undecided.
    fn unresolved(&mut self, error: LoadError) {
        match self.unresolved {
            Unresolved::Refuse => self.errors.push(error),
            Unresolved::Undecided => {
                let message =
                    format!("{}: packets that this rule might decide are undecided", error.message);
                self.warnings.push(LoadWarning { place: error.place, message });
            }
        }
    }

    /// Finds the members of every group that a rule names.
    ///
    /// The interface alone tells of which groups this machine is a member, and of no other machine: that is enough
    /// for a rule that names the group on the side of this machine, and for no other.
    pub(super) fn resolve_groups(&mut self, sources: &Sources<'_>) -> ApplicationSecurityGroups {
        let mut all = ApplicationSecurityGroups::default();
        for source in &sources.application_security_groups {
            let members = self.document(*source, membership::all_members);
            add_members(&mut all, members.unwrap_or_default());
        }
        let own: Option<Members> = sources
            .interface
            .and_then(|source| self.document(source, membership::of_one_interface));
        let mut own_groups = ApplicationSecurityGroups::default();
        add_members(&mut own_groups, own.clone().unwrap_or_default());
        let named = std::mem::take(&mut self.references.application_security_groups);
        let mut answers = ApplicationSecurityGroups::default();
        for reference in &named {
            let id = &reference.id;
            // A bare name and an id may mean the same group.
            let mut same = named.iter().filter(|other| has_same_name(&other.id, id));
            let is_local_only = same.all(|other| other.role == Role::Local);
            let is_told = own.as_ref().is_some_and(|own| {
                let same = own.keys().filter(|own| has_same_name(own, id)).count();
                id.contains('/') || same <= 1
            });
            let known = all.get(id).cloned();
            let member_of = own_groups.get(id).cloned();
            match (known, is_told && is_local_only) {
                (Some(members), _) => {
                    answers.add_members(id, &members.union(&member_of.unwrap_or_default()));
                }
                (None, true) => answers.add_members(id, &member_of.unwrap_or_default()),
                (None, false) => {
                    let refusal = unknown_group(reference, own.is_some());
                    self.unresolved(refusal.at(reference.place.clone()));
                }
            }
        }
        answers
    }
}

fn add_members(groups: &mut ApplicationSecurityGroups, members: Members) {
    for (id, addresses) in members {
        groups.add_members(&id, &addresses.into_iter().collect());
    }
}

/// Compares the last parts of two resource ids.
fn has_same_name(one: &str, other: &str) -> bool {
    let name = |id: &str| id.rsplit('/').next().map(str::to_ascii_lowercase);
    name(one) == name(other)
}

fn unknown_group(reference: &GroupReference, has_interface: bool) -> Refusal {
    let what = match reference.role {
        Role::Local | Role::Remote => "application security group",
        Role::NetworkGroup => "network group",
    };
    let hint = match (reference.role, has_interface) {
        (Role::Local, false) => {
            "give the interface as --nic, or all members as --application-security-groups"
        }
        (Role::Local, true) => {
            "another rule names it on the other side: give all members as --application-security-groups"
        }
        (Role::Remote, _) => "give all its members as --application-security-groups",
        (Role::NetworkGroup, _) => "give its prefixes as --application-security-groups",
    };
    Refusal::new(format!("the members of the {what} `{}` are not known", shown(&reference.id)))
        .hint(hint)
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
