//! The tries of one direction, in the form that suits how finely the rules cut the lines.
//!
//! A cell for every value of a few bits, step after step, is fast while all of them fit the processor's caches; where
//! cuts are many, it takes less memory, and no more time, to count the last few of them at once. The form is chosen once,
//! by what it would take.

use std::net::IpAddr;

use super::columns::Columns;
use super::cuts::Cuts;
use super::flat::Flat;
use super::line::{Line, Lines};
use super::long_trie::AnyLongTrie;
use super::near_trie::NearTrie;
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
pub(super) type Small = Tries<Trie<4>, AnyLongTrie<u16>, Trie<2>, Trie<2>>;
/// For prefixes that lie apart: counted in one step.
pub(super) type Scattered = Tries<Cuts<u16, 0>, AnyLongTrie<u16>, Columns<u16>, Flat<u16>>;
/// For thousands of prefixes side by side.
pub(super) type Deep = Tries<NearTrie, AnyLongTrie<u16>, Columns<u16>, Flat<u16>>;
/// For more of them than 16 bits can number, of not so many classes: counted in two steps.
pub(super) type Large = Tries<Cuts<u16, 1>, AnyLongTrie<u16>, Columns<u16>, Flat<u16>>;
/// For everything else: a further step counts sixteen times as many, so four are enough for all.
pub(super) type Vast = Tries<Cuts<u32, 4>, AnyLongTrie<u32>, Columns<u32>, Flat<u32>>;

/// The tries of one direction, in one of the forms.
pub(super) enum Form {
    Small(Small),
    Scattered(Scattered),
    Deep(Deep),
    Large(Large),
    Vast(Vast),
}

