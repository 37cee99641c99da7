//! The six rules every group ends with, as data: same list, same evaluation, no special case.

use super::{Access, AddressPrefix, PortSet, Priority, RuleProtocol, SecurityRule};
use crate::flow::Direction;

/// Returns the six default rules exactly as Azure's API prints them (nsg-semantics.md section 3).
#[must_use]
pub fn default_security_rules() -> Vec<SecurityRule> {
    use Access::{Allow, Deny};
    use Direction::{Inbound, Outbound};
    let tag = |name: &str| AddressPrefix::ServiceTag(name.to_owned());
    let any = || AddressPrefix::Any;
    let vnet = || tag("VirtualNetwork");
    [
        ("AllowVnetInBound", 65000, Inbound, vnet(), vnet(), Allow),
        ("AllowAzureLoadBalancerInBound", 65001, Inbound, tag("AzureLoadBalancer"), any(), Allow),
        ("DenyAllInBound", 65500, Inbound, any(), any(), Deny),
        ("AllowVnetOutBound", 65000, Outbound, vnet(), vnet(), Allow),
        ("AllowInternetOutBound", 65001, Outbound, any(), tag("Internet"), Allow),
        ("DenyAllOutBound", 65500, Outbound, any(), any(), Deny),
    ]
    .into_iter()
    .map(|(name, priority, direction, source, destination, access)| SecurityRule {
        name: name.to_owned(),
        priority: Priority(priority),
        direction,
        access,
        protocol: RuleProtocol::Any,
        source: vec![source],
        source_ports: PortSet::any(),
        destination: vec![destination],
        destination_ports: PortSet::any(),
        is_default: true,
        id: None,
    })
    .collect()
}
