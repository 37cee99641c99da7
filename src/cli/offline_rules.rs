//! The rules that a command line names, for the commands that judge without an agent.

use ipnet::IpNet;

use super::terminal;
use crate::classifier::Policy;
use crate::config::RuleOptions;
use crate::config::rule_files;

/// Loads and compiles the rules; `None` where they are refused, which has been said. Where the options do not say
/// what the virtual network is, it is taken as `connected`, and that is said too.
pub(super) fn policy(
    rules: &RuleOptions,
    connected: impl FnOnce() -> Vec<IpNet>,
) -> anyhow::Result<Option<Policy>> {
    let mut assumed = Vec::new();
    if rules.virtual_network.is_none() {
        assumed = connected();
        let list: Vec<String> = assumed.iter().map(ToString::to_string).collect();
        terminal::complain(&format!(
            "note: VirtualNetwork is taken as {}; say otherwise with --virtual-network",
            if list.is_empty() { "empty".to_owned() } else { list.join(" ") }
        ));
    }
    match rule_files::load(rules, &assumed) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                terminal::complain(&format!("warning: {warning}"));
            }
            Ok(Some(Policy::compile(loaded.rules, 1)?))
        }
        Err(errors) => {
            for error in errors.0 {
                terminal::complain(&format!("error: {error}"));
            }
            Ok(None)
        }
    }
}
