//! Network security groups as Azure's REST API and `az network nsg show` and `list` print them, and as people write
//! them in YAML with the same field names.
//!
//! In comes the text of one file; out come all its groups, or everything that is wrong with it. One group, an array
//! of groups and `{"value": [...]}` are read; `properties` may be nested or flattened, for the group and for each
//! rule apart.

use super::document::{self, Field, Node, Value};
use super::error::{Findings, LoadError, LoadWarning, Refusal, Scope, shown};
use super::security_rule::{self, Kind, LoadedRule};
use super::{Format, TagReference, name, rule_list};
use crate::nsg::{NetworkSecurityGroup, SecurityRule, default_security_rules};

/// Fields whose misspelling would change what a group means.
const MEANINGFUL_FIELDS: [&str; 5] =
    ["name", "properties", "securityRules", "defaultSecurityRules", "flushConnection"];

/// Fields that resemble a meaningful one and are Azure's.
const OTHER_FIELDS: [&str; 2] = ["tags", "type"];

/// A group, and the service tags it names that are not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedGroup {
    /// The group.
    pub group: NetworkSecurityGroup,
    /// Where it names which service tag of the published file.
    pub tag_references: Vec<TagReference>,
}

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// The groups, in the file's order.
    pub groups: Vec<LoadedGroup>,
    /// What is legal here and beyond Azure's limits, or not used.
    pub warnings: Vec<LoadWarning>,
}

/// Reads all groups of a file. `file` is only a name for messages.
///
/// # Errors
///
/// Everything that is wrong with the file, in the order of the text.
pub fn parse_groups(file: &str, text: &str, format: Format) -> Result<Parsed, Vec<LoadError>> {
    read_groups(file, text, format).map_err(|refused| refused.errors)
}

/// A file that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Everything that is wrong with it by itself.
    pub(super) errors: Vec<LoadError>,
    /// The service tags it names all the same, which may be wrong too.
    pub(super) tag_references: Vec<TagReference>,
}

/// Reads all groups of a file, as [`parse_groups`] does.
pub(super) fn read_groups(file: &str, text: &str, format: Format) -> Result<Parsed, Refused> {
    let mut findings = Findings::new(file);
    let mut groups = Vec::new();
    let mut tag_references = Vec::new();
    match document::parse(text, format) {
        Ok(root) => {
            for node in group_nodes(&root, &mut findings) {
                let (group, tags) = load_group(node, format, &mut findings);
                match group {
                    Some(group) => groups.push(LoadedGroup { group, tag_references: tags }),
                    None => tag_references.extend(tags),
                }
            }
        }
        Err(error) => {
            findings.refuse(&Scope::default(), None, error.position, error.refusal);
        }
    }
    match findings.finish() {
        Ok(warnings) => Ok(Parsed { groups, warnings }),
        Err(errors) => {
            tag_references.extend(groups.into_iter().flat_map(|group| group.tag_references));
            Err(Refused { errors, tag_references })
        }
    }
}

/// Takes one group out of a file: the one with this name or resource id, or the only one.
///
/// # Errors
///
/// No such group, several such groups, or several groups and no name given; the message lists the names.
pub fn select(
    file: &str,
    groups: Vec<LoadedGroup>,
    wanted: Option<&str>,
) -> Result<LoadedGroup, Box<LoadError>> {
    let names: Vec<String> =
        groups.iter().take(20).map(|loaded| loaded.group.name.clone()).collect();
    let names = names.join(", ");
    let is_wanted = |group: &NetworkSecurityGroup| {
        wanted.is_none_or(|wanted| {
            let is_id = |id: &String| id.eq_ignore_ascii_case(wanted);
            group.name.eq_ignore_ascii_case(wanted) || group.id.as_ref().is_some_and(is_id)
        })
    };
    let mut matching = groups.into_iter().filter(|loaded| is_wanted(&loaded.group));
    let refusal = match (matching.next(), matching.next(), wanted) {
        (Some(only), None, _) => return Ok(only),
        (None, _, None) => Refusal::new("the file holds no network security group"),
        (None, _, Some(wanted)) => Refusal::new(format!(
            "no network security group `{}`; there are: {names}",
            shown(wanted)
        )),
        (Some(_), Some(_), None) => {
            Refusal::new(format!("the file holds several network security groups: {names}"))
                .hint("name one after the file: FILE#NAME")
        }
        (Some(_), Some(_), Some(wanted)) => {
            Refusal::new(format!("several network security groups are named `{}`", shown(wanted)))
                .hint("give the resource id instead of the name")
        }
    };
    Err(Box::new(refusal.at(Findings::new(file).place(&Scope::default(), None, None))))
}

