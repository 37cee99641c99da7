//! From a packet's classes to the first rule of each layer: the AND of rows.
//!
//! A row's width is a constant of the type, so that the AND is straight-line code over whole words and no branch
//! depends on the packet. Where flat rows would take too much of the budget they stay packed: there only the words
//! that are non-zero in all rows are looked at.

use std::ops::Range;

use super::Decision;
use super::lane::Lane;
use super::layers::Layers;
use super::packed::{PackedRow, PackedRows, WORD};

/// The classes of one packet: the numbers of their rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classes {
    pub(super) source: u32,
    pub(super) destination: u32,
    /// Of protocol and destination port together.
    pub(super) service: u32,
    /// `None` where no rule looks at source ports.
    pub(super) source_port: Option<u32>,
}

/// The rows of one direction, in one of two forms.
pub(super) trait Rows {
    /// Returns what the layers say of a packet of these classes.
    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision;

    /// Returns one word of a class's row.
    fn word(&self, class: u32, index: usize) -> u64;

    /// Returns the bytes in use.
    fn bytes(&self) -> usize;
}

/// Rows laid out flat: for each class one lane for each of `LAYERS` layers.
pub(super) type FlatRows<L, const LAYERS: usize> = Vec<[L; LAYERS]>;

/// Lays packed rows out flat.
pub(super) fn flatten<L: Lane, const LAYERS: usize>(packed: &PackedRows) -> FlatRows<L, LAYERS> {
    let flat = |row: PackedRow<'_>| {
        std::array::from_fn(|layer| L::new(|index| row.word(layer * L::WORDS + index)))
    };
    packed.rows().map(flat).collect()
}

impl<L: Lane, const LAYERS: usize> Rows for FlatRows<L, LAYERS> {
    fn word(&self, class: u32, index: usize) -> u64 {
        let lane = self.get(class as usize).and_then(|row| row.get(index / L::WORDS));
        lane.map_or(0, |lane| lane.word(index % L::WORDS))
    }

    fn bytes(&self) -> usize {
        size_of_val(self.as_slice())
    }

    #[expect(
        clippy::inline_always,
        reason = "measured: a call would pass what it finds through memory"
    )]
    #[inline(always)]
    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        let row = |class: u32| self.get(class as usize);
        // What is no class has no rule.
        let (Some(source), Some(destination), Some(service)) =
            (row(classes.source), row(classes.destination), row(classes.service))
        else {
            return Decision::NO_GROUP;
        };
        let source_port = match classes.source_port.map(row) {
            Some(None) => return Decision::NO_GROUP,
            looked_at => looked_at.flatten(),
        };
        let mut decision = Decision::NO_GROUP;
        // A loop over numbers: through chained iterators the rows would go by way of memory.
        for layer in 0..LAYERS {
            let (Some(source), Some(destination), Some(service)) =
                (source.get(layer), destination.get(layer), service.get(layer))
            else {
                break;
            };
            let bit = match source_port.and_then(|row| row.get(layer)) {
                None => L::first_bit([source, destination, service]),
                Some(port) => L::first_bit([source, destination, service, port]),
            };
            decision = layers.then(decision, bit.map(|bit| layer * L::WORDS * WORD + bit));
        }
        decision
    }
}

impl Rows for PackedRows {
    fn word(&self, class: u32, index: usize) -> u64 {
        self.row(class).word(index)
    }

    fn bytes(&self) -> usize {
        Self::bytes(self)
    }

    fn decide(&self, classes: &Classes, layers: &Layers) -> Decision {
        let Classes { source, destination, service, source_port } = *classes;
        let row = |class| self.row(class);
        let rows = [Some(source), Some(destination), Some(service), source_port]
            .map(|class| class.map(row));
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
