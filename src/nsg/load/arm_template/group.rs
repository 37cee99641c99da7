//! One group of a template, and one rule that stands outside of its group.
//!
//! In comes a resource; out comes the group or the rule with every expression resolved, or every field in which one
//! can not be. Nothing is joined here: which rule is put into which group, the whole template says.

use std::rc::Rc;

use super::scope::{Scope as Names, Unresolved};
use super::{LooseRule, RULE, Reader};
use crate::nsg::load::document::{Field, Node, Value};
use crate::nsg::load::error::{Scope, shown};

/// Fields of a rule, or of the resource it stands in, that say nothing of packets.
const NOT_OF_THE_RULE: [&str; 8] =
    ["description", "dependsOn", "apiVersion", "location", "condition", "copy", "comments", "tags"];

impl Reader<'_, '_> {
    pub(super) fn group(&mut self, resource: &Node, names: &Names<'_>, path: &str) {
        let name = self.group_name(resource, names, path);
        let scope = Scope { group: Some(name.clone()), rule: None };
        let mut fields = vec![text_field("name", &name, resource)];
        let properties = resource.get("properties");
        let mut inner = Vec::new();
        for wanted in ["securityRules", "flushConnection", "copy"] {
            let Some(node) = properties.and_then(|properties| properties.get(wanted)) else {
                continue;
            };
            let below = format!("{path}.properties");
            inner.extend(self.property(wanted, node, names, &below, &scope));
        }
        if !inner.iter().any(|field| field.is_named("securityRules")) {
            inner.push(field("securityRules", resource, Value::Array(Vec::new())));
        }
        fields.push(field("properties", resource, Value::Object(inner)));
        let group = Node { position: resource.position, value: Value::Object(fields) };
        self.groups.push((name.clone(), group));
        let children = resource.get("resources").and_then(Node::elements).unwrap_or_default();
        for (index, child) in children.iter().enumerate() {
            let kind = child.get("type").and_then(Node::text).unwrap_or_default();
            if kind.eq_ignore_ascii_case("securityRules") || kind.eq_ignore_ascii_case(RULE) {
                let path = format!("{path}.resources[{index}]");
                self.child_rules(child, &name, names, &path);
            }
        }
    }

    fn child_rules(&mut self, child: &Node, group: &str, names: &Names<'_>, path: &str) {
        let Some(copy) = child.get("copy") else {
            return self.loose_rule(child, Some(group), names, path);
        };
        let done = names.each_turn(copy, |_| {
            self.loose_rule(child, Some(group), names, path);
            Ok(())
        });
        if let Err(unresolved) = done {
            self.refuse(unresolved.under(".copy"), path);
        }
    }

    /// The name only says which group this is, so one that only a deployment knows gets a stand-in.
    fn group_name(&mut self, resource: &Node, names: &Names<'_>, path: &str) -> String {
        let stand_in = format!("unnamed-{}", self.groups.len() + 1);
        let Some(node) = resource.get("name") else {
            self.refuse(
                Unresolved::at(resource.position, "is missing".to_owned()).under(".name"),
                path,
            );
            return stand_in;
        };
        match names.resolve(node) {
            Ok(name) => name.text().map_or(stand_in, str::to_owned),
            Err(unresolved) => {
                let message =
                    format!("{}; the group is called `{stand_in}` here", unresolved.message);
                let field = format!("{path}.name");
                let scope = Scope::default();
                self.findings.warn(&scope, Some(&field), node.position, message);
                stand_in
            }
        }
    }

