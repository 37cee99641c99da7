//! From a port to its class in two loads, where ports are cut finely.
//!
//! A line of ports has a page of 65,536 places for each protocol. Wherever any page is cut a **column** begins, on all
//! pages: a port's column is one load, whatever the protocol, and page and column name the class. So a port takes two
//! bytes, not two bytes a page.

use super::MEMORY_BUDGET;
use super::cell::{Cell, shrink};
use super::line::Line;
use super::tries::FindClass;

/// Places of a page.
const PAGE: usize = 1 << 16;

/// The class of every place on a line of ports.
#[derive(Debug)]
pub(super) struct Columns<C> {
    /// The column of each port.
    of_port: Box<[u16; PAGE]>,
    /// How many columns a page has.
    width: usize,
    /// The classes of the first page's columns, then those of the next page, and so on.
    classes: Box<[C]>,
}

impl<C: Cell> FindClass<u32> for Columns<C> {
    fn build(line: &Line<u32>) -> Option<Self> {
        let mut begins: Vec<u16> = line.runs.iter().map(|run| port(run.0)).collect();
        begins.sort_unstable();
        begins.dedup();
        let width = begins.len();
        if (line.last as usize / PAGE + 1) * width * size_of::<C>() > MEMORY_BUDGET {
            return None;
        }
        let mut of_port = vec![0; PAGE];
        let ends = begins.iter().skip(1).map(|&end| usize::from(end)).chain([PAGE]);
        for ((column, &begin), end) in (0..).zip(&begins).zip(ends) {
            of_port.get_mut(usize::from(begin)..end)?.fill(column);
        }
        let pages = (0..=line.last).step_by(PAGE);
        let places =
            pages.flat_map(|page| begins.iter().map(move |&begin| page | u32::from(begin)));
        let classes = shrink(line.classes_at(places))?;
        Some(Self { of_port: of_port.into_boxed_slice().try_into().ok()?, width, classes })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let column = self.of_port.get(usize::from(port(value))).copied().map_or(0, usize::from);
        let class = self.classes.get(value as usize / PAGE * self.width + column);
        class.map_or(0, |&class| class.into())
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.of_port) + size_of_val(&*self.classes)
    }
}

/// Returns the port of a place.
#[expect(clippy::cast_possible_truncation, reason = "the upper bits are the page")]
#[inline]
fn port(place: u32) -> u16 {
    place as u16
}
