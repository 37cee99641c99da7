//! The layers of one direction: which bits of a row are whose, and how the layers speak in turn.
//!
//! A row is cut into lanes of equal width, one a layer, in the order of evaluation.

use std::hint::select_unpredictable;
use std::ops::Range;

use super::Decision;
use super::packed::WORD;
use crate::nsg::Access;

/// The widths of a lane, in words, for which there is straight-line code; 16 words hold the 1,000 rules that Azure
/// allows in a group, and its default rules.
const LANE_WIDTHS: [usize; 3] = [1, 4, 16];

/// All layers of one direction, in the order of evaluation.
#[derive(Debug)]
pub(super) struct Layers {
    /// Words of a lane.
    lane_words: usize,
    /// How many rules each layer has.
    rules: Vec<usize>,
    /// The decision by each rule, by bit.
    decisions: Vec<Decision>,
}

impl Layers {
    /// Gives every rule its bit; `access` holds what the rules of each layer say, in the order of evaluation.
    pub(super) fn new(access: &[Vec<Access>]) -> Self {
        let most = access.iter().map(Vec::len).max().unwrap_or(0).div_ceil(WORD);
        let lane_words = LANE_WIDTHS.into_iter().find(|&words| most <= words).unwrap_or(most);
        let lane_bits = lane_words * WORD;
        let mut decisions = vec![Decision::NO_GROUP; access.len() * lane_bits];
        let first_bits = (0..).step_by(lane_bits);
        for ((lane, access), first) in decisions.chunks_mut(lane_bits).zip(access).zip(first_bits) {
            for ((decision, &access), bit) in lane.iter_mut().zip(access).zip(first..) {
                *decision = Decision::by_rule(bit, access);
            }
        }
        Self { lane_words, rules: access.iter().map(Vec::len).collect(), decisions }
    }

    /// Returns how many layers there are.
    pub(super) fn count(&self) -> usize {
        self.rules.len()
    }

    /// Returns the words of a lane.
    pub(super) fn lane_words(&self) -> usize {
        self.lane_words
    }

    /// Returns the words of a row.
    pub(super) fn width(&self) -> usize {
        self.count() * self.lane_words
    }

    /// Returns the bits of each layer's rules, in the order of evaluation.
    pub(super) fn bits(&self) -> impl Iterator<Item = Range<usize>> {
        let first_bits = (0..).step_by(self.lane_words * WORD);
        first_bits.zip(&self.rules).map(|(first, rules)| first..first + rules)
    }

    /// Lets the next layer speak, given what those before it say: the first Deny ends it, else the last layer with
    /// an opinion decides. `bit` is the layer's first matching rule; only a group without its default rules may
    /// have none, and then has nothing to say.
    #[inline]
    pub(super) fn then(&self, before: Decision, bit: Option<usize>) -> Decision {
        let next = bit.and_then(|bit| self.decisions.get(bit)).copied().unwrap_or(before);
        // Whether a layer denies is up to the packet: a choice between values, where a branch would be mispredicted.
        select_unpredictable(before.access() == Access::Deny, before, next)
    }
}