    /// Resolves one property of a group; each rule of a list by itself, so that every fault is named.
    fn property(
        &mut self,
        name: &str,
        node: &Node,
        names: &Names<'_>,
        path: &str,
        scope: &Scope,
    ) -> Vec<Field> {
        let path = format!("{path}.{name}");
        if name == "copy" {
            // The loop is written as a field of an object, which is what resolves it.
            let object = Node {
                position: node.position,
                value: Value::Object(vec![field("copy", node, node.value.clone())]),
            };
            return match names.resolve(&object) {
                Ok(resolved) => resolved.fields().unwrap_or_default().to_vec(),
                Err(unresolved) => {
                    let below = path.trim_end_matches(".copy");
                    self.refuse_in(scope, unresolved, below);
                    Vec::new()
                }
            };
        }
        let value = match node.elements() {
            Some(elements) => {
                let resolve = |(index, rule): (usize, &Node)| {
                    self.rule(rule, names, &format!("{path}[{index}]"), scope)
                };
                Value::Array(elements.iter().enumerate().filter_map(resolve).collect())
            }
            None => match names.resolve(node) {
                Ok(resolved) => resolved.value.clone(),
                Err(unresolved) => {
                    self.refuse_in(scope, unresolved, &path);
                    return Vec::new();
                }
            },
        };
        vec![field(name, node, value)]
    }

    /// Resolves a rule field by field; a field that can not be resolved is named and the rule is left out.
    fn rule(&mut self, rule: &Node, names: &Names<'_>, path: &str, scope: &Scope) -> Option<Node> {
        let Some(outer) = rule.fields() else {
            let resolved = names.resolve(rule);
            return resolved
                .map(Rc::unwrap_or_clone)
                .map_err(|unresolved| self.refuse_in(scope, unresolved, path))
                .ok();
        };
        let mut fields = Vec::new();
        let mut is_whole = true;
        for one in outer {
            let below = format!("{path}.{}", shown(&one.key));
            if one.is_named("properties") && one.node.fields().is_some() {
                let Some(properties) = self.rule(&one.node, names, &below, scope) else {
                    is_whole = false;
                    continue;
                };
                fields.push(field(&one.key, &one.node, properties.value));
            } else if NOT_OF_THE_RULE.iter().any(|name| one.is_named(name)) {
                // what only a deployment or a reader of the template looks at
            } else {
                match names.resolve(&one.node) {
                    Ok(node) => fields.push(Field {
                        key: one.key.clone(),
                        key_position: one.key_position,
                        node: Rc::unwrap_or_clone(node),
                    }),
                    Err(unresolved) => {
                        self.refuse_in(scope, unresolved, &below);
                        is_whole = false;
                    }
                }
            }
        }
        is_whole.then_some(Node { position: rule.position, value: Value::Object(fields) })
    }

    /// Keeps a rule that stands outside of its group; without a group its name is `group/rule`.
    pub(super) fn loose_rule(
        &mut self,
        resource: &Node,
        group: Option<&str>,
        names: &Names<'_>,
        path: &str,
    ) {
        let scope = Scope { group: group.map(str::to_owned), rule: None };
        let Some(resolved) = self.rule(resource, names, path, &scope) else { return };
        let full_name = resolved.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        let (of, name) = match (group, full_name.split_once('/')) {
            (_, Some((of, name))) => (of.to_owned(), name.to_owned()),
            (Some(group), None) => (group.to_owned(), full_name),
            (None, None) => {
                let message =
                    format!("`{}` does not name its group: GROUP/RULE", shown(&full_name));
                let unresolved = Unresolved::at(resource.position, message);
                return self.refuse(unresolved.under(".name"), path);
            }
        };
        let mut fields = vec![text_field("name", &name, resource)];
        let others = resolved.fields().unwrap_or_default().iter();
        fields.extend(others.filter(|field| field.is_named("properties")).cloned());
        let rule = Node { position: resource.position, value: Value::Object(fields) };
        self.rules.push(LooseRule { group: of, rule, path: path.to_owned() });
    }
}

fn field(key: &str, from: &Node, value: Value) -> Field {
    let node = Node { position: from.position, value };
    Field { key: key.into(), key_position: from.position, node }
}

fn text_field(key: &str, text: &str, from: &Node) -> Field {
    field(key, from, Value::String(text.into()))
}
