//! What Azure demands of the rules of one group together: each priority once in each direction, each name once,
//! default rules that leave nothing undecided, and its limits.

use std::collections::{HashMap, HashSet};

use super::document::Position;
use super::error::{Findings, Refusal, Scope};
use super::security_rule::{Kind, LoadedRule};
use crate::flow::Direction;
use crate::nsg::{AddressPrefix, RuleProtocol, SecurityRule};

/// Azure's limits (nsg-semantics.md section 1): rules in a group, addresses of one side in a group, and application
/// security groups that all rules of a group name.
const MAX_RULES: usize = 1000;
const MAX_PREFIXES: usize = 4000;
const MAX_APPLICATION_SECURITY_GROUPS: usize = 100;

/// Notes every rule whose priority another rule of its direction has taken.
pub(super) fn refuse_conflicts(rules: &[LoadedRule], findings: &mut Findings) {
    let mut taken: HashMap<_, &LoadedRule> = HashMap::new();
    for loaded in rules {
        let Some((priority, direction)) = loaded.order else { continue };
        let Some(first) = taken.insert((priority, direction), loaded) else { continue };
        let message = format!(
            "{direction} {priority} is taken by rule `{}` in line {}",
            first.scope.rule.as_deref().unwrap_or_default(),
            first.position.line
        );
        let refusal = Refusal::new(message)
            .arm("SecurityRuleConflict")
            .hint("a priority may be used once in each direction");
        findings.refuse(&loaded.scope, Some("priority"), loaded.priority_position, refusal);
    }
}

/// Notes every rule whose name another rule of the group has, in any letter case.
pub(super) fn refuse_repeated_names<'r>(
    rules: impl Iterator<Item = &'r LoadedRule>,
    findings: &mut Findings,
) {
    let mut taken: HashMap<String, &LoadedRule> = HashMap::new();
    for loaded in rules {
        let Some(name) = &loaded.name else { continue };
        let Some(first) = taken.insert(name.to_ascii_lowercase(), loaded) else { continue };
        let message = format!("a rule of this name stands in line {}", first.position.line);
        let refusal = Refusal::new(message).hint("names are unique in a group");
        findings.refuse(&loaded.scope, Some("name"), loaded.position, refusal);
    }
}

/// A list of default rules that leaves packets undecided was cut; Azure's always ends with a rule for all.
pub(super) fn refuse_open_end(
    rules: &[SecurityRule],
    scope: &Scope,
    position: Position,
    findings: &mut Findings,
) {
    for direction in Direction::ALL {
        let decides_all = |rule: &SecurityRule| {
            let any = |prefixes: &[AddressPrefix]| prefixes.contains(&AddressPrefix::Any);
            rule.is_default
                && rule.direction == direction
                && rule.protocol == RuleProtocol::Any
                && any(&rule.source)
                && any(&rule.destination)
                && rule.source_ports.is_any()
                && rule.destination_ports.is_any()
        };
        if !rules.iter().any(decides_all) {
            let message = format!("no {direction} rule decides about every packet");
            let hint = "give all six default rules, or leave the field out";
            let refusal = Refusal::new(message).hint(hint);
            findings.refuse(scope, Some(Kind::Default.field()), position, refusal);
        }
    }
}

/// Says where the user's rules of one group are more than Azure takes.
pub(super) fn warn_of_limits(
    user: &[LoadedRule],
    scope: &Scope,
    position: Position,
    findings: &mut Findings,
) {
    let networks = |prefixes: &[AddressPrefix]| {
        prefixes.iter().filter(|prefix| matches!(prefix, AddressPrefix::Network(_))).count()
    };
    let rules = || user.iter().filter_map(|loaded| loaded.rule.as_ref());
    let sources: usize = rules().map(|rule| networks(&rule.source)).sum();
    let destinations: usize = rules().map(|rule| networks(&rule.destination)).sum();
    let is_group =
        |prefix: &&AddressPrefix| matches!(prefix, AddressPrefix::ApplicationSecurityGroup(_));
    let groups: HashSet<String> = rules()
        .flat_map(|rule| rule.source.iter().chain(&rule.destination).filter(is_group))
        .map(|group| group.to_string().to_ascii_lowercase())
        .collect();
    for (count, limit, what) in [
        (groups.len(), MAX_APPLICATION_SECURITY_GROUPS, "application security groups"),
        (user.len(), MAX_RULES, "rules"),
        (sources, MAX_PREFIXES, "source addresses and prefixes"),
        (destinations, MAX_PREFIXES, "destination addresses and prefixes"),
    ] {
        if count > limit {
            let message = format!("{count} {what}; Azure's limit for a group is {limit}");
            let field = Some(Kind::User.field());
            findings.warn(scope, field, position, message);
        }
    }
}
