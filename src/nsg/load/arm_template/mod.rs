//! Network security groups out of an ARM template, as `az bicep build`, `az group export` and people write it.
//!
//! In comes the tree of a template (and of a parameters file); out come its groups as Azure's REST API would show
//! them, with every expression resolved, or what can not be resolved with its path. Rules that stand as resources of
//! their own are put into their group. Nothing is asked of Azure: what only a deployment knows stays unresolved.

mod comments;
mod expression;
mod functions;
mod scope;

use std::collections::HashMap;
use std::rc::Rc;

pub(super) use self::comments::{may_have_comments, without_comments};
use self::scope::{Budget, NO_DEFAULT, Scope as Names, Unresolved};
use super::document::{Field, Node, Value};
use super::error::{Findings, Refusal, Scope, shown};

const GROUP: &str = "Microsoft.Network/networkSecurityGroups";
const RULE: &str = "Microsoft.Network/networkSecurityGroups/securityRules";
const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

/// Stands in a resource id for the subscription and the resource group that a template is deployed to.
pub(super) const UNKNOWN_PART: &str = "(deployment)";

/// The deepest nesting of deployments; Azure's own limit is lower.
const MAX_DEPLOYMENTS: usize = 8;

/// Returns the groups of a template as Azure's API would show them.
pub(super) fn groups(root: &Node, parameters: Option<&Node>, findings: &mut Findings) -> Vec<Node> {
    let budget = Budget::new();
    let names = Names::new(root, given_values(parameters), &budget);
    let mut reader = Reader { findings, budget: &budget, groups: Vec::new(), rules: Vec::new() };
    reader.resources(root, &names, "resources", 0);
    reader.joined()
}

/// The values of a parameters file or of a nested deployment: `{"name": {"value": ...}}`.
fn given_values(parameters: Option<&Node>) -> HashMap<String, Rc<Node>> {
    let parameters = parameters.map(|node| node.get("parameters").unwrap_or(node));
    let fields = parameters.and_then(Node::fields).unwrap_or_default();
    let given = |field: &Field| {
        let value = field.node.get("value")?;
        Some((field.key.to_ascii_lowercase(), Rc::new(value.clone())))
    };
    fields.iter().filter_map(given).collect()
}

/// A rule that stands outside of its group.
struct LooseRule {
    group: String,
    rule: Node,
    path: String,
}

struct Reader<'f, 'b> {
    findings: &'f mut Findings,
    budget: &'b Budget,
    groups: Vec<(String, Node)>,
    rules: Vec<LooseRule>,
}

impl Reader<'_, '_> {
    /// Reads the resources of a template: an array, or an object of named ones.
    fn resources(&mut self, template: &Node, names: &Names<'_>, path: &str, depth: usize) {
        let Some(resources) = template.get("resources") else { return };
        match &resources.value {
            Value::Array(list) => {
                for (index, resource) in list.iter().enumerate() {
                    self.copies(resource, names, &format!("{path}[{index}]"), depth);
                }
            }
            Value::Object(fields) => {
                for field in fields {
                    let path = format!("{path}.{}", shown(&field.key));
                    self.copies(&field.node, names, &path, depth);
                }
            }
            _ => {
                let refusal = Refusal::new(format!("must be a list, not {}", resources.kind()));
                self.findings.refuse(&Scope::default(), Some(path), resources.position, refusal);
            }
        }
    }

    /// Reads a resource once, or once for each turn of its copy loop.
    fn copies(&mut self, resource: &Node, names: &Names<'_>, path: &str, depth: usize) {
        let kind = resource.get("type").and_then(Node::text).unwrap_or_default();
        let matters = [GROUP, RULE, DEPLOYMENT].iter().any(|it| it.eq_ignore_ascii_case(kind));
        let is_existing = resource.get("existing").is_some_and(|it| it.value == Value::Bool(true));
        if !matters || is_existing {
            return;
        }
        let Some(copy) = resource.get("copy") else {
            return self.resource(kind, resource, names, path, depth);
        };
        let done = names.each_turn(copy, |_| {
            self.resource(kind, resource, names, path, depth);
            Ok(())
        });
        if let Err(unresolved) = done {
            self.refuse(unresolved.under(".copy"), path);
        }
    }

    fn resource(
        &mut self,
        kind: &str,
        resource: &Node,
        names: &Names<'_>,
        path: &str,
        depth: usize,
    ) {
        if let Some(condition) = resource.get("condition") {
            match names.resolve(condition).map(|node| node.value.clone()) {
                Ok(Value::Bool(false)) => return,
                Ok(Value::Bool(true)) => {}
                Ok(_) => {
                    let message = "is neither true nor false".to_owned();
                    let unresolved = Unresolved::at(condition.position, message);
                    return self.refuse(unresolved.under(".condition"), path);
                }
                Err(unresolved) => return self.refuse(unresolved.under(".condition"), path),
            }
        }
        if kind.eq_ignore_ascii_case(DEPLOYMENT) {
            self.deployment(resource, names, path, depth);
        } else if kind.eq_ignore_ascii_case(RULE) {
            self.loose_rule(resource, None, names, path);
        } else {
            self.group(resource, names, path);
        }
    }

