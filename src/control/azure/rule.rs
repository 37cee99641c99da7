//! The values of a rule as Azure spells them: in resources, and in effective rules.
//!
//! In come rules of the model, out go Azure's fields. A list of one value stands in the singular field.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::nsg::{
    AddressPrefix, AppliedRules, LayerRule, PortSet, RuleFields, RuleNameStyle, RuleProtocol,
    SecurityRule,
};

/// Writes a rule as a resource of its group, whose id is given.
pub(super) fn resource(rule: &SecurityRule, group_id: &str) -> Value {
    let (kind, kinds) = if rule.is_default {
        ("Microsoft.Network/networkSecurityGroups/defaultSecurityRules", "defaultSecurityRules")
    } else {
        ("Microsoft.Network/networkSecurityGroups/securityRules", "securityRules")
    };
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| {
        properties.insert(name.to_owned(), value);
    };
    put("provisioningState", "Succeeded".into());
    put("protocol", rule.protocol.to_string().into());
    put("access", rule.access.as_str().into());
    put("priority", rule.priority.0.into());
    put("direction", rule.direction.as_str().into());
    for (side, ports, addresses) in [
        ("source", &rule.source_ports, &rule.source),
        ("destination", &rule.destination_ports, &rule.destination),
    ] {
        let ports = ports.ranges().iter().map(ToString::to_string).collect();
        let (mut prefixes, mut groups) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                AddressPrefix::ApplicationSecurityGroup(id) => groups.push(json!({ "id": id })),
                other => prefixes.push(other.to_string()),
            }
        }
        one_or_many(&mut put, &format!("{side}PortRange"), &format!("{side}PortRanges"), ports);
        let singular = format!("{side}AddressPrefix");
        one_or_many(&mut put, &singular, &format!("{singular}es"), prefixes);
        if !groups.is_empty() {
            put(&format!("{side}ApplicationSecurityGroups"), groups.into());
        }
    }
    let made = || format!("{group_id}/{kinds}/{}", rule.name);
    json!({
        "name": rule.name,
        "id": rule.id.clone().unwrap_or_else(made),
        "type": kind,
        "properties": properties,
    })
}

fn one_or_many(
    put: &mut impl FnMut(&str, Value),
    singular: &str,
    plural: &str,
    mut values: Vec<String>,
) {
    if values.len() == 1 {
        put(singular, values.remove(0).into());
        values.clear();
    }
    put(plural, values.into());
}

/// Writes a rule as effective rules have it: ranges and prefixes in full, tags with what they stand for.
pub(super) fn effective(
    rule: &LayerRule<'_>,
    direction: &str,
    style: RuleNameStyle,
    applied: &AppliedRules,
) -> Value {
    let provenance = rule.provenance();
    let RuleFields { protocol, source, source_ports, destination, destination_ports } = rule.fields;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    put("name", provenance.name_in(style).into());
    put(
        "protocol",
        match protocol {
            RuleProtocol::Any => "All".into(),
            only @ RuleProtocol::Only(_) => only.to_string().into(),
        },
    );
    put("access", rule.access.as_str().into());
    put("priority", provenance.priority.0.into());
    put("direction", direction.into());
    for (side, expanded, ports, addresses) in [
        ("source", "expandedSourceAddressPrefix", source_ports, source),
        ("destination", "expandedDestinationAddressPrefix", destination_ports, destination),
    ] {
        singular_and_plural(&mut put, &format!("{side}PortRange"), "s", ranges(ports));
        let Prefixes { written, expansion } = prefixes(addresses, applied);
        singular_and_plural(&mut put, &format!("{side}AddressPrefix"), "es", written);
        put(expanded, expansion.map_or(Value::Null, Value::from));
    }
    fields.into()
}

/// Effective rules have a lone value in both fields.
fn singular_and_plural(
    put: &mut impl FnMut(&str, Value),
    singular: &str,
    ending: &str,
    values: Vec<String>,
) {
    if let [one] = values.as_slice() {
        put(singular, one.as_str().into());
    }
    put(&format!("{singular}{ending}"), values.into());
}

fn ranges(ports: &PortSet) -> Vec<String> {
    ports.ranges().iter().map(|range| format!("{}-{}", range.first, range.last)).collect()
}

struct Prefixes {
    written: Vec<String>,
    /// What a service tag stands for; none where there is no tag, or nobody knows it.
    expansion: Option<Vec<String>>,
}

/// Writes an address field. An application security group is written as its members, as Azure does.
fn prefixes(field: &[AddressPrefix], applied: &AppliedRules) -> Prefixes {
    let (mut written, mut expansion) = (Vec::new(), None);
    for value in field {
        let known = applied.resolve(value).map(|set| texts(&set.to_prefixes()));
        match value {
            AddressPrefix::Any => written.push("0.0.0.0/0".to_owned()),
            AddressPrefix::Network(network) => written.push(network.to_string()),
            AddressPrefix::ServiceTag(name) => {
                written.push(name.clone());
                if let Some(known) = known {
                    expansion.get_or_insert_with(Vec::new).extend(known);
                }
            }
            AddressPrefix::ApplicationSecurityGroup(id) => match known {
                Some(members) => written.extend(members),
                None => written.push(id.clone()),
            },
        }
    }
    Prefixes { written, expansion }
}

fn texts(prefixes: &[IpNet]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}
