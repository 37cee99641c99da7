//! From an IPv4 address to its class by counting the cuts, the places where the class changes, up to the address.
//!
//! The upper bits of an address index the root, which says how many cuts lie before all addresses that begin so. Those
//! that lie among them are counted sixteen at once. Where more than sixteen share their upper bits, that count looks
//! at every 16th cut only, or every 256th, and further steps count the cuts between. How many steps there are is a
//! matter of the rules, not of the packet.
//!
//! A cut takes four bytes, and the number of the class behind it; however the prefixes are scattered, no cut takes more.

use super::cell::{Cell, shrink};
use super::line::Line;
use super::sixteen::{self, Sixteen, above};
use super::tries::FindClass;

/// The largest root takes so many bits of an address.
const MOST_ROOT_BITS: u32 = 16;
/// The smallest one takes so many.
const FEWEST_ROOT_BITS: u32 = 8;

/// The class of every IPv4 address, in at most `FURTHER` steps after the first.
#[derive(Debug)]
pub(super) struct Cuts<C, const FURTHER: usize> {
    plan: Plan,
    /// How many cuts of the first step lie before all addresses of a cell.
    root: Box<[u16]>,
    /// The cuts of the first step.
    first: Box<[i32]>,
    /// Where the groups of each further step begin.
    steps: [usize; FURTHER],
    groups: Box<[Group]>,
    /// The class behind so many cuts; that of the last address again for the numbers that fill a group up.
    classes: Box<[C]>,
}

/// The cuts that a further step counts at once.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Group(Sixteen);

/// How the cuts are looked at.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// How many steps follow the first.
    further: usize,
    /// The bits below those of the root.
    shift: u32,
}

impl Plan {
    /// Finds the fewest steps, and the smallest root with which these suffice; `None` where `most` are too few.
    fn of(cuts: &[u32], most: usize) -> Option<Self> {
        let shifts = || u32::BITS - MOST_ROOT_BITS..=u32::BITS - FEWEST_ROOT_BITS;
        let plans = |further| shifts().rev().map(move |shift| Self { further, shift });
        (0..=most).flat_map(plans).find(|plan| plan.suffices(cuts))
    }

    /// Says whether the root can number the cuts of the first step, and none of its cells holds more of them than that
    /// step counts.
    fn suffices(self, cuts: &[u32]) -> bool {
        if u16::try_from(kept(cuts, self.further).len()).is_err() {
            return false;
        }
        let cell = |cut| cut >> self.shift;
        let ahead = kept(cuts, self.further).skip(sixteen::LEN);
        kept(cuts, self.further).zip(ahead).all(|(cut, ahead)| cell(cut) != cell(ahead))
    }

    /// Returns for each cell how many cuts lie before it.
    fn root(self, cuts: &[u32]) -> Vec<u32> {
        let mut root = vec![0; (u32::MAX >> self.shift) as usize + 1];
        for cut in kept(cuts, self.further) {
            if let Some(after) = root.get_mut((cut >> self.shift) as usize + 1) {
                *after += 1;
            }
        }
        let mut before = 0;
        for cell in &mut root {
            before += *cell;
            *cell = before;
        }
        root
    }
}

/// Returns the cuts that a step looks at which so many others follow: the last of each sixteen that the next one takes.
fn kept(cuts: &[u32], following: usize) -> impl ExactSizeIterator<Item = u32> {
    let every = (0..following).fold(1, |every: usize, _| every.saturating_mul(sixteen::LEN));
    cuts.iter().skip(every - 1).step_by(every).copied()
}

/// Returns cuts as vectors compare them, filled up to so many whole groups more than they are.
fn filled(cuts: impl Iterator<Item = u32>, more: usize) -> Vec<i32> {
    let mut cuts: Vec<i32> = cuts.map(signed).collect();
    cuts.resize((cuts.len() / sixteen::LEN + more) * sixteen::LEN, i32::MAX);
    cuts
}

/// Returns a value as a signed number, in the same order: vectors compare such.
#[inline]
fn signed(value: u32) -> i32 {
    (value ^ 1 << 31).cast_signed()
}

/// Returns how many of the cuts, which are sorted, lie at or below the key.
#[inline]
fn count(cuts: &Sixteen, key: i32) -> usize {
    (above(cuts, key) | 1 << sixteen::LEN).trailing_zeros() as usize
}

