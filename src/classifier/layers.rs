//! The layers of one direction: which bits are whose, and how the layers speak in turn.

use std::ops::Range;

use super::packed::WORD;
use super::{Decision, RuleNumber};
use crate::nsg::Access;

/// The bits of one layer's rules in a row, in the order of evaluation.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The words that hold them.
    pub(super) words: Range<usize>,
    /// The same words as bits, where the row has at most 64 words.
    word_mask: u64,
    /// How many rules the layer has in this direction.
    rules: usize,
}

impl Segment {
    /// Returns the bits of the rules.
    pub(super) fn bits(&self) -> Range<usize> {
        let first = self.words.start * WORD;
        first..first + self.rules
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
    /// What each rule says, by bit.
    access: Vec<Access>,
}

impl Layers {
    /// Adds the next layer, given what its rules say, and returns the bit of its first rule.
    pub(super) fn push(&mut self, access: impl Iterator<Item = Access>) -> usize {
        let first_bit = self.access.len();
        self.access.extend(access);
        let rules = self.access.len() - first_bit;
        let words = first_bit / WORD..self.access.len().div_ceil(WORD);
        // The bits up to the next word belong to no rule and are in no row.
        self.access.resize(words.end * WORD, Access::Deny);
        let word_mask =
            words.clone().filter(|&word| word < WORD).fold(0, |mask, word| mask | 1 << word);
        self.segments.push(Segment { words, word_mask, rules });
        first_bit
    }

    /// Returns the words of a row.
    pub(super) fn width(&self) -> usize {
        self.access.len() / WORD
    }

    /// Returns what the rule with this bit says.
    #[inline]
    pub(super) fn access(&self, bit: usize) -> Option<Access> {
        self.access.get(bit).copied()
    }

    /// Returns the layers' segments.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Lets the layers speak in turn: the first Deny ends it, else the last layer with an opinion decides.
    /// `first_match` returns the bit of a segment's first matching rule.
    #[inline]
    pub(super) fn decide(&self, first_match: impl Fn(&Segment) -> Option<usize>) -> Decision {
        let mut decision = Decision::NO_GROUP;
        for segment in &self.segments {
            let Some(bit) = first_match(segment) else {
                continue; // only a group without its default rules gets here; it has nothing to say
            };
            let access = self.access(bit).unwrap_or(Access::Deny);
            decision = Decision { access, rule: Some(RuleNumber::of_bit(bit)) };
            if access == Access::Deny {
                break;
            }
        }
        decision
    }
}
