//! Network security groups out of a file of any format that holds some.
//!
//! In comes the text of one file; out come all its groups, or everything that is wrong with it. What the file is, is
//! found out first; each format is then brought into the form of Azure's API, and all are read the same way.

use super::document::{self, Node, Position, Value};
use super::document_kind::{self, DocumentKind};
use super::error::{Findings, LoadError, LoadWarning, Refusal, Scope, shown};
use super::references::References;
use super::security_rule::Dialect;
use super::{
    Format, admin_rules as admin_rule_list, arm_template, effective_rules, security_group,
    terraform,
};
use crate::nsg::{AdminRuleCollection, Layer, NetworkSecurityGroup};

/// A group, and the names in it that something else must explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedGroup {
    /// The group.
    pub group: NetworkSecurityGroup,
    /// Where it is bound, as far as the document says so; effective rules do.
    pub layers: Vec<Layer>,
    /// Which service tags and application security groups it names, and where.
    pub references: References,
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
    read_groups(file, text, format, None).map_err(|refused| refused.errors)
}

/// A file that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// Everything that is wrong with it by itself.
    pub(super) errors: Vec<LoadError>,
    /// What it names all the same, which may be wrong too.
    pub(super) references: References,
}

/// Reads all groups of a file, as [`parse_groups`] does; `parameters` are for an ARM template.
pub(super) fn read_groups(
    file: &str,
    text: &str,
    format: Format,
    parameters: Option<&Node>,
) -> Result<Parsed, Refused> {
    let mut findings = Findings::new(file);
    let mut groups = Vec::new();
    let mut references = References::default();
    if let Some(root) = read_document(file, text, format, &mut findings) {
        for (node, layers, dialect) in group_nodes(&root, format, parameters, &mut findings) {
            let (group, named) = security_group::load(&node, dialect, &mut findings);
            match group {
                Some(group) => groups.push(LoadedGroup { group, layers, references: named }),
                None => references.extend(named),
            }
        }
    }
    match findings.finish() {
        Ok(warnings) => Ok(Parsed { groups, warnings }),
        Err(errors) => {
            for group in groups {
                references.extend(group.references);
            }
            Err(Refused { errors, references })
        }
    }
}

/// Reads a text into a tree; what is no document, or source code, is among the findings.
pub(super) fn read_document(
    file: &str,
    text: &str,
    format: Format,
    findings: &mut Findings,
) -> Option<Node> {
    let (position, refusal) = match document_kind::refuse_source_code(file) {
        Some(refusal) => (Position::START, refusal),
        None => match parse(text, format) {
            Ok(root) => return Some(root),
            Err(error) => (error.position, error.refusal),
        },
    };
    findings.refuse(&Scope::default(), None, position, refusal);
    None
}

/// Reads a text strictly; only a template that is no JSON as it stands may have comments.
fn parse(text: &str, format: Format) -> Result<Node, document::SyntaxError> {
    let strict = document::parse(text, format);
    if strict.is_ok() || format != Format::Json || !arm_template::may_have_comments(text) {
        return strict;
    }
    document::parse(&arm_template::without_comments(text), format)
}

/// Returns the groups of a document in the form of Azure's API, where each is bound, and how to read it.
fn group_nodes(
    root: &Node,
    format: Format,
    parameters: Option<&Node>,
    findings: &mut Findings,
) -> Vec<(Node, Vec<Layer>, Dialect)> {
    let unbound = |dialect| move |node| (node, Vec::new(), dialect);
    let kind = match document_kind::of(root) {
        Ok(kind) => kind,
        Err(refusal) => {
            findings.refuse(&Scope::default(), None, root.position, refusal);
            return Vec::new();
        }
    };
    let effective = |groups: Vec<effective_rules::EffectiveGroup>| {
        groups.into_iter().map(|it| (it.group, it.layers, Dialect::Effective)).collect()
    };
    match kind {
        DocumentKind::SecurityGroups => {
            let dialect = match format {
                Format::Yaml => Dialect::Handwritten,
                Format::Json => Dialect::Resource,
            };
            security_group::nodes(root, findings).iter().cloned().map(unbound(dialect)).collect()
        }
        DocumentKind::ArmTemplate => {
            let groups = arm_template::groups(root, parameters, findings);
            groups.into_iter().map(unbound(Dialect::Resource)).collect()
        }
        DocumentKind::Terraform => {
            terraform::groups(root, findings).into_iter().map(unbound(Dialect::Resource)).collect()
        }
        DocumentKind::EffectiveRules => effective(effective_rules::of_list(root, findings)),
        DocumentKind::SecurityGroupView => effective(effective_rules::of_view(root, findings)),
        DocumentKind::AdminRules | DocumentKind::NetworkInterface => {
            let (what, option) = match kind {
                DocumentKind::AdminRules => ("security admin rules", "--admin-rules"),
                _ => ("a network interface", "--nic"),
            };
            let refusal = Refusal::new(format!("{what}, not a network security group"));
            let refusal =
                refusal.hint(format!("give the file as {option}; {}", document_kind::ACCEPTED));
            findings.refuse(&Scope::default(), None, root.position, refusal);
            Vec::new()
        }
    }
}

/// Reads the security admin rules of a document; effective rules hold them beside the groups.
pub(super) fn admin_rules(
    root: &Node,
    references: &mut References,
    findings: &mut Findings,
) -> Vec<AdminRuleCollection> {
    match document_kind::of(root) {
        Ok(DocumentKind::AdminRules) => admin_rule_list::collections(root, references, findings),
        Ok(DocumentKind::EffectiveRules) => effective_admin_rules(root, references, findings),
        other => {
            let refusal = other.err().unwrap_or_else(|| Refusal::new("no security admin rules"));
            let hint = "expected what `az network manager security-admin-config rule-collection rule list` or \
                        `list-effective-security-admin-rule` prints";
            findings.refuse(&Scope::default(), None, root.position, refusal.hint(hint));
            Vec::new()
        }
    }
}

/// Reads the security admin rules that effective rules hold; none where the document is something else.
pub(super) fn effective_admin_rules(
    root: &Node,
    references: &mut References,
    findings: &mut Findings,
) -> Vec<AdminRuleCollection> {
    if document_kind::of(root) != Ok(DocumentKind::EffectiveRules) {
        return Vec::new();
    }
    let managers = effective_rules::of_network_managers(root).cloned().collect();
    let managers = Node { position: root.position, value: Value::Array(managers) };
    admin_rule_list::collections(&managers, references, findings)
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
