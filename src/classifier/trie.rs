//! From a value to its class in a fixed number of loads, whatever the value.
//!
//! The upper bits of a value index the root; each further group of bits indexes a block. A cell holds the number
//! of the next block. **The first blocks are the classes themselves**: block c holds c in every cell, so that a
//! look-up which arrives at its class early stays there, and no step depends on how deep the answer lies. Equal
//! blocks are stored once, and a cell takes 16 bits where the numbers fit.
//!
//! Small tables step 8 bits at a time, `N` = 256 (fewer steps), large ones 4 bits, `N` = 16 (less memory).
//!
//! IPv6 addresses are long, and rules tell them apart by some of their bits only: the root begins behind the bits
//! that all prefixes share, and the steps end with the last bit at which one ends. That is a matter of the table, not
//! of the packet.

use std::hash::BuildHasher;
use std::hint::select_unpredictable;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::sweep::Line;

/// What a cell is made of: a number of 16 or of 32 bits.
pub(super) trait Cell: Copy + Into<u32> {}

impl Cell for u16 {}
impl Cell for u32 {}

/// The class of every value on a line, in blocks of `N` cells.
#[derive(Debug)]
pub(super) struct Trie<C, const N: usize> {
    root: Vec<C>,
    blocks: Vec<[C; N]>,
    /// The blocks below this number are the classes.
    classes: u32,
    /// What few IPv6 addresses need: the runs within a cell of the last step, where it has a number beyond the blocks.
    tails: Vec<Tail>,
    /// Which bits of IPv6 addresses are looked at.
    span: Span,
}

/// Where runs begin, and their classes; the first one covers what lies before the others.
type Tail = Box<[(u128, u32)]>;

/// The bits of the upper half of IPv6 addresses that tell them apart. (Tails look at the lower half.)
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    /// What all prefixes begin with, in the bits of `mask`.
    prefix: u64,
    mask: u64,
    /// The class of all addresses that begin otherwise.
    outside: u32,
    /// The bits below those of the root.
    shift: u32,
    /// The bits below those of the last step.
    floor: u32,
}

impl Span {
    /// Finds the bits that matter on a line, for a root of at most `root` bits and steps of `step` bits.
    fn of(runs: &[(u128, u32)], root: u32, step: u32) -> Self {
        let outside = runs.first().map_or(0, |run| run.1);
        let comes_back = runs.last().is_some_and(|run| run.1 == outside);
        let cuts = runs.get(1..).unwrap_or_default();
        let (first, last) = match (cuts.first(), cuts.last()) {
            (Some(first), Some(last)) if comes_back => {
                (upper_half(first.0), upper_half(last.0 - 1))
            }
            _ => (0, u64::MAX),
        };
        let bits = u64::BITS - (first ^ last).leading_zeros();
        let mask = u64::MAX.checked_shl(bits).unwrap_or(0);
        let shift = bits.saturating_sub(root).next_multiple_of(step);
        let zeros = cuts.iter().map(|cut| upper_half(cut.0).trailing_zeros()).min().unwrap_or(0);
        let unused = zeros.min(shift) / step * step;
        Self { prefix: first & mask, mask, outside, shift, floor: unused }
    }

    /// Returns the cells that the root needs.
    fn root_cells(self) -> usize {
        usize::try_from(!self.mask >> self.shift).unwrap_or(0) + 1
    }
}

