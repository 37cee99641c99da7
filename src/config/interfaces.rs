//! The interfaces of a configuration file: one name, a list of names, or a table of rules for each.
//!
//! ```toml
//! interface = "eth0"
//! interface = ["eth0", "eth1"]
//! [interface.eth0]          # rules of this one; what is left out is taken from the top level
//! nic-nsg = "web.json"
//! ```
//!
//! In comes the value of `interface`, out go names and rules. What interfaces there are is not known here.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::options::RuleOptions;

/// Which interfaces, and the rules of those that have a table.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    pub(super) names: Vec<String>,
    pub(super) rules: BTreeMap<String, RuleOptions>,
}

impl<'de> Deserialize<'de> for Interfaces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InterfacesVisitor)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Interfaces {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Interfaces".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let rules = generator.subschema_for::<RuleOptions>();
        schemars::json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
            { "type": "object", "additionalProperties": rules },
        ] })
    }
}

/// Asked for the kind of value by hand, because an untagged enumeration would forget where in the file an error is.
struct InterfacesVisitor;

impl<'de> Visitor<'de> for InterfacesVisitor {
    type Value = Interfaces;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an interface name, a list of names, or tables [interface.NAME]")
    }

    fn visit_str<E>(self, name: &str) -> Result<Interfaces, E> {
        Ok(Interfaces { names: vec![name.to_owned()], rules: BTreeMap::new() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Interfaces, A::Error> {
        let mut found = Interfaces::default();
        while let Some(name) = list.next_element()? {
            found.names.push(name);
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut tables: A) -> Result<Interfaces, A::Error> {
        let mut found = Interfaces::default();
        while let Some((name, rules)) = tables.next_entry::<String, RuleOptions>()? {
            found.names.push(name.clone());
            found.rules.insert(name, rules);
        }
        Ok(found)
    }
}
