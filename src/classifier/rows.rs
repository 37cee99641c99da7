//! From a packet's classes to the first rule of each layer: the AND of rows.
//!
//! A row's width is a constant of the type, so that the AND is straight-line code over whole words and no branch
//! depends on the packet. Where flat rows would take too much of the budget they stay packed: there only the words
//! that are non-zero in all rows are looked at.

use std::ops::Range;

use super::Decision;
use super::dimensions::{Dimensions, Family};
use super::layers::Layers;
use super::packed::{PackedRow, PackedRows, WORD};

/// The class of an address among those of its family.
#[derive(Debug, Clone, Copy)]
pub(super) struct AddressClass {
    pub(super) family: Family,
    pub(super) class: u32,
}

/// The classes of one packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classes {
    pub(super) source: AddressClass,
    pub(super) destination: AddressClass,
    /// Of protocol and destination port together.
    pub(super) service: u32,
    /// `None` where no rule looks at source ports.
    pub(super) source_port: Option<u32>,
}

/// The rows of one direction, in one of two forms.
pub(super) trait Rows {
    /// Returns what the layers say of a packet of these classes.
    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision;

    /// Returns one word of one class's row in a dimension.
    fn word(&self, of: Dimension, class: u32, index: usize) -> u64;

    /// Returns the bytes in use.
    fn bytes(&self) -> usize;
}

/// Rows laid out flat: for each class `LAYERS` lanes of `WORDS` words.
pub(super) type FlatRows<const WORDS: usize, const LAYERS: usize> =
    Dimensions<Vec<[[u64; WORDS]; LAYERS]>>;

/// Lays packed rows out flat.
pub(super) fn flatten<const WORDS: usize, const LAYERS: usize>(
    packed: &Dimensions<PackedRows>,
) -> FlatRows<WORDS, LAYERS> {
    let flat = |row: PackedRow<'_>| {
        let mut flat = [[0; WORDS]; LAYERS];
        let words = flat.as_flattened_mut().iter_mut();
        words.enumerate().for_each(|(index, word)| *word = row.word(index));
        flat
    };
    packed.map(|rows| rows.rows().map(flat).collect())
}

/// Names one set of rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dimension {
    Source(Family),
    Destination(Family),
    Service,
    SourcePort,
}

impl Dimension {
    fn pick<T>(self, sets: &Dimensions<T>) -> &T {
        match self {
            Self::Source(family) => sets.source(family),
            Self::Destination(family) => sets.destination(family),
            Self::Service => &sets.service,
            Self::SourcePort => &sets.source_port,
        }
    }
}

#[inline]
fn row<const WORDS: usize, const LAYERS: usize>(
    rows: &[[[u64; WORDS]; LAYERS]],
    class: u32,
) -> &[[u64; WORDS]; LAYERS] {
    // What is no class has no rule.
    rows.get(class as usize).unwrap_or(&[[0; WORDS]; LAYERS])
}

impl<const WORDS: usize, const LAYERS: usize> Rows for FlatRows<WORDS, LAYERS> {
    fn word(&self, of: Dimension, class: u32, index: usize) -> u64 {
        let rows: &Vec<_> = of.pick(self);
        row(rows, class).as_flattened().get(index).copied().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        self.all().into_iter().map(|rows| size_of_val(rows.as_slice())).sum()
    }

    #[inline]
    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        let source = row(self.source(classes.source.family), classes.source.class);
        let destination =
            row(self.destination(classes.destination.family), classes.destination.class);
        let service = row(&self.service, classes.service);
        let source_port = classes.source_port.map(|class| row(&self.source_port, class));
        let mut decision = Decision::NO_GROUP;
        for (layer, ((source, destination), service)) in
            source.iter().zip(destination).zip(service).enumerate()
        {
            let mut meet = meet(meet(*source, destination), service);
            if let Some(source_port) = source_port.and_then(|row| row.get(layer)) {
                meet = self::meet(meet, source_port);
            }
            let bit = first_bit(&meet).map(|bit| layer * WORDS * WORD + bit);
            decision = layers.then(decision, bit);
        }
        decision
    }
}

/// ANDs two lanes.
#[inline]
fn meet<const WORDS: usize>(mut one: [u64; WORDS], other: &[u64; WORDS]) -> [u64; WORDS] {
    one.iter_mut().zip(other).for_each(|(one, other)| *one &= other);
    one
}

/// Returns the first bit of a lane. Looks at all words, four and four together, and counts the empty ones: where the
/// first bit lies is up to the packet, and a loop that stops there would be mispredicted.
#[inline]
fn first_bit<const WORDS: usize>(lane: &[u64; WORDS]) -> Option<usize> {
    let (fours, _) = lane.as_chunks::<4>();
    let four = empty_before_first(fours.iter().map(|[a, b, c, d]| a | b | c | d));
    let words = fours.get(four).map_or(lane.as_slice(), |four| four.as_slice());
    let index = 4 * four + empty_before_first(words.iter().copied());
    let word = lane.get(index)?;
    Some(index * WORD + word.trailing_zeros() as usize)
}

/// Returns how many words are zero before the first that is not.
#[inline]
fn empty_before_first(words: impl Iterator<Item = u64>) -> usize {
    let mut seen = 0;
    words.fold(0, |empty, word| {
        seen |= word;
        empty + usize::from(seen == 0)
    })
}

impl Rows for Dimensions<PackedRows> {
    fn word(&self, of: Dimension, class: u32, index: usize) -> u64 {
        of.pick(self).row(class).word(index)
    }

    fn bytes(&self) -> usize {
        self.all().into_iter().map(PackedRows::bytes).sum()
    }

    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        let rows = [
            Some(self.source(classes.source.family).row(classes.source.class)),
            Some(self.destination(classes.destination.family).row(classes.destination.class)),
            Some(self.service.row(classes.service)),
            classes.source_port.map(|class| self.source_port.row(class)),
        ];
        let width = layers.lane_words();
        let lanes = (0..layers.count()).map(|layer| layer * width..(layer + 1) * width);
        lanes.fold(Decision::NO_GROUP, |decision, words| {
            layers.then(decision, first_bit_packed(&rows, words))
        })
    }
}

/// Returns the first bit of a lane of packed rows; looks only at words that are non-zero in all rows.
fn first_bit_packed(rows: &[Option<PackedRow<'_>>; 4], words: Range<usize>) -> Option<usize> {
    let meet = |of: &dyn Fn(&PackedRow<'_>) -> u64| {
        rows.iter().flatten().map(of).fold(u64::MAX, |meet, word| meet & word)
    };
    words
        .filter(|index| meet(&|row| row.summary(index / WORD)) >> (index % WORD) & 1 == 1)
        .map(|index| (index, meet(&|row| row.word(index))))
        .find(|&(_, word)| word != 0)
        .map(|(index, word)| index * WORD + word.trailing_zeros() as usize)
}