fn group_nodes<'a>(root: &'a Node, findings: &mut Findings) -> &'a [Node] {
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
fn load_group(
    node: &Node,
    format: Format,
    findings: &mut Findings,
) -> (Option<NetworkSecurityGroup>, Vec<TagReference>) {
    let mut scope = Scope::default();
    let Some(outer) = node.fields() else {
        let message = format!("a network security group must be an object, not {}", node.kind());
        findings.refuse(&scope, None, node.position, Refusal::new(message));
        return (None, Vec::new());
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
        return (None, Vec::new());
    }
    let fields: Vec<&Field> =
        outer.iter().chain(inner.and_then(Node::fields).into_iter().flatten()).collect();
    refuse_misspelled_fields(&fields, &scope, findings);
    let reader = GroupReader { node, fields, scope, format };
    let flush_connection = reader.flush_connection(findings);
    let (rules, tag_references) = reader.rules(findings);
    let group = name.zip(rules).map(|(name, rules)| NetworkSecurityGroup {
        id,
        flush_connection,
        ..NetworkSecurityGroup::new(name, rules)
    });
    (group.filter(|_| findings.refused() == before), tag_references)
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
    format: Format,
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
    fn rules(&self, findings: &mut Findings) -> (Option<Vec<SecurityRule>>, Vec<TagReference>) {
        let user = self.list(Kind::User, findings);
        let default = self.list(Kind::Default, findings);
        if user.is_none() && default.is_none() {
            let hint = "write `securityRules: []` for a group that has only the default rules";
            let refusal = Refusal::new("is missing").hint(hint);
            findings.refuse(&self.scope, Some("securityRules"), self.node.position, refusal);
            return (None, Vec::new());
        }
        let user = user.unwrap_or_default();
        let default = default.unwrap_or_default();
        rule_list::refuse_conflicts(&user, findings);
        rule_list::refuse_conflicts(&default, findings);
        rule_list::refuse_repeated_names(user.iter().chain(&default), findings);
        rule_list::warn_of_limits(&user, &self.scope, self.node.position, findings);
        let default_is_absent = default.is_empty();
        let tags = user.iter().chain(&default).flat_map(|loaded| loaded.tags.clone()).collect();
        let rules: Option<Vec<SecurityRule>> =
            user.into_iter().chain(default).map(|loaded| loaded.rule).collect();
        let rules = rules.map(|mut rules| {
            if default_is_absent {
                rules.extend(default_security_rules());
            } else {
                rule_list::refuse_open_end(&rules, &self.scope, self.node.position, findings);
            }
            rules
        });
        (rules, tags)
    }

    fn list(&self, kind: Kind, findings: &mut Findings) -> Option<Vec<LoadedRule>> {
        let node = self.get(kind.field(), findings)?;
        let Some(elements) = node.elements() else {
            let refusal = Refusal::new(format!("must be a list, not {}", node.kind()));
            findings.refuse(&self.scope, Some(kind.field()), node.position, refusal);
            return Some(Vec::new());
        };
        let is_handwritten = self.format == Format::Yaml;
        let load = |(index, element): (usize, &Node)| {
            security_rule::load(element, kind, index, &self.scope, is_handwritten, findings)
        };
        Some(elements.iter().enumerate().filter_map(load).collect())
    }
}
