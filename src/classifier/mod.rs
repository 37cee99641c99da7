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
//! costs does not depend on the packet: neither a lucky nor a hostile one takes another path.
//!
//! # The rooms, in reading order
//!
//! - `sweep`: cuts a line of values (addresses, ports) into runs of one class.
//! - `packed`: collects the distinct rows; guards against more classes than memory can hold.
//! - `trie`: finds a value's class in a fixed number of loads.
//! - `addresses`, `services`: the dimensions: source and destination; (protocol, destination port), source port.
//! - `rows`: the AND, as straight-line code of a fixed width.
//! - `layers`: which bits belong to which group, and how the groups speak in turn.
//! - `table`: all of it together, for one direction.
//! - `explain`: reads the same rows to say which field of which rule did not match.

mod addresses;
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
use crate::nsg::{
    Access, AddressPrefix, AppliedRules, Layer, LayerRule, RuleFields, RuleLayer, RuleProvenance,
    Verdict,
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
#[derive(Debug)]
struct Compiled {
    table: Table,
    /// The layers, in the order of evaluation.
    layers: Vec<Layer>,
    /// By bit; `None` where a bit belongs to no rule.
    provenance: Vec<Option<Arc<RuleProvenance>>>,
}

/// The number of a rule among the compiled rules of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuleNumber(u32);

impl RuleNumber {
    #[inline]
    fn of_bit(bit: usize) -> Self {
        Self(u32::try_from(bit).unwrap_or(u32::MAX))
    }
}

/// A verdict without the deciding rule's name: all that a look-up itself finds. [`Policy::verdict`] adds the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// What happens to the packet.
    pub access: Access,
    /// The deciding rule; `None` where no group has an opinion.
    pub rule: Option<RuleNumber>,
}

impl Decision {
    const NO_GROUP: Self = Self { access: Access::Allow, rule: None };
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
        let rule = decision.rule.and_then(|number| self.direction(direction).rule(number));
        Verdict { access: decision.access, rule: rule.map(Arc::clone) }
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
struct Bit<'a> {
    fields: RuleFields<'a>,
    effect: Effect,
    provenance: Arc<RuleProvenance>,
}

impl<'a> Bit<'a> {
    /// Returns a rule's bit and, where it names what nobody knows, the bit of the packets that it may match: there
    /// such a field admits everything.
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
        let mut segments = Layers::default();
        let (mut layers, mut bits, mut provenance) = (Vec::new(), Vec::new(), Vec::new());
        for RuleLayer { layer, rules } in applied.layers(direction) {
            let of_layer: Vec<Bit<'_>> =
                rules.iter().flat_map(|rule| Bit::of_rule(rule, applied)).collect();
            let first_bit = segments.push(of_layer.iter().map(|bit| bit.effect));
            provenance.resize(first_bit, None);
            provenance.extend(of_layer.iter().map(|bit| Some(Arc::clone(&bit.provenance))));
            bits.extend((first_bit..).zip(of_layer.into_iter().map(|bit| bit.fields)));
            layers.push(layer);
        }
        let table = Table::compile(&bits, segments, applied, budget)?;
        if table.bytes() > budget {
            return Err(CompileError::TooLarge { budget: MEMORY_BUDGET });
        }
        Ok(Self { table, layers, provenance })
    }

    fn rule(&self, number: RuleNumber) -> Option<&Arc<RuleProvenance>> {
        self.provenance.get(number.0 as usize)?.as_ref()
    }
}
