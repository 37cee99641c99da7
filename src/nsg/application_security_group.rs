//! Which addresses belong to which application security group.
//!
//! Membership is a matter of IP configurations: a group stands for the private addresses of its members. A rule that
//! names a group on the local side applies only to an interface that is a member, which is to say: to packets whose
//! local address is a member's; on the remote side it meets packets whose remote address is one (Microsoft,
//! *Application security groups*; that the remote side means the members' addresses is inferred, nsg-semantics.md
//! section 6). Either way it is the packet's address that is looked up.

use std::collections::HashMap;
use std::sync::Arc;

use super::AddressSet;

/// The groups whose members are known. Ids compare in any letter case, as Azure compares resource ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplicationSecurityGroups {
    by_id: HashMap<String, Arc<AddressSet>>,
}

impl ApplicationSecurityGroups {
    /// Adds members to a group, given by its resource id or by its bare name.
    pub fn add_members(&mut self, id: &str, members: &AddressSet) {
        let group = self.by_id.entry(id.to_ascii_lowercase()).or_default();
        *group = Arc::new(group.union(members));
    }

    /// Returns the members of a group; `None` where nothing is known of it, which is never the same as "no member".
    ///
    /// A bare name means the group of that name, whatever its resource group, unless several have it; a resource id
    /// also finds what was added under the bare name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<AddressSet>> {
        let id = id.to_ascii_lowercase();
        if let Some(members) = self.by_id.get(&id) {
            return Some(members);
        }
        let name = last_segment(&id);
        if name.len() < id.len() {
            return self.by_id.get(name);
        }
        let mut same_name = self.by_id.iter().filter(|(other, _)| last_segment(other) == name);
        let (_, members) = same_name.next()?;
        same_name.next().is_none().then_some(members)
    }
}

/// Returns the last part of a resource id: the bare name.
fn last_segment(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "/subscriptions/s/resourceGroups/one/providers/Microsoft.Network/applicationSecurityGroups/Web";
    const OTHER_WEB: &str = "/subscriptions/s/resourceGroups/two/providers/Microsoft.Network/applicationSecurityGroups/Web";

    fn members(address: &str) -> AddressSet {
        [address.parse().unwrap()].into_iter().collect()
    }

    #[test]
    fn ids_are_compared_in_any_letter_case_and_by_name_where_one_is_bare() {
        let mut groups = ApplicationSecurityGroups::default();
        groups.add_members(WEB, &members("10.0.0.4/32"));
        groups.add_members("Db", &members("10.0.0.5/32"));
        assert!(groups.get(&WEB.to_uppercase()).is_some());
        assert!(groups.get("wEB").is_some());
        assert!(groups.get(&WEB.replace("Web", "DB")).is_some());
        assert!(groups.get(OTHER_WEB).is_none(), "another group of the same name");
        assert!(groups.get("Logic").is_none());
    }

    #[test]
    fn a_bare_name_that_two_groups_have_stands_for_neither() {
        let mut groups = ApplicationSecurityGroups::default();
        groups.add_members(WEB, &members("10.0.0.4/32"));
        groups.add_members(OTHER_WEB, &members("10.0.0.5/32"));
        assert!(groups.get("Web").is_none());
    }

    #[test]
    fn members_of_several_interfaces_add_up() {
        let mut groups = ApplicationSecurityGroups::default();
        groups.add_members("Web", &members("10.0.0.4/32"));
        groups.add_members("WEB", &members("10.0.0.5/32"));
        let web = groups.get("web").unwrap();
        for (address, inside) in [("10.0.0.4", true), ("10.0.0.5", true), ("10.0.0.6", false)] {
            assert_eq!(web.contains(address.parse().unwrap()), inside, "{address}");
        }
    }
}
