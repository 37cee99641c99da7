//! The layers of one direction: which bits are whose, and how the layers speak in turn.
//!
//! A rule has one bit, or two where it names a tag or a group that nobody knows: the first for the packets that it
//! surely matches, right behind it one for those that it may match.

use std::ops::Range;

use super::packed::WORD;
use super::{Decision, RuleNumber};
use crate::nsg::{Access, AdminAccess};

/// What a bit says of the packets that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// What its rule says.
    Rule(AdminAccess),
    /// Its rule may match: that depends on a tag or a group that nobody knows.
    Undecided,
}

impl Effect {
    fn access(self) -> Access {
        match self {
            Self::Rule(access) => access.access(),
            Self::Undecided => Access::Undecided,
        }
    }

    /// Says whether no later layer is asked.
    fn is_final(self) -> bool {
        match self {
            Self::Rule(access) => access.is_final(),
            Self::Undecided => true,
        }
    }
}

/// The bits of one layer's rules in a row, in the order of evaluation.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The words that hold them.
    pub(super) words: Range<usize>,
    /// The same words as bits, where the row has at most 64 words.
    word_mask: u64,
    /// How many bits the layer has in this direction.
    bits: usize,
}

impl Segment {
    /// Returns the bits.
    pub(super) fn bits(&self) -> Range<usize> {
        let first = self.words.start * WORD;
        first..first + self.bits
    }

    /// Returns the words as bits; only for rows of at most 64 words.
    #[inline]
    pub(super) fn word_mask(&self) -> u64 {
        self.word_mask
    }
}

/// All layers of one direction, in the order of evaluation.
#[derive(Debug, Default)]
pub(super) struct Layers {
    segments: Vec<Segment>,
    /// What each bit says.
    effects: Vec<Effect>,
}

impl Layers {
    /// Adds the next layer, given what its bits say, and returns its first bit.
    pub(super) fn push(&mut self, effects: impl Iterator<Item = Effect>) -> usize {
        let first_bit = self.effects.len();
        self.effects.extend(effects);
        let bits = self.effects.len() - first_bit;
        let words = first_bit / WORD..self.effects.len().div_ceil(WORD);
        // The bits up to the next word belong to no rule and are in no row.
        self.effects.resize(words.end * WORD, Effect::Rule(AdminAccess::Deny));
        let word_mask =
            words.clone().filter(|&word| word < WORD).fold(0, |mask, word| mask | 1 << word);
        self.segments.push(Segment { words, word_mask, bits });
        first_bit
    }

    /// Returns the words of a row.
    pub(super) fn width(&self) -> usize {
        self.effects.len() / WORD
    }

    /// Returns what a bit says.
    #[inline]
    pub(super) fn effect(&self, bit: usize) -> Option<Effect> {
        self.effects.get(bit).copied()
    }

    /// Returns the layers' segments.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Lets the layers speak in turn: a final word ends it, else the last layer with an opinion decides.
    /// `first_match` returns a segment's first matching bit.
    #[inline]
    pub(super) fn decide(&self, first_match: impl Fn(&Segment) -> Option<usize>) -> Decision {
        let mut decision = Decision::NO_GROUP;
        for segment in &self.segments {
            let Some(bit) = first_match(segment) else {
                continue; // admin rules, and a group without its default rules, may have nothing to say
            };
            let effect = self.effect(bit).unwrap_or(Effect::Rule(AdminAccess::Deny));
            decision = Decision { access: effect.access(), rule: Some(RuleNumber::of_bit(bit)) };
            if effect.is_final() {
                break;
            }
        }
        decision
    }
}
