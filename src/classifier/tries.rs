//! The tries of one direction, in the form that suits how finely the rules cut the lines.
//!
//! A few wide steps are fast while their blocks fit the processor's caches; many narrow ones take less memory, and cuts
//! that are counted the least. The form is chosen once, by what it would take.

use std::net::IpAddr;

use super::columns::Columns;
use super::cuts::Cuts;
use super::deep_trie::DeepTrie;
use super::flat::Flat;
use super::line::{Line, Lines};
use super::long_trie::LongTrie;
use super::trie::Trie;

/// Finds the class of a value.
pub(super) trait FindClass<V>: Sized + Send + Sync {
    /// Builds what is needed for a line; `None` where the form can not hold it.
    fn build(line: &Line<V>) -> Option<Self>;

    /// Returns the class of a value.
    fn find(&self, value: V) -> u32;

    /// Returns the bytes in use besides its own.
    fn bytes(&self) -> usize;
}

/// What finds the classes of each dimension.
#[derive(Debug)]
pub(super) struct Tries<V4, V6, P, S> {
    pub(super) source: Side<V4, V6>,
    pub(super) destination: Side<V4, V6>,
    pub(super) service: P,
    /// `None` where no rule looks at source ports.
    pub(super) source_port: Option<S>,
}

/// The addresses of one side, source or destination.
#[derive(Debug)]
pub(super) struct Side<V4, V6> {
    v4: Addresses<V4>,
    v6: Addresses<V6>,
}

/// The addresses of one family.
#[derive(Debug)]
struct Addresses<T> {
    /// `None` where all are of one class.
    trie: Option<T>,
    /// The class of the first address.
    first: u32,
}

/// For few prefixes and ports.
pub(super) type Small = Tries<Trie<4>, LongTrie<u16>, Trie<2>, Trie<2>>;
/// For prefixes that lie apart: counted in one step.
pub(super) type Scattered = Tries<Cuts<u16, 0>, LongTrie<u16>, Columns<u16>, Flat<u16>>;
/// For thousands of prefixes side by side.
pub(super) type Deep = Tries<DeepTrie, LongTrie<u16>, Columns<u16>, Flat<u16>>;
/// For more of them than 16 bits can number: a further step counts sixteen times as many, so four are enough for all.
pub(super) type Vast = Tries<Cuts<u32, 4>, LongTrie<u32>, Columns<u32>, Flat<u32>>;

/// The tries of one direction, in one of the forms.
pub(super) enum Form {
    Small(Small),
    Scattered(Scattered),
    Deep(Deep),
    Vast(Vast),
}

impl Form {
    /// Builds the form that suits the lines; `None` where they are cut into more blocks than can be numbered.
    pub(super) fn build(lines: &Lines) -> Option<Self> {
        if let Some(small) = Small::build(lines) {
            return Some(Self::Small(small));
        }
        let sides = [&lines.source_v4, &lines.destination_v4];
        if sides.into_iter().any(|line| line.runs.len() > usize::from(u16::MAX)) {
            return Vast::build(lines).map(Self::Vast);
        }
        Scattered::build(lines)
            .map(Self::Scattered)
            .or_else(|| Deep::build(lines).map(Self::Deep))
            .or_else(|| Vast::build(lines).map(Self::Vast))
    }
}

impl<V4, V6, P, S> Tries<V4, V6, P, S>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
    S: FindClass<u32>,
{
    /// Builds the tries of the lines; `None` where this form can not hold them.
    pub(super) fn build(lines: &Lines) -> Option<Self> {
        // IPv4 first: it is there that a form does not suit, and the rest would have been built in vain.
        let source_v4 = Addresses::build(&lines.source_v4)?;
        let destination_v4 = Addresses::build(&lines.destination_v4)?;
        let source_port = match &lines.source_port {
            None => None,
            Some(line) => Some(S::build(line)?),
        };
        Some(Self {
            source: Side { v4: source_v4, v6: Addresses::build(&lines.source_v6)? },
            destination: Side { v4: destination_v4, v6: Addresses::build(&lines.destination_v6)? },
            service: P::build(&lines.service)?,
            source_port,
        })
    }

    /// Returns the bytes in use besides its own.
    pub(super) fn bytes(&self) -> usize {
        self.source.bytes()
            + self.destination.bytes()
            + self.service.bytes()
            + self.source_port.as_ref().map_or(0, FindClass::bytes)
    }
}

impl<T> Addresses<T> {
    /// `None` where the form can not hold the line.
    fn build<V>(line: &Line<V>) -> Option<Self>
    where
        T: FindClass<V>,
    {
        let first = line.runs.first().map_or(0, |run| run.1);
        let trie = if line.is_cut() { Some(T::build(line)?) } else { None };
        Some(Self { trie, first })
    }

    #[inline(always)]
    fn find<V>(&self, address: V) -> u32
    where
        T: FindClass<V>,
    {
        match &self.trie {
            None => self.first,
            Some(trie) => trie.find(address),
        }
    }

    fn bytes<V>(&self) -> usize
    where
        T: FindClass<V>,
    {
        self.trie.as_ref().map_or(0, FindClass::bytes)
    }
}

impl<V4: FindClass<u32>, V6: FindClass<u128>> Side<V4, V6> {
    /// Returns the class of an IPv4 address.
    #[inline]
    pub(super) fn v4(&self, address: u32) -> u32 {
        self.v4.find(address)
    }

    /// Returns the class of an IPv6 address.
    #[inline(always)]
    pub(super) fn v6(&self, address: u128) -> u32 {
        self.v6.find(address)
    }

    /// Returns the class of an address of either family.
    #[cold]
    pub(super) fn either(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => self.v4(address.to_bits()),
            IpAddr::V6(address) => self.v6(address.to_bits()),
        }
    }

    fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes()
    }
}