impl Form {
    /// Builds the form that suits the lines; `None` where they are cut into more blocks than can be numbered.
    pub(super) fn build(lines: &Lines) -> Option<Self> {
        if let Some(small) = Small::build(lines) {
            return Some(Self::Small(small));
        }
        if let Some(scattered) = Scattered::build(lines) {
            return Some(Self::Scattered(scattered));
        }
        let sides = [&lines.source_v4, &lines.destination_v4];
        let can_be_numbered = |line: &Line<u32>| u16::try_from(line.runs.len()).is_ok();
        if sides.into_iter().all(can_be_numbered)
            && let Some(deep) = Deep::build(lines)
        {
            return Some(Self::Deep(deep));
        }
        Large::build(lines).map(Self::Large).or_else(|| Vast::build(lines).map(Self::Vast))
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

    #[inline]
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
    #[inline]
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

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;
    use std::ops::Sub;

    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::classifier::leaf::{FarLeaf, NearLeaf};
    use crate::classifier::line::{Position, Run};
    use crate::classifier::long_trie::LongTrie;

    /// The first class of a line that stands behind others.
    const FIRST: u32 = 7;

    /// Makes a line that is cut at these places, with the classes behind them.
    fn line<P: Position>(cuts: &BTreeMap<P, u32>, last: P) -> Line<P> {
        let mut runs: Vec<Run<P>> = vec![(P::ZERO, FIRST)];
        for (&place, &class) in cuts {
            if place > P::ZERO && place <= last && runs.last().is_some_and(|run| run.1 != class) {
                runs.push((place, class));
            }
        }
        Line { runs, last, classes: FIRST..FIRST + 40 }
    }

    /// Compares what is found with what a search finds: at these values, and at the cuts and beside them.
    pub(in crate::classifier) fn agrees_at<P, F>(
        line: &Line<P>,
        values: impl IntoIterator<Item = P>,
    ) where
        P: Position + Debug + From<u32> + Sub<Output = P>,
        F: FindClass<P>,
    {
        let found = F::build(line).expect("the form can hold the line");
        let around = line.runs.iter().flat_map(|run| {
            let before = (run.0 > P::ZERO).then(|| run.0 - P::from(1));
            [before, Some(run.0), run.0.next()].into_iter().flatten()
        });
        let values = around.chain(values).chain([P::ZERO, line.last]);
        for value in values.filter(|&value| value <= line.last) {
            let run = line.runs.partition_point(|run| run.0 <= value) - 1;
            assert_eq!(found.find(value), line.runs[run].1, "{value:?} of {:?}", line.runs);
        }
    }

    fn agrees<P, F>(line: &Line<P>)
    where
        P: Position + Debug + From<u32> + Sub<Output = P>,
        F: FindClass<P>,
    {
        agrees_at::<P, F>(line, []);
    }

    /// Cuts far apart and cuts side by side.
    fn cuts(bits: u32) -> impl Strategy<Value = BTreeMap<u32, u32>> {
        let far = any::<u32>().prop_map(move |place| place >> (u32::BITS - bits));
        let near = (0u32..300).prop_map(|place| 0x2_0000 + 5 * place);
        btree_map(prop_oneof![far, near], FIRST..FIRST + 40, 0..60)
    }

    /// The first address of those that a provider gives to its customers.
    const PROVIDER: u128 = 0x2603_1000 << 96;
    /// Bits of them that are not the provider's.
    const CUSTOMERS: u32 = 104;

    /// Most cuts among the addresses of one provider, a few outside, and single hosts.
    fn long_cuts() -> impl Strategy<Value = BTreeMap<u128, u32>> {
        let network =
            |bits: u128, length: u32| bits & u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let customer = |bits: u128| PROVIDER | bits >> (u128::BITS - CUSTOMERS);
        let spread = (any::<u128>(), 24u32..=64)
            .prop_map(move |(bits, length)| network(customer(bits), length));
        let side_by_side = (any::<[bool; 2]>(), 0u128..400).prop_map(|(cluster, network)| {
            let cluster = cluster.map(u128::from);
            PROVIDER | cluster[0] << 99 | cluster[1] << 83 | network << 64
        });
        let outside =
            (any::<u128>(), 0u32..=16).prop_map(move |(bits, length)| network(bits, length));
        let end = PROVIDER + (1 << CUSTOMERS);
        let numbered = (any::<u128>(), 0u128..300)
            .prop_map(move |(bits, host)| network(customer(bits), 64) | host);
        let host = prop_oneof![
            4 => numbered,
            1 => any::<u128>().prop_map(customer),
            1 => any::<u128>(),
            2 => prop::sample::select(vec![
                1,
                PROVIDER,
                PROVIDER + 1,
                end - 1,
                end,
                u128::MAX - 1,
                u128::MAX
            ]),
        ];
        let class = || FIRST..FIRST + 40;
        let within = prop_oneof![
            btree_map(spread, class(), 0..100),
            btree_map(side_by_side, class(), 0..400),
        ];
        (within, btree_map(outside, class(), 0..10), btree_map(host, class(), 0..6)).prop_map(
            |(within, outside, hosts)| within.into_iter().chain(outside).chain(hosts).collect(),
        )
    }

    proptest! {
        #[test]
        fn every_form_finds_the_class_of_an_ipv4_address(cuts in cuts(32)) {
            let line = line(&cuts, u32::MAX);
            agrees::<_, Trie<4>>(&line);
            agrees::<_, Cuts<u16, 4>>(&line);
            agrees::<_, Cuts<u32, 4>>(&line);
            agrees::<_, NearTrie>(&line);
        }

        #[test]
        fn every_form_finds_the_class_of_a_port_on_every_page(cuts in cuts(18)) {
            let line = line(&cuts, (1 << 18) - 1);
            agrees::<_, Trie<2>>(&line);
            agrees::<_, Columns<u16>>(&line);
            agrees::<_, Columns<u32>>(&line);
        }

        #[test]
        fn every_form_finds_the_class_of_a_source_port(cuts in cuts(17)) {
            let line = line(&cuts, 1 << 16);
            agrees::<_, Trie<2>>(&line);
            agrees::<_, Flat<u16>>(&line);
        }

        #[test]
        fn a_long_trie_finds_the_class_of_an_ipv6_address(cuts in long_cuts()) {
            let line = line(&cuts, u128::MAX);
            prop_assume!(line.is_cut());
            agrees::<_, LongTrie<NearLeaf>>(&line);
            agrees::<_, LongTrie<FarLeaf<u16>>>(&line);
            agrees::<_, LongTrie<FarLeaf<u32>>>(&line);
        }
    }

    #[test]
    fn a_trie_of_more_blocks_than_its_cache_holds_is_left_to_another_form() {
        let scattered = line(&(0..600).map(|n| (n << 22, FIRST + n % 40)).collect(), u32::MAX);
        agrees::<_, Cuts<u16, 0>>(&scattered);
        let many = line(&(0..600).map(|n| (n << 20 | n, FIRST + n % 40)).collect(), u32::MAX);
        assert!(Trie::<4>::build(&many).is_none());
        agrees::<_, NearTrie>(&many);
    }

    #[test]
    fn a_host_at_the_end_of_the_address_space_has_no_network_behind_it() {
        let networks = (0..60u128).map(|n| PROVIDER + (n << 84));
        let hosts = [1, 2].map(|host| (u128::MAX << 84) + host);
        let cuts = networks.chain(hosts).zip((FIRST..FIRST + 40).cycle());
        let line = line(&cuts.collect(), u128::MAX);
        agrees::<_, LongTrie<NearLeaf>>(&line);
        agrees::<_, LongTrie<FarLeaf<u16>>>(&line);
    }

    #[test]
    fn hosts_with_low_numbers_all_over_the_address_space_are_found() {
        let hosts = (1..=40u128).flat_map(|n| [n << 121 | 1, n << 121 | 2, n << 121 | 0x1000]);
        let line = line(&hosts.zip((FIRST..FIRST + 40).cycle()).collect(), u128::MAX);
        agrees::<_, LongTrie<NearLeaf>>(&line);
        agrees::<_, LongTrie<FarLeaf<u16>>>(&line);
    }

    #[test]
    fn many_ipv6_networks_side_by_side_are_left_to_leaves_of_many_cuts() {
        let networks = |count, bits| {
            let network = |n: u32| (PROVIDER + (u128::from(3 * n) << bits), FIRST + n % 40);
            line(&(0..count).map(network).collect(), u128::MAX)
        };
        let near = networks(60_000, 80);
        assert!(matches!(AnyLongTrie::<u16>::build(&near), Some(AnyLongTrie::Near(_))));
        agrees::<_, AnyLongTrie<u16>>(&near);
        let far = networks(2_000, 92);
        assert!(matches!(AnyLongTrie::<u32>::build(&far), Some(AnyLongTrie::Far(_))));
        agrees::<_, AnyLongTrie<u32>>(&far);
    }

    #[test]
    fn numbers_of_sixteen_bits_that_do_not_suffice_are_refused() {
        let cuts = (0..70_000u32).map(|n| (n << 12, FIRST + n % 2)).collect();
        let mut many = line(&cuts, u32::MAX);
        many.runs.iter_mut().zip(0..).for_each(|(run, class)| run.1 = class);
        many.classes = 0..70_001;
        assert!(NearTrie::build(&many).is_none());
        assert!(Cuts::<u16, 4>::build(&many).is_none());
        agrees::<_, Cuts<u32, 4>>(&many);
        // It is the classes that are too many, not the cuts.
        let few = line(&(0..70_000u32).map(|n| (n << 12, FIRST + n % 2)).collect(), u32::MAX);
        agrees::<_, Cuts<u16, 1>>(&few);
    }
}
