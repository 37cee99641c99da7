//! From a value to its class in a fixed number of loads, whatever the value.
//!
//! The upper bits of a value index the root; each further group of bits indexes a block. A cell holds the number
//! of the next block. **The first blocks are the classes themselves**: block c holds c in every cell, so that a
//! look-up which arrives at its class early stays there, and no step depends on how deep the answer lies. Equal
//! blocks are stored once, and a cell takes 16 bits where the numbers fit.
//!
//! Small tables step 8 bits at a time (fewer steps), large ones 4 (less memory).

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::sweep::{Position, Run};

/// Steps of 8 bits are tried for at most this many classes ...
const WIDE_CLASSES: usize = 128;
/// ... and kept where the blocks take no more than this many bytes.
const WIDE_BYTES: usize = 128 << 10;

/// How the values of a line are cut into bits for the root and bits for the steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    last: u128,
    wide_shift: u32,
    narrow_shift: u32,
}

impl Shape {
    /// IPv4 addresses: 16 bits for the root.
    pub(super) const IPV4: Self = Self { last: u32::MAX as u128, wide_shift: 16, narrow_shift: 16 };
    /// IPv6 addresses: 16 bits for the root, 8 where the table is small.
    pub(super) const IPV6: Self = Self { last: u128::MAX, wide_shift: 120, narrow_shift: 112 };

    /// Pages of 65,536 ports: all but the lower 8 bits for the root.
    pub(super) const fn port_pages(pages: u32) -> Self {
        Self { last: ((pages as u128) << 16) - 1, wide_shift: 8, narrow_shift: 8 }
    }
}

/// The class of every value on a line.
#[derive(Debug)]
pub(super) enum Trie {
    /// All values are of class 0: no rule tells them apart.
    OneClass,
    Wide(Blocks<u16, 256>),
    Narrow(Blocks<u16, 16>),
    Large(Blocks<u32, 16>),
}

impl Trie {
    /// Builds the trie of a line that is cut into runs of classes below `classes`.
    pub(super) fn new<P: Position>(runs: &[Run<P>], classes: usize, shape: Shape) -> Self {
        if runs.len() == 1 {
            return Self::OneClass;
        }
        if classes <= WIDE_CLASSES
            && let Some(wide) = Builder::<256>::build(runs, classes, shape.last, shape.wide_shift)
                .narrowed()
                .filter(|wide| size_of_val(wide.blocks.as_slice()) <= WIDE_BYTES)
        {
            return Self::Wide(wide);
        }
        let blocks = Builder::<16>::build(runs, classes, shape.last, shape.narrow_shift);
        match blocks.narrowed() {
            Some(narrow) => Self::Narrow(narrow),
            None => Self::Large(blocks),
        }
    }

    /// Returns the class of a value of up to 32 bits, all but the lower `SHIFT` of which index the root.
    #[inline]
    pub(super) fn find<const SHIFT: u32>(&self, value: u32) -> u32 {
        match self {
            Self::OneClass => 0,
            Self::Wide(blocks) => blocks.find(value, SHIFT),
            Self::Narrow(blocks) => blocks.find(value, SHIFT),
            Self::Large(blocks) => blocks.find(value, SHIFT),
        }
    }

    /// Returns the class of an IPv6 address.
    #[inline]
    pub(super) fn find_ipv6(&self, address: u128) -> u32 {
        match self {
            Self::OneClass => 0,
            Self::Wide(blocks) => blocks.find_ipv6(address, Shape::IPV6.wide_shift),
            Self::Narrow(blocks) => blocks.find_ipv6(address, Shape::IPV6.narrow_shift),
            Self::Large(blocks) => blocks.find_ipv6(address, Shape::IPV6.narrow_shift),
        }
    }

    /// Returns the bytes in use.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::OneClass => 0,
            Self::Wide(blocks) => blocks.bytes(),
            Self::Narrow(blocks) => blocks.bytes(),
            Self::Large(blocks) => blocks.bytes(),
        }
    }
}

/// The blocks of one trie, `N` cells each.
#[derive(Debug)]
pub(super) struct Blocks<C, const N: usize> {
    root: Vec<C>,
    blocks: Vec<[C; N]>,
    classes: u32,
    /// No block looks at bits below this one.
    lowest_bit: u32,
}

impl<C: Copy + Into<u32>, const N: usize> Blocks<C, N> {
    const STEP: u32 = N.trailing_zeros();

    #[inline]
    fn find(&self, value: u32, shift: u32) -> u32 {
        let start = self.start((value >> shift) as usize);
        self.descend(start, u64::from(value), shift, 0)
    }

