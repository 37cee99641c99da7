//! What there is once for each dimension of a packet: a line of classes, a trie, a set of rows.

/// The family of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

/// One value for each dimension; addresses have one for each family.
#[derive(Debug)]
pub(super) struct Dimensions<T> {
    pub(super) source_v4: T,
    pub(super) source_v6: T,
    pub(super) destination_v4: T,
    pub(super) destination_v6: T,
    /// Protocol and destination port together.
    pub(super) service: T,
    /// Not looked at where no rule names source ports.
    pub(super) source_port: T,
}

impl<T> Dimensions<T> {
    /// Makes another value of each.
    pub(super) fn map<U>(&self, of: impl Fn(&T) -> U) -> Dimensions<U> {
        Dimensions {
            source_v4: of(&self.source_v4),
            source_v6: of(&self.source_v6),
            destination_v4: of(&self.destination_v4),
            destination_v6: of(&self.destination_v6),
            service: of(&self.service),
            source_port: of(&self.source_port),
        }
    }

    /// Returns all six values.
    pub(super) fn all(&self) -> [&T; 6] {
        [
            &self.source_v4,
            &self.source_v6,
            &self.destination_v4,
            &self.destination_v6,
            &self.service,
            &self.source_port,
        ]
    }

    /// Returns the value for source addresses of the family.
    #[inline]
    pub(super) fn source(&self, family: Family) -> &T {
        match family {
            Family::Ipv4 => &self.source_v4,
            Family::Ipv6 => &self.source_v6,
        }
    }

    /// Returns the value for destination addresses of the family.
    #[inline]
    pub(super) fn destination(&self, family: Family) -> &T {
        match family {
            Family::Ipv4 => &self.destination_v4,
            Family::Ipv6 => &self.destination_v6,
        }
    }
}
