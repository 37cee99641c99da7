//! Whether an interface is there to be watched, and the gaps in which it was not.
//!
//! In come looks at the interface (by its name) and the capture's word that it went down, each with its time; out go
//! [`Step`]s to take. An interface is followed by its name: whatever takes the name is bound to, and one that was
//! renamed is absent. Asks nobody and binds nothing.

use crate::control::status::InterfaceState;
use crate::flow::Timestamp;
use crate::report::Gap;

/// What was seen of the interface of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) index: u32,
    pub(super) is_up: bool,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All is as it was.
    Stay,
    /// It is not watched any more, since then.
    Lost(InterfaceState, Timestamp),
    /// It is there: bind to it, then say so with [`Presence::bound`].
    Bind,
}

/// What is known of one interface.
#[derive(Debug)]
pub(super) struct Presence {
    state: InterfaceState,
    was_looked_at: bool,
    index: Option<u32>,
    /// Since when it is not watched; `None` while it is, and before the first look.
    missed_since: Option<Timestamp>,
    /// It was absent at some time of the gap, and not only down.
    was_absent: bool,
    gaps: u64,
    last_gap: Option<Gap>,
}

impl Presence {
    /// Before the first look.
    pub(super) const fn new() -> Self {
        Self {
            state: InterfaceState::Absent,
            was_looked_at: false,
            index: None,
            missed_since: None,
            was_absent: false,
            gaps: 0,
            last_gap: None,
        }
    }

    /// Takes in a look, and when the capture said that the interface went down since the last one.
    pub(super) fn look(
        &mut self,
        seen: Option<Seen>,
        went_down: Option<Timestamp>,
        now: Timestamp,
    ) -> Step {
        let is_same = seen.map(|seen| seen.index) == self.index;
        let state = match seen {
            None => InterfaceState::Absent,
            Some(Seen { is_up: false, .. }) => InterfaceState::Down,
            Some(_) => InterfaceState::Watching,
        };
        let was_watching = self.state == InterfaceState::Watching;
        if was_watching && state == InterfaceState::Watching && is_same && went_down.is_none() {
            return Step::Stay;
        }
        let is_first = !std::mem::replace(&mut self.was_looked_at, true);
        if is_first && state == InterfaceState::Watching {
            self.index = seen.map(|seen| seen.index);
            return Step::Bind;
        }
        let is_news = self.missed_since.is_none();
        let since = *self.missed_since.get_or_insert(went_down.unwrap_or(now));
        self.was_absent |= seen.is_none() || (was_watching && !is_same);
        self.index = seen.map(|seen| seen.index);
        if state == InterfaceState::Watching {
            // Not watched before it is bound.
            self.state = InterfaceState::Down;
            return Step::Bind;
        }
        let changed = self.state != state;
        self.state = state;
        if is_news || changed { Step::Lost(state, since) } else { Step::Stay }
    }

    /// Takes in that the capture is bound to the interface that was seen last. Returns the gap that ends with it: none
    /// where the interface was there from the first look on.
    pub(super) fn bound(&mut self, now: Timestamp) -> Option<Gap> {
        self.state = InterfaceState::Watching;
        self.end_gap(now)
    }

    /// Ends the gap that is open, if there is one.
    pub(super) fn end_gap(&mut self, now: Timestamp) -> Option<Gap> {
        let start = self.missed_since.take()?;
        let reason = if self.was_absent { InterfaceState::Absent } else { InterfaceState::Down };
        self.was_absent = false;
        let gap = Gap { start, end: now, reason: reason.as_str() };
        self.gaps += 1;
        self.last_gap = Some(gap);
        Some(gap)
    }

    pub(super) const fn state(&self) -> InterfaceState {
        self.state
    }

    pub(super) const fn index(&self) -> Option<u32> {
        self.index
    }

    pub(super) const fn missed_since(&self) -> Option<Timestamp> {
        self.missed_since
    }

    /// How many gaps there were, and the last one.
    pub(super) const fn gaps(&self) -> (u64, Option<Gap>) {
        (self.gaps, self.last_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp { monotonic_ns: second, unix_ns: second }
    }

    const fn up(index: u32) -> Seen {
        Seen { index, is_up: true }
    }

    const fn down(index: u32) -> Seen {
        Seen { index, is_up: false }
    }

    fn watching(index: u32) -> Presence {
        let mut presence = Presence::new();
        assert_eq!(presence.look(Some(up(index)), None, at(1)), Step::Bind);
        assert_eq!(presence.bound(at(1)), None, "there from the first look on");
        presence
    }

    #[test]
    fn an_interface_that_stays_takes_no_step() {
        let mut presence = watching(3);
        assert_eq!(presence.look(Some(up(3)), None, at(2)), Step::Stay);
        assert_eq!((presence.state(), presence.gaps().0), (InterfaceState::Watching, 0));
    }

    #[test]
    fn down_and_up_is_a_gap_from_the_captures_word_to_the_new_binding() {
        let mut presence = watching(3);
        let lost = Step::Lost(InterfaceState::Down, at(5));
        assert_eq!(presence.look(Some(down(3)), Some(at(5)), at(6)), lost);
        assert_eq!(presence.look(Some(down(3)), None, at(7)), Step::Stay);
        assert_eq!(presence.missed_since(), Some(at(5)));
        assert_eq!(presence.look(Some(up(3)), None, at(8)), Step::Bind);
        let gap = Gap { start: at(5), end: at(9), reason: "down" };
        assert_eq!(presence.bound(at(9)), Some(gap));
        assert_eq!(presence.gaps(), (1, Some(gap)));
    }

    #[test]
    fn one_that_came_back_between_two_looks_is_a_gap_all_the_same() {
        let mut presence = watching(3);
        assert_eq!(presence.look(Some(up(3)), Some(at(5)), at(6)), Step::Bind);
        assert_eq!(presence.bound(at(6)).unwrap().reason, "down");
        let mut presence = watching(3);
        assert_eq!(presence.look(Some(up(4)), None, at(6)), Step::Bind);
        assert_eq!(presence.bound(at(7)).unwrap().reason, "absent");
        assert_eq!(presence.index(), Some(4));
    }

    #[test]
    fn one_that_is_missing_from_the_start_is_waited_for() {
        let mut presence = Presence::new();
        let lost = Step::Lost(InterfaceState::Absent, at(1));
        assert_eq!(presence.look(None, None, at(1)), lost);
        assert_eq!(presence.look(None, None, at(2)), Step::Stay);
        let lost = Step::Lost(InterfaceState::Down, at(1));
        assert_eq!(presence.look(Some(down(7)), None, at(3)), lost);
        assert_eq!(presence.look(Some(up(7)), None, at(4)), Step::Bind);
        let gap = Gap { start: at(1), end: at(4), reason: "absent" };
        assert_eq!(presence.bound(at(4)), Some(gap));
    }

    #[test]
    fn a_binding_that_failed_is_tried_again() {
        let mut presence = watching(3);
        assert_eq!(presence.look(Some(up(4)), None, at(6)), Step::Bind);
        assert_eq!(presence.look(Some(up(4)), None, at(7)), Step::Bind);
        let mut new = Presence::new();
        assert_eq!(new.look(Some(up(4)), None, at(6)), Step::Bind);
        assert_eq!(new.look(Some(up(4)), None, at(7)), Step::Bind);
        assert_eq!(new.bound(at(8)).unwrap().start, at(7));
        assert_eq!(presence.look(None, None, at(8)), Step::Lost(InterfaceState::Absent, at(6)));
    }
}
