//! What a service tag's name stands for. Names compare in any letter case; an unknown name is never an empty set.
//!
//! In come the virtual network's prefixes and the tags of the published file that rules name; out go sets of addresses.
//! Reads no file.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::AddressSet;
use super::platform::{INSTANCE_METADATA_ADDRESS, LICENSING_ADDRESSES};

/// The address that Azure's host answers on in every virtual network: probes, DNS, the VM agent's wire server.
/// Source: Microsoft, *What is IP address 168.63.129.16*.
pub const AZURE_HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// What is neither public nor the virtual network's: no part of `Internet` (architecture.md decision 7; the real
/// expansion starts at 1.0.0.0/8, so 0.0.0.0/8 is out as well).
const NOT_INTERNET_V4: [&str; 10] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// The one block of IPv6 from which global unicast addresses are given out (RFC 4291).
const GLOBAL_UNICAST_V6: &str = "2000::/3";

/// A tag whose meaning does not come from the published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WellKnownTag {
    /// The virtual network's address space, and the host address with it.
    VirtualNetwork,
    /// The public address space outside the virtual network.
    Internet,
    /// The address that health probes come from.
    AzureLoadBalancer,
    /// Azure's name server: the host address.
    AzurePlatformDns,
    /// The instance metadata service.
    AzurePlatformImds,
    /// Licensing and key management for Windows.
    AzurePlatformLkm,
}

impl WellKnownTag {
    /// Finds the tag by its name, in any letter case and in the classic spelling with underscores.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let is = |word: &str| {
            name.bytes()
                .filter(|byte| *byte != b'_')
                .map(|byte| byte.to_ascii_lowercase())
                .eq(word.bytes())
        };
        [
            ("virtualnetwork", Self::VirtualNetwork),
            ("internet", Self::Internet),
            ("azureloadbalancer", Self::AzureLoadBalancer),
            ("azureplatformdns", Self::AzurePlatformDns),
            ("azureplatformimds", Self::AzurePlatformImds),
            ("azureplatformlkm", Self::AzurePlatformLkm),
        ]
        .into_iter()
        .find_map(|(word, tag)| is(word).then_some(tag))
    }

    /// Says whether rules reach traffic by this tag that is exempt from them otherwise.
    #[must_use]
    pub const fn is_platform(self) -> bool {
        matches!(self, Self::AzurePlatformDns | Self::AzurePlatformImds | Self::AzurePlatformLkm)
    }
}

/// The service tags that the rules in force name, and the addresses each stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTags {
    virtual_network: Arc<AddressSet>,
    internet: Arc<AddressSet>,
    internet_is_supplied: bool,
    azure_host: Arc<AddressSet>,
    instance_metadata: Arc<AddressSet>,
    licensing: Arc<AddressSet>,
    published: HashMap<String, Arc<AddressSet>>,
}

impl ServiceTags {
    /// Makes the well-known tags from the virtual network's prefixes. The host address is always part of the
    /// virtual network, as in Azure's own expansion (nsg-semantics.md section 6).
    #[must_use]
    pub fn new(virtual_network: impl IntoIterator<Item = IpNet>) -> Self {
        let host = IpNet::from(IpAddr::V4(AZURE_HOST_ADDRESS));
        let virtual_network: AddressSet = virtual_network.into_iter().chain([host]).collect();
        let internet = public_addresses().without(&virtual_network);
        Self {
            virtual_network: Arc::new(virtual_network),
            internet: Arc::new(internet),
            internet_is_supplied: false,
            azure_host: Arc::new([host].into_iter().collect()),
            instance_metadata: Arc::new(addresses(&[INSTANCE_METADATA_ADDRESS])),
            licensing: Arc::new(addresses(&LICENSING_ADDRESSES)),
            published: HashMap::new(),
        }
    }

