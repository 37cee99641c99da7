//! From a packet's classes to the first rule of each layer: the AND of rows.
//!
//! A row's width is a constant of the type, so that the AND is straight-line code over whole words and no branch
//! depends on the packet. Where flat rows would take too much of the budget they stay packed: there only the words
//! that are non-zero in all rows are looked at.

use std::ops::Range;

use super::Decision;
use super::layers::Layers;
use super::packed::{PackedRow, PackedRows, WORD};

/// The family of an address; tells which tables and rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

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

/// The rows of every dimension.
#[derive(Debug)]
pub(super) struct RowSets<T> {
    pub(super) source_v4: T,
    pub(super) source_v6: T,
    pub(super) destination_v4: T,
    pub(super) destination_v6: T,
    pub(super) service: T,
    /// Empty where no rule looks at source ports.
    pub(super) source_port: T,
}

impl<T> RowSets<T> {
    fn map<U>(&self, of: impl Fn(&T) -> U) -> RowSets<U> {
        RowSets {
            source_v4: of(&self.source_v4),
            source_v6: of(&self.source_v6),
            destination_v4: of(&self.destination_v4),
            destination_v6: of(&self.destination_v6),
            service: of(&self.service),
            source_port: of(&self.source_port),
        }
    }

    fn sum(&self, of: impl Fn(&T) -> usize) -> usize {
        let Self { source_v4, source_v6, destination_v4, destination_v6, .. } = self;
        let addresses = [source_v4, source_v6, destination_v4, destination_v6];
        addresses.into_iter().chain([&self.service, &self.source_port]).map(of).sum()
    }

    #[inline]
    pub(super) fn source(&self, family: Family) -> &T {
        match family {
            Family::Ipv4 => &self.source_v4,
            Family::Ipv6 => &self.source_v6,
        }
    }

    #[inline]
    pub(super) fn destination(&self, family: Family) -> &T {
        match family {
            Family::Ipv4 => &self.destination_v4,
            Family::Ipv6 => &self.destination_v6,
        }
    }
}

/// Rows laid out flat: for each class `LAYERS` lanes of `WORDS` words.
type FlatRows<const WORDS: usize, const LAYERS: usize> = RowSets<Vec<[[u64; WORDS]; LAYERS]>>;

/// The rows of one direction, in the narrowest form that holds them: layers by the rules that each may have.
#[derive(Debug)]
pub(super) enum Rows {
    OneOf64(FlatRows<1, 1>),
    OneOf256(FlatRows<4, 1>),
    OneOf1024(FlatRows<16, 1>),
    TwoOf64(FlatRows<1, 2>),
    ThreeOf64(FlatRows<1, 3>),
    TwoOf256(FlatRows<4, 2>),
    ThreeOf256(FlatRows<4, 3>),
    TwoOf1024(FlatRows<16, 2>),
    ThreeOf1024(FlatRows<16, 3>),
    Packed(RowSets<PackedRows>),
}

impl Rows {
    /// Lays the rows out flat where there is code for the layers and where that takes at most `flat_bytes`, else
    /// keeps them packed.
    pub(super) fn new(packed: RowSets<PackedRows>, layers: &Layers, flat_bytes: usize) -> Self {
        let bytes = packed.sum(PackedRows::len) * layers.width() * size_of::<u64>();
        match (layers.count(), layers.lane_words()) {
            _ if bytes > flat_bytes => Self::Packed(packed),
            (0 | 1, 1) => Self::OneOf64(packed.map(flatten)),
            (1, 4) => Self::OneOf256(packed.map(flatten)),
            (1, 16) => Self::OneOf1024(packed.map(flatten)),
            (2, 1) => Self::TwoOf64(packed.map(flatten)),
            (3, 1) => Self::ThreeOf64(packed.map(flatten)),
            (2, 4) => Self::TwoOf256(packed.map(flatten)),
            (3, 4) => Self::ThreeOf256(packed.map(flatten)),
            (2, 16) => Self::TwoOf1024(packed.map(flatten)),
            (3, 16) => Self::ThreeOf1024(packed.map(flatten)),
            _ => Self::Packed(packed),
        }
    }

    /// Returns what the layers say of a packet of these classes.
    #[inline]
    pub(super) fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        match self {
            Self::OneOf64(rows) => rows.decide(classes, layers),
            Self::OneOf256(rows) => rows.decide(classes, layers),
            Self::OneOf1024(rows) => rows.decide(classes, layers),
            Self::TwoOf64(rows) => rows.decide(classes, layers),
            Self::ThreeOf64(rows) => rows.decide(classes, layers),
            Self::TwoOf256(rows) => rows.decide(classes, layers),
            Self::ThreeOf256(rows) => rows.decide(classes, layers),
            Self::TwoOf1024(rows) => rows.decide(classes, layers),
            Self::ThreeOf1024(rows) => rows.decide(classes, layers),
            Self::Packed(rows) => rows.decide(classes, layers),
        }
    }

    /// Returns the bytes in use.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::OneOf64(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::OneOf256(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::OneOf1024(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::TwoOf64(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::ThreeOf64(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::TwoOf256(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::ThreeOf256(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::TwoOf1024(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::ThreeOf1024(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Packed(rows) => rows.sum(PackedRows::bytes),
        }
    }

    /// Returns one word of one class's row in a dimension.
    pub(super) fn word(&self, of: Dimension, class: u32, index: usize) -> u64 {
        match self {
            Self::OneOf64(rows) => rows.word(of, class, index),
            Self::OneOf256(rows) => rows.word(of, class, index),
            Self::OneOf1024(rows) => rows.word(of, class, index),
            Self::TwoOf64(rows) => rows.word(of, class, index),
            Self::ThreeOf64(rows) => rows.word(of, class, index),
            Self::TwoOf256(rows) => rows.word(of, class, index),
            Self::ThreeOf256(rows) => rows.word(of, class, index),
            Self::TwoOf1024(rows) => rows.word(of, class, index),
            Self::ThreeOf1024(rows) => rows.word(of, class, index),
            Self::Packed(rows) => of.pick(rows).row(class).word(index),
        }
    }
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
    fn pick<T>(self, sets: &RowSets<T>) -> &T {
        match self {
            Self::Source(family) => sets.source(family),
            Self::Destination(family) => sets.destination(family),
            Self::Service => &sets.service,
            Self::SourcePort => &sets.source_port,
        }
    }
}

fn flatten<const WORDS: usize, const LAYERS: usize>(
    packed: &PackedRows,
) -> Vec<[[u64; WORDS]; LAYERS]> {
    let flat = |row: PackedRow<'_>| {
        let mut flat = [[0; WORDS]; LAYERS];
        let words = flat.as_flattened_mut().iter_mut();
        words.enumerate().for_each(|(index, word)| *word = row.word(index));
        flat
    };
    packed.rows().map(flat).collect()
}

#[inline]
fn row<const WORDS: usize, const LAYERS: usize>(
    rows: &[[[u64; WORDS]; LAYERS]],
    class: u32,
) -> &[[u64; WORDS]; LAYERS] {
    // What is no class has no rule.
    rows.get(class as usize).unwrap_or(&[[0; WORDS]; LAYERS])
}

impl<const WORDS: usize, const LAYERS: usize> FlatRows<WORDS, LAYERS> {
    fn word(&self, of: Dimension, class: u32, index: usize) -> u64 {
        let rows: &Vec<_> = of.pick(self);
        row(rows, class).as_flattened().get(index).copied().unwrap_or(0)
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

impl RowSets<PackedRows> {
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
