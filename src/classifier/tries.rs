//! The tries of one direction, in the form that suits how finely the rules cut the lines.
//!
//! A few wide steps are fast while their blocks fit the processor's caches; many narrow ones take less memory. The
//! form is chosen once, by what it would take.

use super::line::{Line, Lines};
use super::long_trie::LongTrie;
use super::trie::Trie;

/// Finds the class of a value.
pub(super) trait FindClass<V>: Sized + Send + Sync {
    /// Builds what is needed for a line; `None` where the form can not hold it.
    fn build(line: &Line<V>) -> Option<Self>;

    /// Returns the class of a value.
    fn find(&self, value: V) -> u32;

    /// Returns the bytes in use.
    fn bytes(&self) -> usize;
}

/// One trie for each dimension.
#[derive(Debug)]
pub(super) struct Tries<V4, V6, P> {
    source_v4: V4,
    source_v6: V6,
    destination_v4: V4,
    destination_v6: V6,
    service: P,
    source_port: P,
}

/// Four steps of 8 bits for an IPv4 address, two for a port.
type SmallV4 = Trie<u16, 3, 0>;
/// 16 bits, 8, and twice 4.
type DeepV4 = Trie<u16, 1, 2>;
/// 16 bits, and four times 4.
type NarrowV4<C> = Trie<C, 0, 4>;

/// For few prefixes: all of it stays in the nearest caches.
pub(super) type Small = Tries<SmallV4, LongTrie<u16>, Trie<u16, 1, 0>>;
/// For thousands of prefixes.
pub(super) type Deep = Tries<DeepV4, LongTrie<u16>, Trie<u16, 1, 0>>;
/// For more prefixes, or such as are scattered widely.
pub(super) type Narrow<C> = Tries<NarrowV4<C>, LongTrie<C>, Trie<C, 0, 2>>;

/// The small form may take so many bytes for IPv4 addresses ...
const SMALL_BYTES: usize = 256 << 10;
/// ... the deep one so many.
const DEEP_BYTES: usize = 2 << 20;

/// The tries of one direction, in one of the forms.
pub(super) enum Form {
    Small(Small),
    Deep(Deep),
    Narrow(Narrow<u16>),
    /// As narrow, for more blocks than 16 bits can number.
    Vast(Narrow<u32>),
}

impl Form {
    /// Builds the form that suits the lines; `None` where they are cut into more blocks than can be numbered.
    pub(super) fn build(lines: &Lines) -> Option<Self> {
        let bytes =
            |most: fn(&Line<u32>) -> usize| most(&lines.source_v4) + most(&lines.destination_v4);
        if bytes(SmallV4::most_bytes) <= SMALL_BYTES
            && let Some(small) = Small::build(lines)
        {
            return Some(Self::Small(small));
        }
        if bytes(DeepV4::most_bytes) <= DEEP_BYTES
            && let Some(deep) = Deep::build(lines)
        {
            return Some(Self::Deep(deep));
        }
        if let Some(narrow) = Narrow::build(lines) {
            return Some(Self::Narrow(narrow));
        }
        Narrow::build(lines).map(Self::Vast)
    }
}

impl<V4, V6, P> Tries<V4, V6, P>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
{
    /// Builds the tries of the lines; `None` where this form can not hold them.
    pub(super) fn build(lines: &Lines) -> Option<Self> {
        Some(Self {
            source_v4: V4::build(&lines.source_v4)?,
            source_v6: V6::build(&lines.source_v6)?,
            destination_v4: V4::build(&lines.destination_v4)?,
            destination_v6: V6::build(&lines.destination_v6)?,
            service: P::build(&lines.service)?,
            source_port: P::build(&lines.source_port)?,
        })
    }
}

/// Finds the class of a packet's value in each dimension.
pub(super) trait FindClasses: Send + Sync {
    /// Returns the class of a source address.
    fn source_v4(&self, address: u32) -> u32;

    /// Returns the class of a source address.
    fn source_v6(&self, address: u128) -> u32;

    /// Returns the class of a destination address.
    fn destination_v4(&self, address: u32) -> u32;

    /// Returns the class of a destination address.
    fn destination_v6(&self, address: u128) -> u32;

    /// Returns the class of the place of a protocol and a destination port.
    fn service(&self, place: u32) -> u32;

    /// Returns the class of the place of a source port.
    fn source_port(&self, place: u32) -> u32;

    /// Returns the bytes in use.
    fn bytes(&self) -> usize;
}

impl<V4, V6, P> FindClasses for Tries<V4, V6, P>
where
    V4: FindClass<u32>,
    V6: FindClass<u128>,
    P: FindClass<u32>,
{
    #[inline]
    fn source_v4(&self, address: u32) -> u32 {
        self.source_v4.find(address)
    }

    #[inline]
    fn source_v6(&self, address: u128) -> u32 {
        self.source_v6.find(address)
    }

    #[inline]
    fn destination_v4(&self, address: u32) -> u32 {
        self.destination_v4.find(address)
    }

    #[inline]
    fn destination_v6(&self, address: u128) -> u32 {
        self.destination_v6.find(address)
    }

    #[inline]
    fn service(&self, place: u32) -> u32 {
        self.service.find(place)
    }

    #[inline]
    fn source_port(&self, place: u32) -> u32 {
        self.source_port.find(place)
    }

    fn bytes(&self) -> usize {
        self.source_v4.bytes()
            + self.source_v6.bytes()
            + self.destination_v4.bytes()
            + self.destination_v6.bytes()
            + self.service.bytes()
            + self.source_port.bytes()
    }
}
