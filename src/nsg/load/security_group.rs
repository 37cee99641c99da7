//! Network security groups as Azure's REST API and `az network nsg show` and `list` print them, and as people write
//! them in YAML with the same field names.
//!
//! In comes the tree of a document; out come its groups. One group, an array of groups and `{"value": [...]}` are
//! read; `properties` may be nested or flattened, for the group and for each rule apart.

use super::document::{Field, Node, Value};
use super::error::{Findings, Refusal, Scope};
use super::references::References;
use super::security_rule::{self, Dialect, Kind, LoadedRule};
use super::{name, rule_list};
use crate::nsg::{NetworkSecurityGroup, SecurityRule, default_security_rules};

/// Fields whose misspelling would change what a group means.
const MEANINGFUL_FIELDS: [&str; 5] =
    ["name", "properties", "securityRules", "defaultSecurityRules", "flushConnection"];

/// Fields that resemble a meaningful one and are Azure's.
const OTHER_FIELDS: [&str; 2] = ["tags", "type"];

/// Returns the groups of a document: the one it is, or the elements of its list.
pub(super) fn nodes<'a>(root: &'a Node, findings: &mut Findings) -> &'a [Node] {
    let list = root.get("value").unwrap_or(root);
    if let Some(next) = root.get("nextLink").filter(|next| next.text() != Some("")) {
        let message = "the list goes on elsewhere; only this page is read".to_owned();
        findings.warn(&Scope::default(), Some("nextLink"), next.position, message);
    }
    match (&list.value, &root.value) {
        (Value::Array(nodes), _) => nodes,
        (_, Value::Object(_)) if std::ptr::eq(list, root) => std::slice::from_ref(root),
        _ => {
            let message = format!("{} is not a network security group", list.kind());
            let hint = "expected what `az network nsg show` or `az network nsg list` prints";
            let refusal = Refusal::new(message).hint(hint);
            findings.refuse(&Scope::default(), None, list.position, refusal);
            &[]
        }
    }
}

/// Reads one group; `None` where anything is wrong with it. The tags it names are known even then.
pub(super) fn load(
    node: &Node,
    dialect: Dialect,
    findings: &mut Findings,
) -> (Option<NetworkSecurityGroup>, References) {
    let mut scope = Scope::default();
    let Some(outer) = node.fields() else {
        let message = format!("a network security group must be an object, not {}", node.kind());
        findings.refuse(&scope, None, node.position, Refusal::new(message));
        return (None, References::default());
    };
    let before = findings.refused();
    let name = group_text(node, "name", &scope, findings);
    if name.is_none() && findings.refused() == before {
        findings.refuse(&scope, Some("name"), node.position, Refusal::new("is missing"));
    }
    scope.group.clone_from(&name);
    let id = group_text(node, "id", &scope, findings);
    let inner = node.get("properties");
    if let Some(properties) = inner.filter(|inner| inner.fields().is_none()) {
        let refusal = Refusal::new(format!("must be an object, not {}", properties.kind()));
        findings.refuse(&scope, Some("properties"), properties.position, refusal);
        return (None, References::default());
    }
    let fields: Vec<&Field> =
        outer.iter().chain(inner.and_then(Node::fields).into_iter().flatten()).collect();
    refuse_misspelled_fields(&fields, &scope, findings);
    let reader = GroupReader { node, fields, scope, dialect };
    let flush_connection = reader.flush_connection(findings);
    let (rules, references) = reader.rules(findings);
    let group = name.zip(rules).map(|(name, rules)| NetworkSecurityGroup {
        id,
        flush_connection,
        ..NetworkSecurityGroup::new(name, rules)
    });
    (group.filter(|_| findings.refused() == before), references)
}

fn group_text(node: &Node, field: &str, scope: &Scope, findings: &mut Findings) -> Option<String> {
    let value = node.get(field)?;
    let checked = match value.text() {
        Some("") => return None,
        Some(text) if field == "id" => name::check_id(text).map(|()| text),
        Some(text) => name::check(text).map(|()| text),
        None => Err(Refusal::new(format!("must be a text, not {}", value.kind()))),
    };
    checked
        .map(str::to_owned)
        .map_err(|refusal| findings.refuse(scope, Some(field), value.position, refusal))
        .ok()
}

