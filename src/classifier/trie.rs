//! From a value to its class in a fixed number of loads, whatever the value.
//!
//! The upper bits of a value index the root; each further group of bits indexes a block. A cell holds the number
//! of the next block. **The first blocks are the classes themselves**: block c holds c in every cell, so that a
//! look-up which arrives at its class early stays there, and no step depends on how deep the answer lies. Equal
//! blocks are stored once, and a cell takes 16 bits where the numbers fit.
//!
//! Small tables step 8 bits at a time, `N` = 256 (fewer steps), large ones 4 bits, `N` = 16 (less memory).

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::sweep::Line;

/// What a cell is made of: a number of 16 or of 32 bits.
pub(super) trait Cell: Copy + Default + Into<u32> + TryFrom<u32> {}

impl Cell for u16 {}
impl Cell for u32 {}

/// The class of every value on a line, in blocks of `N` cells.
#[derive(Debug)]
pub(super) struct Trie<C, const N: usize> {
    root: Vec<C>,
    blocks: Vec<[C; N]>,
    /// The blocks below this number are the classes.
    classes: u32,
    /// What few IPv6 addresses need: the runs within one value of the upper 64 bits, where its cell has a number
    /// beyond the blocks.
    tails: Vec<Tail>,
}

/// Where runs begin within 2^64 addresses, and their classes.
type Tail = Box<[(u64, u32)]>;

impl<C: Cell, const N: usize> Trie<C, N> {
    const STEP: u32 = N.trailing_zeros();
    /// The bits below the root's. A root of 16 bits saves two steps of 4 bits, and 8 bits save nothing but memory.
    const IPV4_SHIFT: u32 = if N == 256 { 24 } else { 16 };
    const IPV6_SHIFT: u32 = 96 + Self::IPV4_SHIFT;
    const PORT_SHIFT: u32 = 8;

    /// Builds the trie of IPv4 addresses, of IPv6 addresses, or of places of ports, by the line's length; `None`
    /// where there are more blocks than cells can number.
    pub(super) fn new(line: &Line) -> Option<Self> {
        if line.runs.len() <= 1 {
            // What is not there is class 0: the only one.
            return Some(Self { root: vec![], blocks: vec![], classes: 1, tails: vec![] });
        }
        let (shift, floor) = match line.last {
            u128::MAX => (Self::IPV6_SHIFT, 64),
            last if last == u32::MAX.into() => (Self::IPV4_SHIFT, 0),
            _ => (Self::PORT_SHIFT, 0),
        };
        let (root, builder) = Builder::<N>::build(line, shift, floor);
        let Builder { blocks, tails, classes, .. } = builder;
        let (block_count, tail_count) =
            (u32::try_from(blocks.len()).ok()?, u32::try_from(tails.len()).ok()?);
        C::try_from(block_count.checked_add(tail_count)? - 1).ok()?;
        // Tails are numbered behind the blocks, now that it is known how many those are.
        let cell = |number: u32| {
            let number = number.checked_sub(FIRST_TAIL).map_or(number, |tail| block_count + tail);
            C::try_from(number).unwrap_or_default()
        };
        Some(Self {
            root: root.into_iter().map(cell).collect(),
            blocks: blocks.into_iter().map(|block| block.map(cell)).collect(),
            classes,
            tails,
        })
    }

    /// Returns the class of an IPv4 address.
    #[inline]
    pub(super) fn find_v4(&self, address: u32) -> u32 {
        self.find(address, Self::IPV4_SHIFT)
    }

    /// Returns the class of a place on a line of ports.
    #[inline]
    pub(super) fn find_place(&self, place: u32) -> u32 {
        self.find(place, Self::PORT_SHIFT)
    }

    /// Returns the class of an IPv6 address. Walks the upper 64 bits; few addresses are told apart by the lower ones.
    #[inline]
    pub(super) fn find_v6(&self, address: u128) -> u32 {
        let upper = (address >> 64) as u64;
        let start = self.start((address >> Self::IPV6_SHIFT) as usize);
        let at = self.descend(start, upper, Self::IPV6_SHIFT - 64);
        if at < self.classes { at } else { self.find_in_tail(at, address as u64) }
    }