impl<C: Cell, const FURTHER: usize> FindClass<u32> for Cuts<C, FURTHER> {
    fn build(line: &Line<u32>) -> Option<Self> {
        let cuts: Vec<u32> = line.cuts().collect();
        let plan = Plan::of(&cuts, FURTHER)?;
        let (mut steps, mut groups) = ([0; FURTHER], Vec::new());
        for (following, begin) in (0..plan.further).rev().zip(&mut steps) {
            *begin = groups.len();
            let cuts = filled(kept(&cuts, following), 1);
            groups.extend(cuts.as_chunks().0.iter().copied().map(Group));
        }
        // Only the last address of all counts what fills groups up.
        let filling = line.runs.last().into_iter().flat_map(|run| [run.1; 2 * sixteen::LEN]);
        Some(Self {
            plan,
            root: shrink(plan.root(&cuts))?,
            first: filled(kept(&cuts, plan.further), 2).into(),
            steps,
            groups: groups.into(),
            classes: shrink(line.runs.iter().map(|run| run.1).chain(filling))?,
        })
    }

    #[inline]
    fn find(&self, value: u32) -> u32 {
        let key = signed(value);
        let cell = self.root.get((value >> self.plan.shift) as usize);
        let mut at = cell.map_or(0, |&before| before.into());
        let first = self.first.get(at..at + sixteen::LEN).and_then(|cuts| cuts.first_chunk());
        at += first.map_or(0, |cuts| count(cuts, key));
        for begin in self.steps.iter().take(self.plan.further) {
            let more = self.groups.get(begin + at).map_or(0, |group| count(&group.0, key));
            at = at * sixteen::LEN + more;
        }
        if FURTHER > 0 {
            at = at.min(self.classes.len().saturating_sub(1));
        }
        self.classes.get(at).map_or(0, |&class| class.into())
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.root)
            + size_of_val(&*self.first)
            + size_of_val(&*self.groups)
            + size_of_val(&*self.classes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::classifier::tries::tests::agrees_at;

    fn line(cuts: impl IntoIterator<Item = u32>) -> Line<u32> {
        let cuts: std::collections::BTreeSet<u32> =
            cuts.into_iter().filter(|&cut| cut > 0).collect();
        let runs: Vec<_> = [0].into_iter().chain(cuts).zip(0..).collect();
        Line { classes: 0..u32::try_from(runs.len()).expect("few"), runs, last: u32::MAX }
    }

    fn agrees<const FURTHER: usize>(line: &Line<u32>, values: impl IntoIterator<Item = u32>) {
        agrees_at::<_, Cuts<u32, FURTHER>>(line, values);
    }

    #[test]
    fn a_line_without_cuts_is_of_one_class() {
        agrees::<0>(&line([]), [1, 1 << 31]);
    }

    #[test]
    fn seventeen_cuts_in_one_cell_need_a_further_step() {
        let near = line((0..17).map(|cut| 0x0a00_0000 + cut));
        assert!(Cuts::<u16, 0>::build(&near).is_none());
        agrees::<1>(&near, []);
    }

    #[test]
    fn more_classes_than_can_be_numbered_are_refused() {
        let many = line((0..70_000).map(|cut| cut << 12));
        assert!(Cuts::<u16, 4>::build(&many).is_none());
        agrees::<4>(&many, [0xffff_fffe]);
    }

    #[test]
    fn every_address_cut_from_every_other_is_found_in_a_few_steps() {
        agrees::<4>(&line((0..100_000).map(|cut| u32::MAX - 1 - cut)), [0, 1 << 31]);
    }

    proptest! {
        #[test]
        fn counting_finds_the_run_that_a_search_finds(
            scattered in prop::collection::vec(any::<u32>(), 0..300),
            near in prop::collection::vec(0u32..5000, 0..600),
            base in any::<u32>(),
            values in prop::collection::vec(any::<u32>(), 50),
        ) {
            let near = near.into_iter().map(|near| (base & !0xffff).wrapping_add(near));
            agrees::<4>(&line(scattered.into_iter().chain(near).filter(|&cut| cut < u32::MAX)), values);
        }
    }
}