impl<C: Cell, const N: usize> Trie<C, N> {
    const STEP: u32 = N.trailing_zeros();
    /// The bits below those of the root: 8 bits for the root are a step of 8 bits, 16 save steps of 4 bits.
    const IPV4_SHIFT: u32 = if N == 256 { 24 } else { 16 };
    const IPV6_ROOT: u32 = 32 - Self::IPV4_SHIFT;
    const PORT_SHIFT: u32 = 8;

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
        let Span { prefix, mask, outside, shift, floor } = self.span;
        let upper = upper_half(address);
        let cell = usize::try_from((upper & !mask) >> shift).unwrap_or(usize::MAX);
        let inside = self.start(cell);
        let start = select_unpredictable((upper ^ prefix) & mask == 0, inside, outside);
        let at = self.descend(start, upper, shift, floor);
        if at < self.classes { at } else { self.find_in_tail(at, address) }
    }

    fn find_in_tail(&self, cell: u32, address: u128) -> u32 {
        let tail = (cell as usize).checked_sub(self.blocks.len());
        let runs = tail.and_then(|tail| self.tails.get(tail)).map_or(&[][..], |runs| runs);
        let begun = runs.partition_point(|&(begin, _)| begin <= address);
        begun.checked_sub(1).and_then(|last| runs.get(last)).map_or(0, |&(_, class)| class)
    }

    #[inline]
    fn find(&self, value: u32, shift: u32) -> u32 {
        let start = self.start((value >> shift) as usize);
        self.descend(start, u64::from(value), shift, 0)
    }

    #[inline]
    fn start(&self, index: usize) -> u32 {
        self.root.get(index).map_or(0, |&cell| cell.into())
    }

    /// Takes the steps for the bits from `shift` down to `floor`: a number that is the same for every packet.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are looked at")]
    fn descend(&self, start: u32, value: u64, shift: u32, floor: u32) -> u32 {
        let (mut at, mut shift) = (start, shift);
        while shift > floor {
            shift -= Self::STEP;
            let cell = (value >> shift) as usize % N;
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

impl<const N: usize> Trie<u32, N> {
    /// Builds the trie of IPv4 addresses, of IPv6 addresses, or of places of ports, by the line's length.
    pub(super) fn new(line: &Line) -> Self {
        if line.runs.len() <= 1 {
            // What is not there is class 0: the only one.
            return Self {
                root: vec![],
                blocks: vec![],
                classes: 1,
                tails: vec![],
                span: Span::default(),
            };
        }
        let mut span = Span::default();
        let (cells, base, shift, floor) = match line.last {
            u128::MAX => {
                span = Span::of(&line.runs, Self::IPV6_ROOT, Self::STEP);
                (span.root_cells(), u128::from(span.prefix) << 64, 64 + span.shift, 64 + span.floor)
            }
            last if last == u32::MAX.into() => {
                (1 << (32 - Self::IPV4_SHIFT), 0, Self::IPV4_SHIFT, 0)
            }
            last => {
                (usize::try_from(last >> Self::PORT_SHIFT).unwrap_or(0) + 1, 0, Self::PORT_SHIFT, 0)
            }
        };
        let mut root = vec![0; cells];
        let builder = Builder::<N>::build(line, &mut root, base, shift, floor);
        let Builder { mut blocks, tails, classes, .. } = builder;
        // Tails are numbered behind the blocks, now that it is known how many those are.
        let first_tail = u32::try_from(blocks.len()).unwrap_or(FIRST_TAIL);
        for cell in root.iter_mut().chain(blocks.as_flattened_mut()) {
            *cell = cell.checked_sub(FIRST_TAIL).map_or(*cell, |tail| first_tail + tail);
        }
        Self { root, blocks, classes, tails, span }
    }

    /// Returns the same trie in cells of 16 bits; `None` where the numbers need more.
    pub(super) fn narrowed(&self) -> Option<Trie<u16, N>> {
        u16::try_from(self.blocks.len() + self.tails.len()).ok()?;
        let narrow = |cell: u32| u16::try_from(cell).unwrap_or_default();
        Some(Trie {
            root: self.root.iter().copied().map(narrow).collect(),
            blocks: self.blocks.iter().map(|block| block.map(narrow)).collect(),
            classes: self.classes,
            tails: self.tails.clone(),
            span: self.span,
        })
    }
}

#[inline]
fn upper_half(address: u128) -> u64 {
    (address >> 64) as u64
}

fn hash<const N: usize>(cells: &[u32; N]) -> u64 {
    FixedState::default().hash_one(cells)
}

/// While a trie is built, the numbers from here on stand for tails.
const FIRST_TAIL: u32 = 1 << 31;

/// Makes the blocks, equal ones once, and the tails.
struct Builder<const N: usize> {
    blocks: Vec<[u32; N]>,
    /// The number of each block, found by its cells.
    numbers: HashTable<u32>,
    classes: u32,
    tails: Vec<Tail>,
    /// Bits below this one are not cut into blocks.
    floor: u32,
}

impl<const N: usize> Builder<N> {
    /// Fills the cells of the root, each for 2^`shift` values from `base` on, and makes the blocks.
    fn build(line: &Line, root: &mut [u32], base: u128, shift: u32, floor: u32) -> Self {
        let classes = line.runs.iter().map(|run| run.1 + 1).max().unwrap_or(0);
        let mut builder = Self {
            blocks: (0..classes).map(|class| [class; N]).collect(),
            numbers: HashTable::new(),
            classes,
            tails: Vec::new(),
            floor,
        };
        builder.fill(root, &line.runs, base, shift);
        builder
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
            return self.tail(runs);
        }
        let shift = shift - N.trailing_zeros();
        let mut cells = [0; N];
        self.fill(&mut cells, runs, base, shift);
        let Self { blocks, numbers, .. } = self;
        let is_equal = |&number: &u32| blocks.get(number as usize) == Some(&cells);
        let hash_again = |&number: &u32| blocks.get(number as usize).map_or(0, hash);
        match numbers.entry(hash(&cells), is_equal, hash_again) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let number = u32::try_from(blocks.len()).unwrap_or(FIRST_TAIL);
                entry.insert(number);
                blocks.push(cells);
                number
            }
        }
    }

    fn tail(&mut self, runs: &[(u128, u32)]) -> u32 {
        self.tails.push(runs.into());
        FIRST_TAIL + u32::try_from(self.tails.len() - 1).unwrap_or(0)
    }
}