    fn find_in_tail(&self, cell: u32, lower: u64) -> u32 {
        let tail = (cell as usize).checked_sub(self.blocks.len());
        let runs = tail.and_then(|tail| self.tails.get(tail)).map_or(&[][..], |runs| runs);
        let begun = runs.partition_point(|&(begin, _)| begin <= lower);
        begun.checked_sub(1).and_then(|last| runs.get(last)).map_or(0, |&(_, class)| class)
    }

    #[inline]
    fn find(&self, value: u32, shift: u32) -> u32 {
        let start = self.start((value >> shift) as usize);
        self.descend(start, u64::from(value), shift)
    }

    #[inline]
    fn start(&self, index: usize) -> u32 {
        self.root.get(index).map_or(0, |&cell| cell.into())
    }

    /// Takes the steps for the bits below `shift`; the caller's constant, so that there is no loop left.
    #[inline]
    fn descend(&self, start: u32, value: u64, shift: u32) -> u32 {
        let (mut at, mut shift) = (start, shift);
        while shift > 0 {
            shift -= Self::STEP;
            let cell = (value >> shift) as usize & (N - 1);
            let block = self.blocks.get(at as usize);
            at = block.and_then(|block| block.get(cell)).map_or(0, |&cell| cell.into());
        }
        at
    }

    /// Returns the bytes in use.
    pub(super) fn bytes(&self) -> usize {
        let tails = self.tails.iter().map(|runs| size_of::<Tail>() + size_of_val(runs.as_ref()));
        size_of_val(self.root.as_slice())
            + size_of_val(self.blocks.as_slice())
            + tails.sum::<usize>()
    }
}

/// While a trie is built, the numbers from here on stand for tails.
const FIRST_TAIL: u32 = 1 << 31;

/// Makes the blocks, equal ones once, and the tails.
struct Builder<const N: usize> {
    blocks: Vec<[u32; N]>,
    numbers: HashMap<[u32; N], u32, FixedState>,
    classes: u32,
    tails: Vec<Tail>,
    /// Bits below this one are not cut into blocks.
    floor: u32,
}

impl<const N: usize> Builder<N> {
    /// Returns the cells of the root, each for 2^`shift` values, and the blocks.
    fn build(line: &Line, shift: u32, floor: u32) -> (Vec<u32>, Self) {
        let classes = line.runs.iter().map(|run| run.1 + 1).max().unwrap_or(0);
        let mut builder = Self {
            blocks: (0..classes).map(|class| [class; N]).collect(),
            numbers: HashMap::with_hasher(FixedState::default()),
            classes,
            tails: Vec::new(),
            floor,
        };
        let mut root = vec![0; usize::try_from(line.last >> shift).unwrap_or(0) + 1];
        builder.fill(&mut root, &line.runs, 0, shift);
        (root, builder)
    }

    /// Fills the cells that stand side by side from `base` on, each for 2^`shift` values. The first run covers
    /// `base`; runs behind the last cell are left alone.
    fn fill(&mut self, cells: &mut [u32], runs: &[(u128, u32)], base: u128, shift: u32) {
        let mut runs = runs;
        let mut index = 0;
        while index < cells.len() {
            let begin = base + ((index as u128) << shift);
            let end = begin + ((1u128 << shift) - 1);
            while runs.get(1).is_some_and(|next| next.0 <= begin) {
                runs = runs.get(1..).unwrap_or_default();
            }
            let inside = runs.iter().skip(1).take_while(|run| run.0 <= end).count();
            let here = runs.get(..=inside).unwrap_or_default();
            let (cell, count) = match here {
                [(_, class)] => {
                    // One class for all cells up to the one in which the next run begins.
                    let until = runs.get(1).map_or(cells.len(), |next| {
                        usize::try_from((next.0 - base) >> shift).unwrap_or(cells.len())
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
    fn block(&mut self, runs: &[(u128, u32)], base: u128, shift: u32) -> u32 {
        if shift == self.floor {
            return self.tail(runs, base);
        }
        let shift = shift - N.trailing_zeros();
        let mut cells = [0; N];
        self.fill(&mut cells, runs, base, shift);
        *self.numbers.entry(cells).or_insert_with(|| {
            self.blocks.push(cells);
            u32::try_from(self.blocks.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn tail(&mut self, runs: &[(u128, u32)], base: u128) -> u32 {
        let within = |&(begin, class): &(u128, u32)| (begin.saturating_sub(base) as u64, class);
        self.tails.push(runs.iter().map(within).collect());
        FIRST_TAIL + u32::try_from(self.tails.len() - 1).unwrap_or(0)
    }
}
