//! Network security groups out of an ARM template, as `az bicep build`, `az group export` and people write it.
//!
//! In comes the tree of a template (and of a parameters file); out come its groups as Azure's REST API would show
//! them, with every expression resolved, or what can not be resolved with its path. Rules that stand as resources of
//! their own are put into their group. Nothing is asked of Azure: what only a deployment knows stays unresolved.

mod comments;
mod expression;
mod functions;
mod group;
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
