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
//! # The rooms, in reading order
//!
//! - `sweep`: cuts a line of values (addresses, ports) into runs of one class.
//! - `packed`: collects the distinct rows; guards against more classes than memory can hold.
//! - `trie`: finds a value's class in a fixed number of loads.
//! - `addresses`, `services`: the lines of source and destination; of (protocol, destination port), of source ports.
//! - `dimensions`: what there is once for each of them.
//! - `layers`: which bits belong to which group, and how the groups speak in turn.
//! - `rows`: the AND, as straight-line code of a fixed width.
//! - `table`: all of it together, for one direction.
//! - `explain`: reads the same rows to say which field of which rule did not match.

mod addresses;
mod dimensions;
mod explain;
mod layers;
mod packed;
mod rows;
mod services;
mod sweep;
mod table;
mod trie;

use std::fmt;
use std::sync::Arc;

pub use explain::{Explanation, FieldsMet, LayerExplanation, RuleExplanation};

use crate::flow::{Direction, FiveTuple};
use crate::nsg::{Access, AppliedRules, Layer, RuleProvenance, Verdict};
use layers::Layers;
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
    /// What each rule says and where it stands, by bit; `None` where a bit belongs to no rule.
    rules: Vec<Option<(Access, Arc<RuleProvenance>)>>,
}

/// A verdict without the deciding rule's name: all that a look-up itself finds. [`Policy::verdict`] adds the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Decision(
    /// Twice the rule's bit plus one, and one more for Deny; 0 where no group has an opinion. One number, so that
    /// it travels in a register.
    u32,
);

impl Decision {
    const NO_GROUP: Self = Self(0);

    fn by_rule(bit: usize, access: Access) -> Self {
        let number = u32::try_from(bit + 1).unwrap_or(u32::MAX >> 1);
        Self(number << 1 | u32::from(access == Access::Deny))
    }

    /// Returns what happens to the packet.
    #[inline]
    #[must_use]
    pub fn access(self) -> Access {
        if self.0 & 1 == 1 { Access::Deny } else { Access::Allow }
    }

    /// Returns the deciding rule's bit; `None` where no group has an opinion.
    fn rule_bit(self) -> Option<usize> {
        (self.0 >> 1).checked_sub(1).map(|bit| bit as usize)
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
        self.direction(direction).table.decide(tuple)
    }

    /// Names the rule of a decision that this policy made for this direction.
    pub fn verdict(&self, direction: Direction, decision: Decision) -> Verdict {
        let rule = decision.rule_bit().and_then(|bit| self.direction(direction).rule(bit));
        Verdict { access: decision.access(), rule: rule.map(|(_, rule)| Arc::clone(rule)) }
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

impl Compiled {
    fn new(
        applied: &AppliedRules,
        direction: Direction,
        budget: usize,
    ) -> Result<Self, CompileError> {
        let access = applied.groups(direction).map(|(_, group)| {
            group.rules_of(direction).map(|rule| rule.access).collect::<Vec<_>>()
        });
        let lanes = Layers::new(&access.collect::<Vec<_>>());
        let (mut layers, mut fields, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        for ((layer, group), bits) in applied.groups(direction).zip(lanes.bits()) {
            layers.push(layer);
            rules.resize(bits.start, None);
            for (bit, rule) in bits.zip(group.rules_of(direction)) {
                fields.push((bit, rule));
                rules.push(Some((rule.access, group.provenance(layer, rule))));
            }
        }
        let table = table::compile(&fields, lanes, &applied.service_tags, budget)?;
        if table.bytes() > budget {
            return Err(CompileError::TooLarge { budget: MEMORY_BUDGET });
        }
        Ok(Self { table, layers, rules })
    }

    fn rule(&self, bit: usize) -> Option<&(Access, Arc<RuleProvenance>)> {
        self.rules.get(bit)?.as_ref()
    }
}