fn refuse_misspelled_fields(fields: &[&Field], scope: &Scope, findings: &mut Findings) {
    for field in fields {
        let is_known = |known: &&str| field.is_named(known);
        if MEANINGFUL_FIELDS.iter().chain(&OTHER_FIELDS).any(is_known) {
            continue;
        }
        if let Some(known) = name::nearest(&field.key, MEANINGFUL_FIELDS) {
            let refusal = Refusal::new("is not a field of a network security group")
                .hint(format!("did you mean `{known}`?"));
            findings.refuse(scope, Some(&field.key), field.key_position, refusal);
        }
    }
}

struct GroupReader<'a> {
    node: &'a Node,
    fields: Vec<&'a Field>,
    scope: Scope,
    dialect: Dialect,
}

impl<'a> GroupReader<'a> {
    /// Returns a field of the group or of its `properties`; standing in both is an error.
    fn get(&self, name: &str, findings: &mut Findings) -> Option<&'a Node> {
        let mut found =
            self.fields.iter().filter(|field| field.is_named(name) && !field.node.is_null());
        let first = found.next()?;
        if let Some(second) = found.next() {
            let refusal = Refusal::new("stands in the group and in its `properties`");
            findings.refuse(&self.scope, Some(name), second.key_position, refusal);
        }
        Some(&first.node)
    }

    fn flush_connection(&self, findings: &mut Findings) -> bool {
        let field = "flushConnection";
        let Some(node) = self.get(field, findings) else { return false };
        if let Value::Bool(flush) = node.value {
            return flush;
        }
        let refusal = Refusal::new(format!("must be true or false, not {}", node.kind()));
        findings.refuse(&self.scope, Some(field), node.position, refusal);
        false
    }

    /// Reads the rules of both lists; the six default rules are added where the document has none.
    fn rules(&self, findings: &mut Findings) -> (Option<Vec<SecurityRule>>, References) {
        let user = self.list(Kind::User, findings);
        let default = self.list(Kind::Default, findings);
        if user.is_none() && default.is_none() {
            let hint = "write `securityRules: []` for a group that has only the default rules";
            let refusal = Refusal::new("is missing").hint(hint);
            findings.refuse(&self.scope, Some("securityRules"), self.node.position, refusal);
            return (None, References::default());
        }
        let user = user.unwrap_or_default();
        let default = default.unwrap_or_default();
        rule_list::refuse_conflicts(&user, findings);
        rule_list::refuse_conflicts(&default, findings);
        rule_list::refuse_repeated_names(user.iter().chain(&default), findings);
        rule_list::warn_of_limits(&user, &self.scope, self.node.position, findings);
        let default_is_absent = default.is_empty();
        let mut references = References::default();
        for loaded in user.iter().chain(&default) {
            references.extend(loaded.references.clone());
        }
        let rules: Option<Vec<SecurityRule>> =
            user.into_iter().chain(default).map(|loaded| loaded.rule).collect();
        let rules = rules.map(|mut rules| {
            if self.dialect == Dialect::Effective {
                self.add_missing_defaults(&mut rules, findings);
            } else if default_is_absent {
                rules.extend(default_security_rules());
            } else {
                rule_list::refuse_open_end(&rules, &self.scope, self.node.position, findings);
            }
            rules
        });
        (rules, references)
    }

    /// Every group has all six default rules: where a list of effective rules was cut, they are put back.
    fn add_missing_defaults(&self, rules: &mut Vec<SecurityRule>, findings: &mut Findings) {
        let is_there = |default: &SecurityRule| {
            rules
                .iter()
                .any(|rule| rule.is_default && rule.name.eq_ignore_ascii_case(&default.name))
        };
        let missing: Vec<SecurityRule> =
            default_security_rules().into_iter().filter(|default| !is_there(default)).collect();
        if missing.is_empty() {
            return;
        }
        let names: Vec<&str> = missing.iter().map(|rule| rule.name.as_str()).collect();
        let message = format!("{} not listed; added, as every group has them", names.join(", "));
        findings.warn(&self.scope, Some(Kind::Default.field()), self.node.position, message);
        rules.extend(missing);
    }

    fn list(&self, kind: Kind, findings: &mut Findings) -> Option<Vec<LoadedRule>> {
        let node = self.get(kind.field(), findings)?;
        let Some(elements) = node.elements() else {
            let refusal = Refusal::new(format!("must be a list, not {}", node.kind()));
            findings.refuse(&self.scope, Some(kind.field()), node.position, refusal);
            return Some(Vec::new());
        };
        let load = |(index, element): (usize, &Node)| {
            security_rule::load(element, kind, index, &self.scope, self.dialect, findings)
        };
        Some(elements.iter().enumerate().filter_map(load).collect())
    }
}
