//! The rules compiled into one immutable snapshot that answers for any packet.
//!
//! In comes [`AppliedRules`], out comes [`Policy`], shared by the packet path and the local socket. It never changes
//! after it is made, never looks at connections, and equals [`crate::nsg::evaluate`], which property tests prove.
//!
//! # How it works
//!
//! Each address, each port, each protocol belongs to a **class**; values of one class are treated alike by every
//! rule. A class has a **row of bits**, one bit a rule: does the rule admit these values? AND the rows of a packet's
//! classes, and the bits left are the rules that match; the first one decides.
//!
//! ```text
//! packet          class   rules 0 1 2 3 4 ...
//! source          17      row   1 0 1 1 0 ...
//! destination     4       row   0 0 1 1 1 ...
//! protocol, port  9       row   1 1 1 0 1 ...
//!                 AND           0 0 1 0 0 ...     rule 2 decides
//! ```
//!
//! A long list of prefixes costs one address table, not one entry for every pair of prefixes, and the work a packet
//! costs hardly depends on the packet: there is no path that a hostile sender can make long.
//!
//! **What is scarce are loads.** Look-ups of several packets overlap in the processor, but it keeps only some seventy
//! loads under way, and the place and the length of every list is a load too. So a packet's fields come in registers,
//! all rows of a direction stand in one list, and a table that has one size says so in its type.
//!
//! # The rooms, in reading order
//!
//! - `line`: a line of values (addresses, ports), cut into runs of one class; `sweep`: cuts it.
//! - `packed`: collects the distinct rows; guards against more classes than memory can hold.
//! - `tries`: finds a value's class, by tables in the form that suits the line.
//!   - For IPv4 addresses: `trie` for few prefixes (`blocks` builds it), `cuts` for scattered ones, which are counted,
//!     `near_trie` for many side by side.
//!   - For IPv6 addresses: `long_trie`, over the bits that `scale` finds to tell addresses apart; `units` cuts the line
//!     by them.
//!   - For ports: `trie` where they are few, else `columns` and, for source ports, `flat`.
//!   - `lc_trie` is the steps of `near_trie` and `long_trie`, `leaf` where those end.
//! - `addresses`, `services`: the lines of source and destination; of (protocol, destination port), of source ports.
//! - `layers`: which bits belong to which group, and how the groups speak in turn.
//! - `sixteen`: sixteen numbers looked at at once; `lane`: one layer's part of a row; `rows`: the AND, as straight-line code of a fixed width.
//! - `table`: all of it together, for one direction.
//! - `region`: how far around a packet the answer stays the same.
//! - `packet_set`: every verdict that some packet of a set gets.
//! - `explain`: reads the same rows to say which field of which rule did not match.

mod addresses;
mod blocks;
mod cell;
mod columns;
mod cuts;
mod explain;
mod flat;
mod lane;
mod layers;
mod lc_trie;
mod leaf;
mod line;
mod long_trie;
mod near_trie;
mod packed;
mod packet_set;
mod region;
mod rows;
mod scale;
mod services;
mod sixteen;
mod sweep;
mod table;
mod trie;
mod tries;
mod units;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

pub use explain::{Explanation, FieldsMet, LayerExplanation, RuleExplanation};
pub use packet_set::{PacketSet, SetVerdict, TooManyKinds};
pub use region::Region;

use crate::flow::{Direction, FiveTuple};
use crate::nsg::{
    Access, AddressPrefix, AdminAccess, AppliedRules, Layer, LayerRule, RuleFields, RuleLayer,
    RuleProvenance, Verdict,
};
use layers::{Effect, Layers};
use table::Table;

/// What all tables of a policy may take, in bytes. Real rules need a few hundred kilobytes.
pub const MEMORY_BUDGET: usize = 64 << 20;

/// Why rules can not be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The lists of addresses and ports overlap in too many different ways, or are too long.
    #[error(
        "the compiled rules would take more than {budget} bytes: their address and port lists overlap \
         in too many different ways; use fewer or less scattered prefixes"
    )]
    TooLarge {
        /// What the tables may take, in bytes.
        budget: usize,
    },
}

