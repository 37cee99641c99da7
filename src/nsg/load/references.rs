//! The names in rules that something else must explain: service tags and application security groups.

use super::error::Place;
use crate::nsg::WellKnownTag;

/// A service tag that a rule names and that only a service tag file can explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagReference {
    /// The tag as written.
    pub tag: String,
    /// Where it is named.
    pub place: Place,
}

/// A group of addresses that a rule names by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReference {
    /// The resource id, or the bare name, as written.
    pub id: String,
    /// Where it is named.
    pub place: Place,
    /// What must be known of it.
    pub role: Role,
}

/// What a rule must know of a group that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An application security group on the side of this machine: whether its interface is a member.
    Local,
    /// An application security group on the other side: who all its members are.
    Remote,
    /// A network group of an admin rule, on either side: all its addresses.
    NetworkGroup,
}

/// All such names of a group or a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References {
    /// Service tags that are not built in.
    pub service_tags: Vec<TagReference>,
    /// Application security groups and network groups.
    pub application_security_groups: Vec<GroupReference>,
}

impl References {
    /// Notes a tag, unless it is built in.
    pub(super) fn tag(&mut self, tag: &str, place: Place) {
        if WellKnownTag::from_name(tag).is_none() {
            self.service_tags.push(TagReference { tag: tag.to_owned(), place });
        }
    }

    /// Adds the names of another group.
    pub(super) fn extend(&mut self, other: Self) {
        self.service_tags.extend(other.service_tags);
        self.application_security_groups.extend(other.application_security_groups);
    }

    /// Keeps the names whose places pass.
    pub(super) fn retain(&mut self, keep: impl Fn(&Place) -> bool) {
        self.service_tags.retain(|reference| keep(&reference.place));
        self.application_security_groups.retain(|reference| keep(&reference.place));
    }
}
