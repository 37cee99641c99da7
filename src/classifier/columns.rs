//! From a port to its class in two loads, where ports are cut finely.
//!
//! A line of ports has a page of 65,536 places for each protocol. Wherever any page is cut a **column** begins, on all
//! pages: a port's column is one load, whatever the protocol, and page and column name the class. So a port takes two
//! bytes, not two bytes a page.

use super::line::Line;
use super::tries::FindClass;

/// Places of a page.
const PAGE: usize = 1 << 16;
/// The classes of all pages and columns may be so many.
const MOST_CLASSES: usize = 1 << 16;

/// The class of every place on a line of ports.
#[derive(Debug)]
pub(super) struct Columns {
    /// The column of each port; then the classes of the first page's columns, those of the next page, and so on. There
    /// is room for all of them; what is not written takes no memory.
    cells: Box<[u16; PAGE + MOST_CLASSES]>,
    /// How many columns a page has.
    width: usize,
    /// How many cells there are.
    used: usize,
}

impl FindClass<u32> for Columns {
    fn build(line: &Line<u32>) -> Option<Self> {
        let mut begins: Vec<u16> = line.runs.iter().map(|run| port(run.0)).collect();
        begins.sort_unstable();
        begins.dedup();
        let width = begins.len();
        let used = PAGE + (line.last as usize / PAGE + 1) * width;
        let mut cells = vec![0; PAGE + MOST_CLASSES];
        let (columns, classes) = cells.get_mut(..used)?.split_at_mut_checked(PAGE)?;
        let ends = begins.iter().skip(1).map(|&end| usize::from(end)).chain([PAGE]);
        for ((column, &begin), end) in (0..).zip(&begins).zip(ends) {
            columns.get_mut(usize::from(begin)..end)?.fill(column);
        }
        let pages = (0..=line.last).step_by(PAGE);
        let places =
            pages.flat_map(|page| begins.iter().map(move |&begin| page | u32::from(begin)));
        let (mut runs, mut class) = (line.runs.iter().peekable(), 0);
        for (cell, place) in classes.iter_mut().zip(places) {
            while let Some(run) = runs.next_if(|run| run.0 <= place) {
                class = u16::try_from(run.1).ok()?;
            }
            *cell = class;
        }
        Some(Self { cells: cells.into_boxed_slice().try_into().ok()?, width, used })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let cell = |index: usize| self.cells.get(index).copied().unwrap_or(0);
        let column = usize::from(cell(port(value).into()));
        let place = (value as usize / PAGE * self.width + column) % MOST_CLASSES;
        cell(PAGE + place).into()
    }

    fn bytes(&self) -> usize {
        self.used * size_of::<u16>()
    }
}

/// Returns the port of a place.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are the page")]
#[inline]
fn port(place: u32) -> u16 {
    place as u16
}