/// One immutable version of the rules in force.
pub struct Policy {
    revision: u64,
    rules: AppliedRules,
    inbound: Compiled,
    outbound: Compiled,
}

/// One direction: the table and what its rules are called.
struct Compiled {
    table: Box<dyn Table>,
    /// The layers, in the order of evaluation.
    layers: Vec<Layer>,
    /// What the rule of each bit says and where it stands; `None` where a bit belongs to no rule.
    rules: Vec<Option<(Effect, Arc<RuleProvenance>)>>,
}

/// A verdict without the deciding rule's name: all that a look-up itself finds. [`Policy::verdict`] adds the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Decision(
    /// Four times the rule's bit plus one, and the code of its effect; 0 where no layer has an opinion. One number,
    /// so that it travels in a register.
    u32,
);

impl Decision {
    const NO_GROUP: Self = Self(0);

    fn by_rule(bit: usize, effect: Effect) -> Self {
        let number = u32::try_from(bit + 1).unwrap_or(u32::MAX >> 2);
        Self(number << 2 | effect.code())
    }

    /// Says whether no later layer is asked.
    #[inline]
    fn is_final(self) -> bool {
        self.0 & 3 != 0
    }

    /// Returns what happens to the packet.
    #[inline]
    #[must_use]
    pub fn access(self) -> Access {
        Effect::access(self.0 & 3)
    }

    /// Returns the place of the deciding rule among [`Policy::deciders`]; `None` where no layer has an opinion.
    #[must_use]
    pub fn place(self) -> Option<usize> {
        self.rule_bit()
    }

    /// Returns the deciding rule's bit; `None` where no layer has an opinion.
    fn rule_bit(self) -> Option<usize> {
        (self.0 >> 2).checked_sub(1).map(|bit| bit as usize)
    }
}

impl Policy {
    /// Compiles the rules. The revision tells versions apart: state that depends on a version keeps its number.
    ///
    /// # Errors
    ///
    /// If the tables would take more than [`MEMORY_BUDGET`].
    pub fn compile(rules: AppliedRules, revision: u64) -> Result<Self, CompileError> {
        let inbound = Compiled::new(&rules, Direction::Inbound, MEMORY_BUDGET)?;
        let left = MEMORY_BUDGET.saturating_sub(inbound.table.bytes());
        let outbound = Compiled::new(&rules, Direction::Outbound, left)?;
        Ok(Self { revision, rules, inbound, outbound })
    }

    /// Says what the rules do with a packet that goes in this direction; equal to [`crate::nsg::evaluate`].
    pub fn classify(&self, direction: Direction, tuple: &FiveTuple) -> Verdict {
        self.verdict(direction, self.decide(direction, tuple))
    }

    /// Says the same as [`Policy::classify`] without naming the rule, which costs more than the look-up.
    #[inline]
    pub fn decide(&self, direction: Direction, tuple: &FiveTuple) -> Decision {
        let table = &self.direction(direction).table;
        match (tuple.source, tuple.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (source.to_bits(), destination.to_bits());
                table.decide_v4(source, destination, tuple.protocol, tuple.ports)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let (source, destination) = (source.to_bits(), destination.to_bits());
                table.decide_v6(source, destination, tuple.protocol, tuple.ports)
            }
            _ => table.decide_any(tuple),
        }
    }

    /// Names the rule of a decision that this policy made for this direction.
    pub fn verdict(&self, direction: Direction, decision: Decision) -> Verdict {
        let rule = decision.rule_bit().and_then(|bit| self.direction(direction).rule(bit));
        Verdict { access: decision.access(), rule: rule.map(|(_, rule)| Arc::clone(rule)) }
    }

    /// Returns what can decide about packets of a direction, by [`Decision::place`], in the order of evaluation: a rule
    /// and what it says, or `None` of what it says where the rule only may match, which stands right behind the rule
    /// itself. Places between the layers belong to no rule.
    pub fn deciders(
        &self,
        direction: Direction,
    ) -> impl Iterator<Item = Option<(Option<AdminAccess>, &Arc<RuleProvenance>)>> {
        self.direction(direction).rules.iter().map(|decider| {
            decider.as_ref().map(|(effect, rule)| match effect {
                Effect::Rule(access) => (Some(*access), rule),
                Effect::Undecided => (None, rule),
            })
        })
    }

    /// Returns the number of this version.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the rules as they were loaded.
    #[must_use]
    pub fn rules(&self) -> &AppliedRules {
        &self.rules
    }

    /// Returns the bytes that the tables of both directions take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.inbound.table.bytes() + self.outbound.table.bytes()
    }

    /// Says whether a group asks for allowed flows to be judged again (Azure's `flushConnection`).
    #[must_use]
    pub fn flush_connection(&self) -> bool {
        let rules = &self.rules;
        [&rules.subnet, &rules.nic].into_iter().flatten().any(|group| group.flush_connection)
    }

    #[inline]
    fn direction(&self, direction: Direction) -> &Compiled {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

impl fmt::Debug for Policy {
    /// Writes what the policy is, not its tables, which are megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("revision", &self.revision)
            .field("memory_bytes", &self.memory_bytes())
            .finish_non_exhaustive()
    }
}

