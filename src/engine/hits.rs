//! How many flows each rule has decided, and when the last one.
//!
//! In come decisions, one for each flow that is begun, out go [`RuleHits`]. The sums balance: the hits of all rules, those
//! of rules that are gone, and the flows that no rule decided make `flows.created`.
//!
//! A rule keeps its hits over a change of rules where the other rules have a rule of the same direction, group, name,
//! priority and access; what it resolves to may have changed. Any other rule begins at 0.

use std::collections::HashMap;
use std::sync::Arc;

use crate::classifier::{Decision, Policy};
use crate::flow::Direction;
use crate::nsg::{AdminAccess, RuleProvenance};

/// What one rule has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// Flows.
    pub flows: u64,
    /// When the last of them began, in nanoseconds since 1970; `None` before the first.
    pub last_unix_ns: Option<u64>,
}

impl Hits {
    fn add(&mut self, other: Self) {
        self.flows += other.flows;
        self.last_unix_ns = self.last_unix_ns.max(other.last_unix_ns);
    }
}

/// The hits of all rules of one policy.
#[derive(Debug, Clone)]
pub struct RuleHits {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The rules of both directions, inbound first, each layer after layer in the order of evaluation.
    pub rules: Vec<RuleHit>,
    /// Flows that no rule decided.
    pub without_rule: u64,
    /// Flows that rules decided which are not in force any more.
    pub by_former_rules: u64,
}

/// The hits of one rule.
#[derive(Debug, Clone)]
pub struct RuleHit {
    /// Which packets it is for.
    pub direction: Direction,
    /// The rule.
    pub rule: Arc<RuleProvenance>,
    /// What it does with packets that it matches.
    pub access: AdminAccess,
    /// What it has decided.
    pub hits: Hits,
}

/// One counter for each place that a decision can name.
#[derive(Debug)]
pub(super) struct HitCounters {
    inbound: Vec<Hits>,
    outbound: Vec<Hits>,
    without_rule: u64,
    by_former_rules: u64,
}

impl HitCounters {
    pub(super) fn new(policy: &Policy) -> Self {
        let zeros = |direction| policy.deciders(direction).map(|_| Hits::default()).collect();
        Self {
            inbound: zeros(Direction::Inbound),
            outbound: zeros(Direction::Outbound),
            without_rule: 0,
            by_former_rules: 0,
        }
    }

    /// Counts a flow that is begun; the decision is one of this policy about this direction.
    pub(super) fn count(&mut self, direction: Direction, decision: Decision, unix_ns: u64) {
        let hits = match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        };
        match decision.place().and_then(|place| hits.get_mut(place)) {
            Some(hits) => hits.add(Hits { flows: 1, last_unix_ns: Some(unix_ns) }),
            None => self.without_rule += 1,
        }
    }

    /// Carries the hits over to another policy.
    pub(super) fn carried_over(&self, from: &Arc<Policy>, to: &Policy) -> Self {
        let snapshot = self.snapshot(from);
        let mut former: HashMap<_, Hits> = HashMap::new();
        for RuleHit { direction, rule, access, hits } in snapshot.rules {
            former.entry((direction, access, rule)).or_default().add(hits);
        }
        let mut carried = Self::new(to);
        for direction in [Direction::Inbound, Direction::Outbound] {
            let counters = match direction {
                Direction::Inbound => &mut carried.inbound,
                Direction::Outbound => &mut carried.outbound,
            };
            for (counter, decider) in counters.iter_mut().zip(to.deciders(direction)) {
                if let Some((Some(access), rule)) = decider {
                    *counter =
                        former.remove(&(direction, access, Arc::clone(rule))).unwrap_or_default();
                }
            }
        }
        carried.without_rule = self.without_rule;
        let gone: u64 = former.values().map(|hits| hits.flows).sum();
        carried.by_former_rules = self.by_former_rules + gone;
        carried
    }

    /// Returns the hits by rule.
    pub(super) fn snapshot(&self, policy: &Arc<Policy>) -> RuleHits {
        let mut rules: Vec<RuleHit> = Vec::new();
        for (direction, counters) in
            [(Direction::Inbound, &self.inbound), (Direction::Outbound, &self.outbound)]
        {
            for (hits, decider) in counters.iter().zip(policy.deciders(direction)) {
                match (decider, rules.last_mut()) {
                    (Some((Some(access), rule)), _) => {
                        let rule = Arc::clone(rule);
                        rules.push(RuleHit { direction, rule, access, hits: *hits });
                    }
                    // The place of the packets that the rule before it may match.
                    (Some((None, _)), Some(last)) => last.hits.add(*hits),
                    _ => {}
                }
            }
        }
        RuleHits {
            policy: Arc::clone(policy),
            rules,
            without_rule: self.without_rule,
            by_former_rules: self.by_former_rules,
        }
    }
}