    /// Replaces the virtual network, and with it what `Internet` stands for where that was not supplied.
    #[must_use]
    pub fn with_virtual_network(self, prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let other = Self::new(prefixes);
        let virtual_network = other.virtual_network;
        let internet = if self.internet_is_supplied { self.internet } else { other.internet };
        Self { virtual_network, internet, ..self }
    }

    /// Replaces what `Internet` stands for by a supplied expansion, as effective rules show it.
    #[must_use]
    pub fn with_internet(mut self, prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        self.internet = Arc::new(prefixes.into_iter().collect());
        self.internet_is_supplied = true;
        self
    }

    /// Says whether what `Internet` stands for was supplied, and not derived from the virtual network.
    #[must_use]
    pub const fn internet_is_supplied(&self) -> bool {
        self.internet_is_supplied
    }

    /// Adds a tag of the published file.
    pub fn insert(&mut self, name: &str, addresses: AddressSet) {
        self.published.insert(name.to_ascii_lowercase(), Arc::new(addresses));
    }

    /// Returns what the tag stands for; `None` where the name is unknown, which is never the same as "no address".
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<AddressSet>> {
        match WellKnownTag::from_name(name) {
            Some(WellKnownTag::VirtualNetwork) => Some(&self.virtual_network),
            Some(WellKnownTag::Internet) => Some(&self.internet),
            Some(WellKnownTag::AzureLoadBalancer | WellKnownTag::AzurePlatformDns) => {
                Some(&self.azure_host)
            }
            Some(WellKnownTag::AzurePlatformImds) => Some(&self.instance_metadata),
            Some(WellKnownTag::AzurePlatformLkm) => Some(&self.licensing),
            None => self.published.get(&name.to_ascii_lowercase()),
        }
    }
}

impl Default for ServiceTags {
    /// The tags of a virtual network without any address space of its own.
    fn default() -> Self {
        Self::new([])
    }
}

fn addresses(list: &[Ipv4Addr]) -> AddressSet {
    list.iter().map(|address| IpNet::from(IpAddr::V4(*address))).collect()
}

fn public_addresses() -> AddressSet {
    let parse = |text: &&str| text.parse::<IpNet>().ok();
    let not_public: AddressSet = NOT_INTERNET_V4.iter().filter_map(parse).collect();
    let v4: AddressSet = ["0.0.0.0/0"].iter().filter_map(parse).collect();
    let v6: AddressSet = [GLOBAL_UNICAST_V6].iter().filter_map(parse).collect();
    v4.without(&not_public).union(&v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> ServiceTags {
        ServiceTags::new(["10.0.0.0/16".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()])
    }

    #[test]
    fn internet_is_the_public_space_outside_the_virtual_network() {
        let tags = tags();
        let internet = tags.get("Internet").unwrap();
        for (address, inside) in [
            ("13.107.21.200", true),
            ("203.0.113.9", true),
            ("10.0.0.5", false),
            ("10.1.0.5", false),
            ("172.31.0.100", false),
            ("100.64.0.1", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("0.1.2.3", false),
            ("255.255.255.255", false),
            ("2001:db8:1::5", false),
            ("2001:db8:2::5", true),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(internet.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn the_virtual_network_holds_the_host_address() {
        let address = AZURE_HOST_ADDRESS.into();
        assert!(tags().get("virtualnetwork").unwrap().contains(address));
        assert!(tags().get("AZURE_LOADBALANCER").unwrap().contains(address));
    }

    #[test]
    fn a_tag_nobody_supplied_is_unknown_and_not_empty() {
        assert!(tags().get("CorpNetSaw").is_none());
        let mut tags = tags();
        tags.insert("Storage.EastUS", AddressSet::default());
        assert!(tags.get("storage.eastus").is_some());
    }

    #[test]
    fn a_supplied_expansion_of_internet_replaces_the_complement() {
        let tags = tags().with_internet(["1.0.0.0/8".parse().unwrap()]);
        assert!(!tags.get("Internet").unwrap().contains("13.107.21.200".parse().unwrap()));
    }
}
