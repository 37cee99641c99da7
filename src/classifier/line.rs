//! A line of values, the address space of one family or the ports, cut into runs of one class.

use std::iter;
use std::ops::Range;

/// A place on a line.
pub(super) trait Position: Copy + Ord {
    /// The first place.
    const ZERO: Self;

    /// Returns the place after this one; `None` at the end of the line.
    fn next(self) -> Option<Self>;
}

impl Position for u32 {
    const ZERO: Self = 0;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Position for u128 {
    const ZERO: Self = 0;

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Where a run begins, and its class.
pub(super) type Run<P> = (P, u32);

/// A line cut into runs of values of one class.
#[derive(Debug)]
pub(super) struct Line<P> {
    /// Sorted; the first run begins at zero, and the runs side by side are of different classes.
    pub(super) runs: Vec<Run<P>>,
    /// The last value.
    pub(super) last: P,
    /// The numbers of its classes.
    pub(super) classes: Range<u32>,
}

impl<P> Line<P> {
    /// Says whether values of different classes are on it.
    pub(super) fn is_cut(&self) -> bool {
        self.runs.len() > 1
    }
}

impl<P: Position> Line<P> {
    /// Returns the places where the class changes.
    pub(super) fn cuts(&self) -> impl Iterator<Item = P> {
        self.runs.iter().skip(1).map(|run| run.0)
    }

    /// Returns the class of each of these places, which are sorted.
    pub(super) fn classes_at(
        &self,
        places: impl IntoIterator<Item = P>,
    ) -> impl Iterator<Item = u32> {
        let (mut runs, mut class) = (self.runs.iter().peekable(), 0);
        places.into_iter().map(move |place| {
            while let Some(run) = runs.next_if(|run| run.0 <= place) {
                class = run.1;
            }
            class
        })
    }
}

impl Line<u32> {
    /// Returns how many blocks a trie needs at most below cells that stand for 2^`shift` values each: one for every
    /// cell that is cut, and one for every class that fills a cell.
    pub(super) fn blocks_below(&self, shift: u32) -> usize {
        let mut fills = vec![false; self.classes.len()];
        let (mut cuts, mut last_cut) = (0, None);
        for (index, &(begin, class)) in self.runs.iter().enumerate() {
            let cell = begin >> shift;
            let is_cut = begin.trailing_zeros() < shift;
            if is_cut && last_cut.replace(cell) != Some(cell) {
                cuts += 1;
            }
            let next = self.runs.get(index + 1).map(|next| next.0 >> shift);
            if next.is_none_or(|next| next > cell + u32::from(is_cut))
                && let Some(fills) = fills.get_mut((class - self.classes.start) as usize)
            {
                *fills = true;
            }
        }
        cuts + fills.into_iter().filter(|&fills| fills).count()
    }
}

/// What lies within cells that stand side by side.
pub(super) struct Part<'a, P> {
    /// Several cells where all positions are of one class, else one.
    pub(super) cells: Range<usize>,
    /// The first position.
    pub(super) begin: u64,
    /// The first one covers the first position, all others begin behind it.
    pub(super) runs: &'a [Run<P>],
}

/// Cuts runs, of which the first one covers `begin`, into what lies within so many cells from there on that stand for
/// 2^`shift` positions each.
pub(super) fn parts<P: Copy + Into<u64>>(
    mut runs: &[Run<P>],
    begin: u64,
    shift: u32,
    cells: usize,
) -> impl Iterator<Item = Part<'_, P>> {
    let begin_of = move |cell: usize| begin + ((cell as u64) << shift);
    let cell_of = move |place: P| {
        usize::try_from((place.into() - begin) >> shift).map_or(cells, |cell| cell.min(cells))
    };
    let mut next = 0;
    iter::from_fn(move || {
        let first = next;
        let later = runs.get(1..).filter(|_| first < cells)?;
        let cut = later.first().map_or(cells, |cut| cell_of(cut.0));
        let inside = later.iter().take_while(|run| cell_of(run.0) == first).count();
        next = if inside == 0 { cut } else { first + 1 };
        let (part, behind) = runs.split_at_checked(inside + 1)?;
        // Where the next run begins with the next cell, nothing covers that.
        let begins = behind.first().is_some_and(|run| run.0.into() == begin_of(next));
        runs = runs.get(inside + usize::from(begins)..)?;
        Some(Part { cells: first..next, begin: begin_of(first), runs: part })
    })
}

/// The lines of one direction.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) source_v4: Line<u32>,
    pub(super) source_v6: Line<u128>,
    pub(super) destination_v4: Line<u32>,
    pub(super) destination_v6: Line<u128>,
    /// Of protocol and destination port together.
    pub(super) service: Line<u32>,
    /// `None` where no rule looks at source ports.
    pub(super) source_port: Option<Line<u32>>,
}
