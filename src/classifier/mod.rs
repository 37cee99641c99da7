//! The rules compiled into one immutable snapshot that answers for any packet.
//!
//! In comes [`AppliedRules`], out comes [`Policy`], shared by the packet path and the local socket. How it is
//! compiled is nobody else's business; that it equals [`crate::nsg::evaluate`] is proved by property tests. It
//! never changes after it is made and never looks at connections.

use crate::flow::{Direction, FiveTuple};
use crate::nsg::{AppliedRules, Verdict, evaluate};

/// One immutable version of the rules in force.
#[derive(Debug)]
pub struct Policy {
    revision: u64,
    rules: AppliedRules,
}

impl Policy {
    /// Compiles the rules. The revision tells versions apart: state that depends on a version keeps its number.
    #[must_use]
    pub fn compile(rules: AppliedRules, revision: u64) -> Self {
        Self { revision, rules }
    }

    /// Says what the rules do with a packet that goes in this direction; equal to [`evaluate`].
    pub fn classify(&self, direction: Direction, tuple: &FiveTuple) -> Verdict {
        evaluate(&self.rules, direction, tuple)
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

    /// Says whether a group asks for allowed flows to be judged again (Azure's `flushConnection`).
    #[must_use]
    pub fn flush_connection(&self) -> bool {
        let rules = &self.rules;
        [&rules.subnet, &rules.nic].into_iter().flatten().any(|group| group.flush_connection)
    }
}
