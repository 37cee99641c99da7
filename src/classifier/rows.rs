//! From a packet's classes to the first rule of each layer: the AND of rows.
//!
//! A row's width is a constant of the type, so that the AND is straight-line code over whole words and no branch
//! depends on the packet. Where flat rows would take too much of the budget they stay packed: there only the words
//! that are non-zero in all rows are looked at.

use super::Decision;
use super::layers::{Layers, Segment};
use super::packed::{PackedRow, PackedRows, WORD};

/// The family of a packet's addresses; tells which tables and rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// The classes of one packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classes {
    pub(super) family: Family,
    pub(super) source: u32,
    pub(super) destination: u32,
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

type FlatRows<const W: usize> = RowSets<Vec<[u64; W]>>;

/// The rows of one direction, in the narrowest form that holds them.
#[derive(Debug)]
pub(super) enum Rows {
    Words1(FlatRows<1>),
    Words2(FlatRows<2>),
    Words4(FlatRows<4>),
    Words8(FlatRows<8>),
    Words16(FlatRows<16>),
    Words32(FlatRows<32>),
    Packed(RowSets<PackedRows>),
}

impl Rows {
    /// Lays the rows of `width` words out flat where that takes at most `flat_bytes`, else keeps them packed.
    pub(super) fn new(packed: RowSets<PackedRows>, width: usize, flat_bytes: usize) -> Self {
        let rows = packed.sum(PackedRows::len);
        let fits = |words: usize| width <= words && rows * words * size_of::<u64>() <= flat_bytes;
        match () {
            () if fits(1) => Self::Words1(packed.map(flatten)),
            () if fits(2) => Self::Words2(packed.map(flatten)),
            () if fits(4) => Self::Words4(packed.map(flatten)),
            () if fits(8) => Self::Words8(packed.map(flatten)),
            () if fits(16) => Self::Words16(packed.map(flatten)),
            () if fits(32) => Self::Words32(packed.map(flatten)),
            () => Self::Packed(packed),
        }
    }

    /// Returns what the layers say of a packet of these classes.
    #[inline]
    pub(super) fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        match self {
            Self::Words1(rows) => rows.decide(classes, layers),
            Self::Words2(rows) => rows.decide(classes, layers),
            Self::Words4(rows) => rows.decide(classes, layers),
            Self::Words8(rows) => rows.decide(classes, layers),
            Self::Words16(rows) => rows.decide(classes, layers),
            Self::Words32(rows) => rows.decide(classes, layers),
            Self::Packed(rows) => rows.decide(classes, layers),
        }
    }

    /// Returns the bytes in use.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Words1(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Words2(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Words4(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Words8(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Words16(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Words32(rows) => rows.sum(|rows| size_of_val(rows.as_slice())),
            Self::Packed(rows) => rows.sum(PackedRows::bytes),
        }
    }

    /// Returns one word of one class's row in the dimension that `of` picks.
    pub(super) fn word(&self, of: Dimension, class: u32, index: usize) -> u64 {
        match self {
            Self::Words1(rows) => rows.word(of, class, index),
            Self::Words2(rows) => rows.word(of, class, index),
            Self::Words4(rows) => rows.word(of, class, index),
            Self::Words8(rows) => rows.word(of, class, index),
            Self::Words16(rows) => rows.word(of, class, index),
            Self::Words32(rows) => rows.word(of, class, index),
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

fn flatten<const W: usize>(packed: &PackedRows) -> Vec<[u64; W]> {
    packed
        .rows()
        .map(|row| {
            let mut flat = [0; W];
            flat.iter_mut().enumerate().for_each(|(index, word)| *word = row.word(index));
            flat
        })
        .collect()
}

#[inline]
fn flat_row<const W: usize>(rows: &[[u64; W]], class: u32) -> &[u64; W] {
    // What is no class has no rule.
    rows.get(class as usize).unwrap_or(&[0; W])
}

impl<const W: usize> FlatRows<W> {
    fn word(&self, of: Dimension, class: u32, index: usize) -> u64 {
        let rows: &Vec<[u64; W]> = of.pick(self);
        flat_row(rows, class).get(index).copied().unwrap_or(0)
    }

    #[inline]
    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        let source = flat_row(self.source(classes.family), classes.source);
        let destination = flat_row(self.destination(classes.family), classes.destination);
        let mut meet = *flat_row(&self.service, classes.service);
        for ((word, source), destination) in meet.iter_mut().zip(source).zip(destination) {
            *word &= source & destination;
        }
        if let Some(class) = classes.source_port {
            let source_port = flat_row(&self.source_port, class);
            meet.iter_mut().zip(source_port).for_each(|(word, ports)| *word &= ports);
        }
        let non_zero = meet.iter().rev().fold(0, |bits, &word| bits << 1 | u64::from(word != 0));
        layers.decide(|segment| {
            let words = non_zero & segment.word_mask();
            let index = words.trailing_zeros() as usize;
            let word = meet.get(index)?;
            Some(index * WORD + word.trailing_zeros() as usize)
        })
    }
}

impl RowSets<PackedRows> {
    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        let rows = [
            Some(self.source(classes.family).row(classes.source)),
            Some(self.destination(classes.family).row(classes.destination)),
            Some(self.service.row(classes.service)),
            classes.source_port.map(|class| self.source_port.row(class)),
        ];
        layers.decide(|segment| first_match(&rows, segment))
    }
}

fn first_match(rows: &[Option<PackedRow<'_>>; 4], segment: &Segment) -> Option<usize> {
    let meet = |of: &dyn Fn(&PackedRow<'_>) -> u64| {
        rows.iter().flatten().map(of).fold(u64::MAX, |meet, word| meet & word)
    };
    segment
        .words
        .clone()
        .filter(|index| meet(&|row| row.summary(index / WORD)) >> (index % WORD) & 1 == 1)
        .map(|index| (index, meet(&|row| row.word(index))))
        .find(|&(_, word)| word != 0)
        .map(|(index, word)| index * WORD + word.trailing_zeros() as usize)
}
