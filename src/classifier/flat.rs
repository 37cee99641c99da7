//! From a source port to its class in one load.
//!
//! The line of source ports has no pages: two bytes a place are little where rules cut it at all.

use super::cell::{Cell, shrink};
use super::line::Line;
use super::services::SOURCE_PORT_PLACES;
use super::tries::FindClass;

/// The class of every place on the line of source ports.
#[derive(Debug)]
pub(super) struct Flat<C>(Box<[C; SOURCE_PORT_PLACES]>);

impl<C: Cell> FindClass<u32> for Flat<C> {
    fn build(line: &Line<u32>) -> Option<Self> {
        Some(Self(shrink(line.classes_at(0..=line.last))?.try_into().ok()?))
    }

    #[inline]
    fn find(&self, place: u32) -> u32 {
        self.0.get(place as usize).map_or(0, |&class| class.into())
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}