    fn group(&mut self, resource: &Node, names: &Names<'_>, path: &str) {
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
    fn loose_rule(&mut self, resource: &Node, group: Option<&str>, names: &Names<'_>, path: &str) {
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

    /// Reads the template inside of a deployment, with names of its own where it asks for that.
    fn deployment(&mut self, resource: &Node, names: &Names<'_>, path: &str, depth: usize) {
        let Some(properties) = resource.get("properties") else { return };
        let path = format!("{path}.properties.template.resources");
        let Some(template) = properties.get("template") else {
            if properties.get("templateLink").is_some() {
                let message =
                    "a linked template is not read; groups in it are not known".to_owned();
                let scope = Scope::default();
                self.findings.warn(&scope, Some("templateLink"), resource.position, message);
            }
            return;
        };
        if depth >= MAX_DEPLOYMENTS {
            let message = format!("more than {MAX_DEPLOYMENTS} deployments inside of one another");
            return self.refuse(Unresolved::at(resource.position, message), &path);
        }
        let scope = properties
            .get("expressionEvaluationOptions")
            .and_then(|options| options.get("scope"))
            .and_then(Node::text);
        if scope.is_none_or(|scope| !scope.eq_ignore_ascii_case("inner")) {
            return self.resources(template, names, &path, depth + 1);
        }
        // A value that can not be resolved is missed only where something asks for it.
        let fields = properties.get("parameters").and_then(Node::fields).unwrap_or_default();
        let given = |field: &Field| {
            let value = names.resolve(field.node.get("value")?).ok()?;
            Some((field.key.to_ascii_lowercase(), value))
        };
        let given = fields.iter().filter_map(given).collect();
        let inner = Names::new(template, given, self.budget);
        self.resources(template, &inner, &path, depth + 1);
    }

    /// Puts the loose rules into their groups.
    fn joined(self) -> Vec<Node> {
        let Self { findings, mut groups, rules, .. } = self;
        for LooseRule { group, rule, path } in rules {
            let of = groups.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(&group));
            if let Some(list) = of.and_then(|(_, node)| rules_of(node)) {
                put(list, rule);
            } else {
                let message = format!(
                    "the group `{}` is not in this template; the rule is not used",
                    shown(&group)
                );
                let scope = Scope::default();
                findings.warn(&scope, Some(&path), rule.position, message);
            }
        }
        groups.into_iter().map(|(_, node)| node).collect()
    }

    fn refuse(&mut self, unresolved: Unresolved, path: &str) {
        self.refuse_in(&Scope::default(), unresolved, path);
    }

    fn refuse_in(&mut self, scope: &Scope, unresolved: Unresolved, path: &str) {
        let hint = if unresolved.message.ends_with(NO_DEFAULT) {
            "give its value in a parameters file: --parameters"
        } else {
            "give the group as Azure has it: az network nsg show"
        };
        let refusal = Refusal::new(unresolved.message).hint(hint);
        let field = format!("{path}{}", unresolved.path);
        self.findings.refuse(scope, Some(&field), unresolved.position, refusal);
    }
}

/// Fields of a rule, or of the resource it stands in, that say nothing of packets.
const NOT_OF_THE_RULE: [&str; 8] =
    ["description", "dependsOn", "apiVersion", "location", "condition", "copy", "comments", "tags"];

/// Adds a rule, or puts it in the place of the one of its name: an exported template says each rule twice, inside of
/// its group and beside it, and the deployment of the second replaces the first.
fn put(rules: &mut Vec<Node>, rule: Node) {
    let name = |rule: &Node| rule.get("name").and_then(Node::text).map(str::to_ascii_lowercase);
    match rules.iter_mut().find(|known| name(known) == name(&rule)) {
        Some(known) => *known = rule,
        None => rules.push(rule),
    }
}

fn rules_of(group: &mut Node) -> Option<&mut Vec<Node>> {
    let Value::Object(fields) = &mut group.value else { return None };
    let properties = fields.iter_mut().find(|field| field.is_named("properties"))?;
    let Value::Object(inner) = &mut properties.node.value else { return None };
    let rules = inner.iter_mut().find(|field| field.is_named("securityRules"))?;
    let Value::Array(list) = &mut rules.node.value else { return None };
    Some(list)
}

fn field(key: &str, from: &Node, value: Value) -> Field {
    let node = Node { position: from.position, value };
    Field { key: key.into(), key_position: from.position, node }
}

fn text_field(key: &str, text: &str, from: &Node) -> Field {
    field(key, from, Value::String(text.into()))
}