/// What stands behind one bit of the rows.
struct Entry<'a> {
    fields: RuleFields<'a>,
    effect: Effect,
    provenance: Arc<RuleProvenance>,
}

impl<'a> Entry<'a> {
    /// Returns a rule's entry and, where it names what nobody knows, the entry of the packets that it may match:
    /// there such a field admits everything.
    fn of_rule(rule: &LayerRule<'a>, applied: &AppliedRules) -> impl Iterator<Item = Self> {
        let provenance = rule.provenance();
        let is_open =
            |field: &[AddressPrefix]| field.iter().any(|prefix| applied.is_unresolved(prefix));
        let opened = |field| if is_open(field) { EVERY_ADDRESS } else { field };
        let widest = RuleFields {
            source: opened(rule.fields.source),
            destination: opened(rule.fields.destination),
            ..rule.fields
        };
        let is_undecidable = is_open(rule.fields.source) || is_open(rule.fields.destination);
        let may_match = is_undecidable.then(|| Self {
            fields: widest,
            effect: Effect::Undecided,
            provenance: Arc::clone(&provenance),
        });
        let matches = Self { fields: rule.fields, effect: Effect::Rule(rule.access), provenance };
        [Some(matches), may_match].into_iter().flatten()
    }
}

const EVERY_ADDRESS: &[AddressPrefix] = &[AddressPrefix::Any];

impl Compiled {
    fn new(
        applied: &AppliedRules,
        direction: Direction,
        budget: usize,
    ) -> Result<Self, CompileError> {
        let (mut layers, mut entries) = (Vec::new(), Vec::new());
        for RuleLayer { layer, rules } in applied.layers(direction) {
            layers.push(layer);
            let of_rule = |rule| Entry::of_rule(rule, applied);
            entries.push(rules.iter().flat_map(of_rule).collect::<Vec<_>>());
        }
        let effects = |lane: &Vec<Entry<'_>>| lane.iter().map(|entry| entry.effect).collect();
        let lanes = Layers::new(&entries.iter().map(effects).collect::<Vec<_>>());
        let (mut fields, mut rules) = (Vec::new(), Vec::new());
        for (lane, bits) in entries.into_iter().zip(lanes.bits()) {
            rules.resize(bits.start, None);
            for (bit, entry) in bits.zip(lane) {
                fields.push((bit, entry.fields));
                rules.push(Some((entry.effect, entry.provenance)));
            }
        }
        let table = table::compile(&fields, lanes, applied, budget)?;
        if table.bytes() > budget {
            return Err(CompileError::TooLarge { budget: MEMORY_BUDGET });
        }
        Ok(Self { table, layers, rules })
    }

    /// Says whether the bit is for packets that its rule may match.
    fn is_undecided(&self, bit: usize) -> bool {
        self.rule(bit).is_some_and(|(effect, _)| *effect == Effect::Undecided)
    }

    fn rule(&self, bit: usize) -> Option<&(Effect, Arc<RuleProvenance>)> {
        self.rules.get(bit)?.as_ref()
    }
}