    /// Walks the upper 64 bits without a branch; few addresses are told apart by the lower ones.
    #[inline]
    fn find_ipv6(&self, address: u128, shift: u32) -> u32 {
        let (upper, lower) = ((address >> 64) as u64, address as u64);
        let start = self.start((address >> shift) as usize);
        let at = self.descend(start, upper, shift - 64, self.lowest_bit.saturating_sub(64));
        if at < self.classes { at } else { self.descend(at, lower, 64, 0) }
    }

    #[inline]
    fn start(&self, index: usize) -> u32 {
        self.root.get(index).map_or(0, |&cell| cell.into())
    }

    /// Takes the steps from bit `shift` down to bit `lowest`.
    #[inline]
    fn descend(&self, start: u32, value: u64, shift: u32, lowest: u32) -> u32 {
        let (mut at, mut shift) = (start, shift);
        while shift > lowest {
            shift -= Self::STEP;
            let cell = (value >> shift) as usize & (N - 1);
            let block = self.blocks.get(at as usize);
            at = block.and_then(|block| block.get(cell)).map_or(0, |&cell| cell.into());
        }
        at
    }

    fn bytes(&self) -> usize {
        size_of_val(self.root.as_slice()) + size_of_val(self.blocks.as_slice())
    }
}

impl<const N: usize> Blocks<u32, N> {
    /// Returns the same trie with cells of 16 bits, where the numbers fit.
    fn narrowed(&self) -> Option<Blocks<u16, N>> {
        let limit = usize::from(u16::MAX) + 1;
        (self.blocks.len() <= limit).then(|| Blocks {
            root: self.root.iter().map(|&cell| cell as u16).collect(),
            blocks: self.blocks.iter().map(|block| block.map(|cell| cell as u16)).collect(),
            classes: self.classes,
            lowest_bit: self.lowest_bit,
        })
    }
}

/// Makes the blocks, equal ones once.
struct Builder<const N: usize> {
    blocks: Vec<[u32; N]>,
    numbers: HashMap<[u32; N], u32, FixedState>,
    lowest_bit: u32,
}

impl<const N: usize> Builder<N> {
    fn build<P: Position>(
        runs: &[Run<P>],
        classes: usize,
        last: u128,
        shift: u32,
    ) -> Blocks<u32, N> {
        let classes = u32::try_from(classes).unwrap_or(u32::MAX);
        let mut builder = Self {
            blocks: (0..classes).map(|class| [class; N]).collect(),
            numbers: HashMap::with_hasher(FixedState::default()),
            lowest_bit: shift,
        };
        let cells = usize::try_from(last >> shift).unwrap_or(0) + 1;
        let mut root = vec![0; cells];
        builder.fill(&mut root, runs, 0, shift);
        let Self { blocks, lowest_bit, .. } = builder;
        Blocks { root, blocks, classes, lowest_bit }
    }

    /// Fills the cells that stand side by side from `base` on, each for 2^`shift` values. The first run covers
    /// `base`; runs behind the last cell are left alone.
    fn fill<P: Position>(&mut self, cells: &mut [u32], runs: &[Run<P>], base: u128, shift: u32) {
        let mut runs = runs;
        let mut index = 0;
        while index < cells.len() {
            let begin = base + ((index as u128) << shift);
            let end = begin + ((1u128 << shift) - 1);
            while runs.get(1).is_some_and(|next| next.0.into() <= begin) {
                runs = runs.get(1..).unwrap_or_default();
            }
            let inside = runs.iter().skip(1).take_while(|run| run.0.into() <= end).count();
            let here = runs.get(..=inside).unwrap_or_default();
            let (cell, count) = match here {
                [(_, class)] => {
                    // One class for all cells up to the one in which the next run begins.
                    let until = runs.get(1).map_or(cells.len(), |next| {
                        usize::try_from((next.0.into() - base) >> shift).unwrap_or(cells.len())
                    });
                    (*class, until - index)
                }
                _ => (self.block(here, begin, shift), 1),
            };
            cells.iter_mut().skip(index).take(count).for_each(|place| *place = cell);
            index += count;
            runs = runs.get(inside..).unwrap_or_default();
        }
    }

    /// Returns the number of the block for the 2^`shift` values from `base` on.
    fn block<P: Position>(&mut self, runs: &[Run<P>], base: u128, shift: u32) -> u32 {
        let shift = shift - N.trailing_zeros();
        self.lowest_bit = self.lowest_bit.min(shift);
        let mut cells = [0; N];
        self.fill(&mut cells, runs, base, shift);
        *self.numbers.entry(cells).or_insert_with(|| {
            self.blocks.push(cells);
            u32::try_from(self.blocks.len() - 1).unwrap_or(u32::MAX)
        })
    }
}
