//! Turns what the desk knows into the values that [`crate::report::metrics`] renders.

use crate::control::rules::{RuleLine, RulesAnswer};
use crate::control::status::Status;
use crate::nsg::{Access, AdminAccess};
use crate::report::RecordCounters;
use crate::report::metrics::{self, InterfaceMetrics, Metrics, ReloadMetrics, RuleHits};

/// Renders the agent's counters; `started_ns` is Unix time.
pub(super) fn page(
    status: &Status,
    rules: &RulesAnswer,
    started_ns: u64,
    reloads: ReloadMetrics,
) -> String {
    let interfaces = status.interfaces.iter().zip(&rules.interfaces);
    let interfaces = interfaces.map(|(interface, rules)| InterfaceMetrics {
        name: &interface.name,
        kernel_packets: interface.kernel.packets,
        kernel_drops: interface.kernel.drops,
        ring_freezes: interface.kernel.freezes,
        engine: interface.engine,
        flow_limit: interface.flow_limit,
        rules_revision: interface.rules.revision,
        rules: rules.rules.iter().filter_map(rule_hits).collect(),
    });
    metrics::render(&Metrics {
        version: &status.version,
        started_seconds: seconds(started_ns),
        interfaces: interfaces.collect(),
        records: RecordCounters {
            written: status.records.written,
            lost_queue_full: status.records.lost_queue_full,
            lost_write: status.records.lost_write_failed,
            ..RecordCounters::default()
        },
        reloads,
        clients_accepted: status.clients.accepted,
        clients_refused: status.clients.refused,
    })
}

/// `None` where nobody can tell the hits.
fn rule_hits(rule: &RuleLine) -> Option<RuleHits<'_>> {
    Some(RuleHits {
        direction: rule.direction.parse().ok()?,
        access: match rule.access {
            AdminAccess::Allow | AdminAccess::AlwaysAllow => Access::Allow,
            AdminAccess::Deny => Access::Deny,
        },
        layer: rule.layer,
        group: &rule.network_security_group,
        rule: &rule.name,
        hits: rule.hits?,
    })
}

/// Turns nanoseconds into seconds, to the millisecond.
pub(super) fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_millis(ns / 1_000_000).as_secs_f64()
}
