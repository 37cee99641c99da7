//! What a document is: the one place that tells Azure's and Terraform's formats apart.
//!
//! In comes the tree of a file, out comes the format that reads it. Looks only at the names of the outermost fields,
//! so that a file with mistakes in it is still taken for what it is meant to be.

use super::document::Node;
use super::error::{Refusal, shown};

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DocumentKind {
    /// What `az network nsg show` and `list` and the REST API print.
    SecurityGroups,
    /// What `az network nic list-effective-nsg` prints, or one element of it.
    EffectiveRules,
    /// What `az network watcher show-security-group-view` prints.
    SecurityGroupView,
    /// Security admin rules of a virtual network manager.
    AdminRules,
    /// A network interface, as `az network nic show` prints it.
    NetworkInterface,
    /// An ARM template.
    ArmTemplate,
    /// What `terraform show -json` prints, of a plan or a state.
    Terraform,
}

/// What a caller can give, for messages.
pub(super) const ACCEPTED: &str = "accepted are network security groups (`az network nsg show` or `list`, or YAML with \
    the same fields), effective rules (`az network nic list-effective-nsg`), ARM templates and `terraform show -json`";

/// Tells what a document is.
///
/// # Errors
///
/// It is something that can be named and that holds no rules, or rules in a form that is not read.
pub(super) fn of(root: &Node) -> Result<DocumentKind, Refusal> {
    let has = |name: &str| root.get(name).is_some();
    if let Some(schema) = root.get("$schema").and_then(Node::text) {
        return template_kind(schema);
    }
    if has("contentVersion") && has("resources") {
        return Ok(DocumentKind::ArmTemplate);
    }
    if has("planned_values") || (has("format_version") && has("values")) || has("terraform_version")
    {
        return terraform_kind(root);
    }
    if has("responses") && has("parameters") {
        return Err(Refusal::new("an example of the API's specification")
            .hint("give the answer itself: what stands in its `body`"));
    }
    if has("changeNumber") && has("values") {
        return Err(Refusal::new("the service tag file, which holds no rules")
            .hint("give it as --service-tags"));
    }
    if has("networkInterfaces") {
        return Ok(DocumentKind::SecurityGroupView);
    }
    let list = root.get("value").unwrap_or(root);
    let element = list.elements().map_or(Some(list), <[Node]>::first);
    match element {
        Some(element) if element_kind(element).is_none() && is_foreign(element) => {
            Err(Refusal::new("a document of a kind that is not known").hint(ACCEPTED))
        }
        element => Ok(element.and_then(element_kind).unwrap_or(DocumentKind::SecurityGroups)),
    }
}

/// Says whether an object has nothing at all of a group, not even a misspelled list of rules.
fn is_foreign(element: &Node) -> bool {
    const OF_A_GROUP: [&str; 5] =
        ["name", "id", "properties", "securityRules", "defaultSecurityRules"];
    let fields = element.fields().unwrap_or_default();
    !fields.is_empty()
        && fields.iter().all(|field| super::name::nearest(&field.key, OF_A_GROUP).is_none())
}

/// Tells what one element of a list is by the fields that only its kind has.
fn element_kind(element: &Node) -> Option<DocumentKind> {
    let properties = element.get("properties");
    let has = |name: &str| {
        element.get(name).is_some() || properties.is_some_and(|it| it.get(name).is_some())
    };
    let kinds: [(&[&str], DocumentKind); 4] = [
        (&["securityRules", "defaultSecurityRules"], DocumentKind::SecurityGroups),
        (&["effectiveSecurityRules"], DocumentKind::EffectiveRules),
        (&["ipConfigurations"], DocumentKind::NetworkInterface),
        (
            &["sources", "destinations", "ruleCollectionAppliesToGroups", "appliesToGroups"],
            DocumentKind::AdminRules,
        ),
    ];
    let kind = kinds
        .into_iter()
        .find_map(|(names, kind)| names.iter().any(|name| has(name)).then_some(kind));
    // A collection holds its rules: what it is, its first rule says.
    let first = || element.get("rules").or_else(|| properties?.get("rules"))?.elements()?.first();
    kind.or_else(|| element_kind(first()?).filter(|kind| *kind == DocumentKind::AdminRules))
}

fn template_kind(schema: &str) -> Result<DocumentKind, Refusal> {
    let name = schema.to_ascii_lowercase();
    if name.contains("deploymenttemplate") {
        Ok(DocumentKind::ArmTemplate)
    } else if name.contains("deploymentparameters") {
        Err(Refusal::new("a parameters file, which holds no rules")
            .hint("give it as --parameters, with its template"))
    } else {
        Err(Refusal::new(format!("`{}` is not the schema of a deployment template", shown(schema)))
            .hint(ACCEPTED))
    }
}

fn terraform_kind(root: &Node) -> Result<DocumentKind, Refusal> {
    if root.get("planned_values").is_some() || root.get("values").is_some() {
        return Ok(DocumentKind::Terraform);
    }
    let what = if root.get("lineage").is_some() || root.get("serial").is_some() {
        "Terraform's own state file, whose form may change"
    } else {
        "a Terraform document without `values` or `planned_values`"
    };
    Err(Refusal::new(what).hint("give what `terraform show -json [PLAN]` prints"))
}

/// Refuses source code, with the command that makes a document of it.
pub(super) fn refuse_source_code(file: &str) -> Option<Refusal> {
    let (stem, extension) = file.rsplit_once('.')?;
    let name = shown(stem.rsplit('/').next().unwrap_or(stem));
    match extension.to_ascii_lowercase().as_str() {
        "bicep" => Some(
            Refusal::new("Bicep is not read")
                .hint(format!("make an ARM template of it: az bicep build --file {name}.bicep --outfile {name}.json")),
        ),
        "bicepparam" => Some(Refusal::new("Bicep parameters are not read").hint(format!(
            "make JSON of them: az bicep build-params --file {name}.bicepparam --outfile {name}.parameters.json"
        ))),
        "tf" | "tfvars" | "hcl" => Some(Refusal::new("Terraform's language is not read").hint(
            "make JSON of the plan: terraform plan -out plan && terraform show -json plan > plan.json",
        )),
        "tfplan" => Some(Refusal::new("a binary plan is not read").hint(format!(
            "make JSON of it: terraform show -json {name}.tfplan > plan.json"
        ))),
        _ => None,
    }
}
