//! The layers of one direction: which bits of a row are whose, and how the layers speak in turn.
//!
//! A row is cut into lanes of equal width, one a layer, in the order of evaluation. A rule has one bit, or two where
//! it names a tag or a group that nobody knows: the first for the packets that it surely matches, right behind it
//! one for those that it may match.

use std::hint::select_unpredictable;
use std::ops::Range;

use super::Decision;
use super::packed::WORD;
use crate::nsg::{Access, AdminAccess};

/// The widths of a lane, in words, for which there is straight-line code; 16 words hold the 1,000 rules that Azure
/// allows in a group, and its default rules.
const LANE_WIDTHS: [usize; 3] = [1, 4, 16];

/// What a bit says of the packets that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// What its rule says.
    Rule(AdminAccess),
    /// Its rule may match: that depends on a tag or a group that nobody knows.
    Undecided,
}

impl Effect {
    /// Returns a number of two bits; only that of Allow, which lets the next layer speak, is zero.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Rule(AdminAccess::Allow) => 0,
            Self::Rule(AdminAccess::AlwaysAllow) => 1,
            Self::Rule(AdminAccess::Deny) => 2,
            Self::Undecided => 3,
        }
    }

    /// Returns the access behind a code.
    #[inline]
    pub(super) fn access(code: u32) -> Access {
        match code {
            0 | 1 => Access::Allow,
            2 => Access::Deny,
            _ => Access::Undecided,
        }
    }
}

/// All layers of one direction, in the order of evaluation.
#[derive(Debug)]
pub(super) struct Layers {
    /// Words of a lane.
    lane_words: usize,
    /// How many bits each layer has.
    bits: Vec<usize>,
    /// The decision by each bit.
    decisions: Vec<Decision>,
}

impl Layers {
    /// Gives every rule its bits; `effects` holds what the bits of each layer say, in the order of evaluation.
    pub(super) fn new(effects: &[Vec<Effect>]) -> Self {
        let most = effects.iter().map(Vec::len).max().unwrap_or(0).div_ceil(WORD);
        let lane_words = LANE_WIDTHS.into_iter().find(|&words| most <= words).unwrap_or(most);
        let lane_bits = lane_words * WORD;
        let mut decisions = vec![Decision::NO_GROUP; effects.len() * lane_bits];
        let first_bits = (0..).step_by(lane_bits);
        for ((lane, effects), first) in decisions.chunks_mut(lane_bits).zip(effects).zip(first_bits)
        {
            for ((decision, &effect), bit) in lane.iter_mut().zip(effects).zip(first..) {
                *decision = Decision::by_rule(bit, effect);
            }
        }
        Self { lane_words, bits: effects.iter().map(Vec::len).collect(), decisions }
    }

    /// Returns how many layers there are.
    pub(super) fn count(&self) -> usize {
        self.bits.len()
    }

    /// Returns the words of a lane.
    pub(super) fn lane_words(&self) -> usize {
        self.lane_words
    }

    /// Returns the words of a row.
    pub(super) fn width(&self) -> usize {
        self.count() * self.lane_words
    }

    /// Returns the bits of each layer, in the order of evaluation.
    pub(super) fn bits(&self) -> impl Iterator<Item = Range<usize>> {
        let first_bits = (0..).step_by(self.lane_words * WORD);
        first_bits.zip(&self.bits).map(|(first, bits)| first..first + bits)
    }

    /// Lets the next layer speak, given what those before it say: a final word ends it, else the last layer
    /// with an opinion decides. `bit` is the layer's first matching one; admin rules, and a group without its default
    /// rules, may have none, and then have nothing to say.
    #[inline]
    pub(super) fn then(&self, before: Decision, bit: Option<usize>) -> Decision {
        let next = bit.and_then(|bit| self.decisions.get(bit)).copied().unwrap_or(before);
        // Whether a layer has the final word is up to the packet: a choice between values, where a branch would be mispredicted.
        select_unpredictable(before.is_final(), before, next)
    }
}
