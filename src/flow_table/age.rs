//! Which flow was seen longest ago, per class: rings of lists, one list a tick of time.
//!
//! A flow stands in the list of the tick in which it was last seen **when it was put there**. A packet does not
//! move it: only when its list becomes the oldest one is the flow looked at again and put where it belongs now.
//! So a packet costs nothing here, and a flow is moved at most once in the time between two looks.
//!
//! Lists are circular and doubly linked; the first nodes are the lists' own heads, so that a flow can be taken out
//! without knowing in which list it stands.

/// A tick is 2^28 ns, about 0.27 s: how exact timeouts and "oldest" are.
pub(super) const TICK_SHIFT: u32 = 28;

/// Ticks that a ring covers, about 275 s. A flow that would stand further ahead stands in the last list and is
/// looked at too early instead.
const RING: u64 = 1024;

/// The classes that flows are kept apart in: each has its own timeout, or its own place in the eviction order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    Tcp,
    Udp,
    Other,
    Closed,
    DeniedTcp,
    DeniedUdp,
    DeniedOther,
    DeniedClosed,
}

impl Class {
    pub(super) const ALL: [Self; 8] = [
        Self::Tcp,
        Self::Udp,
        Self::Other,
        Self::Closed,
        Self::DeniedTcp,
        Self::DeniedUdp,
        Self::DeniedOther,
        Self::DeniedClosed,
    ];

    /// Denied first, then closed, then all others (architecture.md, the flow table's eviction order).
    pub(super) const EVICTION_ORDER: [&'static [Self]; 3] = [
        &[Self::DeniedTcp, Self::DeniedUdp, Self::DeniedOther, Self::DeniedClosed],
        &[Self::Closed],
        &[Self::Tcp, Self::Udp, Self::Other],
    ];

    pub(super) const fn is_denied(self) -> bool {
        matches!(self, Self::DeniedTcp | Self::DeniedUdp | Self::DeniedOther | Self::DeniedClosed)
    }

    pub(super) const fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::DeniedClosed)
    }
}

/// The tick in which a moment lies.
pub(super) const fn tick_of(monotonic_ns: u64) -> u64 {
    monotonic_ns >> TICK_SHIFT
}

#[derive(Debug, Clone, Copy)]
struct Links {
    previous: u32,
    next: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ring {
    /// No flow stands in a list of an earlier tick.
    oldest_tick: u64,
    /// No flow stands in a list of a later tick, and this one is less than a whole ring ahead.
    newest_tick: u64,
    length: usize,
}

/// The rings of all classes.
#[derive(Debug)]
pub(super) struct AgeQueues {
    /// First the heads, class by class, then one node for each slot.
    nodes: Vec<Links>,
    rings: [Ring; Class::ALL.len()],
}

#[expect(clippy::cast_possible_truncation, reason = "eight rings of 1024 heads")]
const HEADS: u32 = Class::ALL.len() as u32 * RING as u32;

#[expect(clippy::cast_possible_truncation, reason = "a remainder by 1024")]
const fn head_of(class: Class, tick: u64) -> u32 {
    class as u32 * RING as u32 + (tick % RING) as u32
}

impl AgeQueues {
    pub(super) fn new(max_flows: usize) -> Self {
        let mut nodes = Vec::with_capacity(HEADS as usize + max_flows);
        nodes.extend((0..HEADS).map(|head| Links { previous: head, next: head }));
        Self { nodes, rings: [Ring::default(); Class::ALL.len()] }
    }

    /// Says whether no flow stands in any list.
    pub(super) fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.length == 0)
    }

    /// Takes all flows out of the lists they stand in.
    pub(super) fn clear(&mut self) {
        *self = Self::new(0);
    }

    fn ring(&mut self, class: Class) -> &mut Ring {
        let [tcp, udp, other, closed, denied_tcp, denied_udp, denied_other, denied_closed] =
            &mut self.rings;
        match class {
            Class::Tcp => tcp,
            Class::Udp => udp,
            Class::Other => other,
            Class::Closed => closed,
            Class::DeniedTcp => denied_tcp,
            Class::DeniedUdp => denied_udp,
            Class::DeniedOther => denied_other,
            Class::DeniedClosed => denied_closed,
        }
    }

    fn links(&self, node: u32) -> Links {
        self.nodes.get(node as usize).copied().unwrap_or(Links { previous: node, next: node })
    }

    fn set_next(&mut self, node: u32, next: u32) {
        if let Some(links) = self.nodes.get_mut(node as usize) {
            links.next = next;
        }
    }

    fn set_previous(&mut self, node: u32, previous: u32) {
        if let Some(links) = self.nodes.get_mut(node as usize) {
            links.previous = previous;
        }
    }

    /// Puts a slot that stands nowhere into the list of a tick.
    pub(super) fn push(&mut self, class: Class, slot: u32, tick: u64) {
        let ring = self.ring(class);
        if ring.length == 0 {
            ring.oldest_tick = tick;
            ring.newest_tick = tick;
        }
        ring.length += 1;
        // A flow that changes its class may have been seen longer ago than all others of the new one.
        ring.oldest_tick =
            ring.oldest_tick.min(tick.max((ring.newest_tick + 1).saturating_sub(RING)));
        let tick = tick.clamp(ring.oldest_tick, ring.oldest_tick + RING - 1);
        ring.newest_tick = ring.newest_tick.max(tick);
        let (head, node) = (head_of(class, tick), HEADS + slot);
        let newest = self.links(head).previous;
        if node as usize >= self.nodes.len() {
            self.nodes.resize(node as usize + 1, Links { previous: node, next: node });
        }
        self.set_previous(node, newest);
        self.set_next(node, head);
        self.set_next(newest, node);
        self.set_previous(head, node);
    }

    /// Takes a slot out of the list it stands in.
    pub(super) fn remove(&mut self, class: Class, slot: u32) {
        let Links { previous, next } = self.links(HEADS + slot);
        self.set_next(previous, next);
        self.set_previous(next, previous);
        let ring = self.ring(class);
        ring.length = ring.length.saturating_sub(1);
    }

    /// Returns the first slot of the oldest list and the list's tick.
    pub(super) fn oldest(&mut self, class: Class) -> Option<(u32, u64)> {
        if self.ring(class).length == 0 {
            return None;
        }
        for _ in 0..RING {
            let tick = self.ring(class).oldest_tick;
            let head = head_of(class, tick);
            let first = self.links(head).next;
            if first != head {
                return Some((first - HEADS, tick));
            }
            self.ring(class).oldest_tick = tick + 1;
        }
        None
    }
}
