//! The interfaces of this machine (of this network namespace): their names, addresses, and which one to watch.
//!
//! A name comes in, or nothing; an [`Interface`] value goes out, as it was at that moment. Nothing is kept but in
//! [`Links`], which whoever looks for several interfaces keeps for that moment.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use pnet::datalink::{self, NetworkInterface};

use super::CaptureError;
use crate::packet::LinkType;

/// Routes of the calling thread's network namespace: `/proc/net` would be the main thread's.
const IPV4_ROUTES: &str = "/proc/thread-self/net/route";
const IPV6_ROUTES: &str = "/proc/thread-self/net/ipv6_route";

/// Route flags of the kernel (`linux/route.h`).
const RTF_UP: u32 = 0x0001;
const RTF_REJECT: u32 = 0x0200;

/// Bare IP packets, as mobile modems give them (`linux/if_arp.h`; not in libc).
const ARPHRD_RAWIP: u16 = 519;

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its index, which stays when the name changes.
    pub index: u32,
    /// Its Ethernet address, where it has one.
    pub mac: Option<[u8; 6]>,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// Whether it is the loopback, on which each packet would be captured twice.
    pub is_loopback: bool,
    /// What its frames begin with.
    pub link: LinkType,
}

impl Interface {
    /// Returns the networks the interface is part of, sorted, without link-local and multicast ones.
    #[must_use]
    pub fn connected_prefixes(&self) -> Vec<IpNet> {
        let networks: BTreeSet<IpNet> = self
            .addresses
            .iter()
            .filter(|network| !is_link_local(network.addr()) && !network.addr().is_multicast())
            .map(IpNet::trunc)
            .collect();
        networks.into_iter().collect()
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Returns the interface of this name.
///
/// # Errors
///
/// No such interface, or one whose frames are not understood.
pub fn find(name: &str) -> Result<Interface, CaptureError> {
    let links = Links::read()?;
    if let Some(interface) = links.find(name)? {
        return Ok(interface);
    }
    Err(CaptureError::NoSuchInterface { name: name.to_owned(), existing: links.names() })
}

/// All interfaces, as they were when they were read.
#[derive(Debug)]
pub struct Links {
    interfaces: Vec<NetworkInterface>,
    /// The kernel's ARPHRD numbers by name, which pnet does not tell.
    hardware_types: HashMap<String, u16>,
}

impl Links {
    /// Reads the interfaces that there are.
    ///
    /// # Errors
    ///
    /// What the system says of the query.
    pub fn read() -> Result<Self, CaptureError> {
        let entries = nix::ifaddrs::getifaddrs()
            .map_err(|errno| CaptureError::from_errno("list the interfaces' addresses", errno))?;
        let hardware_types = entries
            .filter_map(|entry| {
                Some((entry.interface_name, entry.address?.as_link_addr()?.hatype()))
            })
            .collect();
        Ok(Self { interfaces: datalink::interfaces(), hardware_types })
    }

    /// Returns the names that there are, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.interfaces.iter().map(|it| it.name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Finds an interface by its name; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Its frames are not understood.
    pub fn find(&self, name: &str) -> Result<Option<Interface>, CaptureError> {
        let Some(interface) = self.interfaces.iter().find(|interface| interface.name == name)
        else {
            return Ok(None);
        };
        // Without a number it went away while the list was read.
        let Some(&hardware_type) = self.hardware_types.get(name) else { return Ok(None) };
        let link = link_type(hardware_type).ok_or_else(|| CaptureError::UnsupportedLink {
            name: name.to_owned(),
            hardware_type,
        })?;
        Ok(Some(describe(interface, link)))
    }
}

/// Returns the interface of the default route: of IPv4 if there is one, else of IPv6; the lowest metric wins.
///
/// # Errors
///
/// No default route, unreadable route tables, or what [`find`] says of the interface.
pub fn default_route() -> Result<Interface, CaptureError> {
    let name = default_ipv4_interface(&read_routes(IPV4_ROUTES)?)
        .or(default_ipv6_interface(&read_routes(IPV6_ROUTES)?))
        .ok_or(CaptureError::NoDefaultRoute)?;
    find(&name)
}

/// Reads a route table; one that is missing (a kernel without IPv6) is empty.
fn read_routes(path: &str) -> Result<String, CaptureError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(CaptureError::Io { operation: format!("read {path}"), source }),
    }
}

/// Columns: interface, destination, gateway, flags, reference count, use, metric (decimal), mask, ...
fn default_ipv4_interface(table: &str) -> Option<String> {
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.next()?;
        let destination = fields.next()?;
        let flags = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let mask = fields.next()?;
        let is_default = destination == "00000000" && mask == "00000000";
        (is_default && is_usable(flags)).then(|| (metric, name.to_owned()))
    };
    let (_, name) = table.lines().skip(1).filter_map(route).min_by_key(|(metric, _)| *metric)?;
    Some(name)
}

/// Columns: destination, its prefix length, source, its prefix length, next hop, metric, reference count, use,
/// flags (numbers in hexadecimal), interface.
fn default_ipv6_interface(table: &str) -> Option<String> {
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let destination = fields.next()?;
        let prefix_length = fields.next()?;
        let metric = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(2)?, 16).ok()?;
        let name = fields.next()?;
        let is_default = prefix_length == "00" && destination.bytes().all(|digit| digit == b'0');
        (is_default && is_usable(flags)).then(|| (metric, name.to_owned()))
    };
    let (_, name) = table.lines().filter_map(route).min_by_key(|(metric, _)| *metric)?;
    Some(name)
}

const fn is_usable(flags: u32) -> bool {
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0
}

fn describe(interface: &NetworkInterface, link: LinkType) -> Interface {
    let addresses = interface
        .ips
        .iter()
        .filter_map(|network| IpNet::new(network.ip(), network.prefix()).ok())
        .collect();
    Interface {
        name: interface.name.clone(),
        index: interface.index,
        mac: interface.mac.map(|mac| mac.octets()),
        addresses,
        is_up: interface.is_up(),
        is_loopback: interface.is_loopback(),
        link,
    }
}

/// Says what the frames of an interface of this ARPHRD number begin with.
fn link_type(hardware_type: u16) -> Option<LinkType> {
    match hardware_type {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Some(LinkType::Ethernet),
        libc::ARPHRD_NONE | libc::ARPHRD_PPP | ARPHRD_RAWIP => Some(LinkType::Ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4_TABLE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0
eth2\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
";

    const IPV6_TABLE: &str = "\
fd770000000000000000000000000000 40 00000000000000000000000000000000 00 \
00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth3
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    fn the_usable_default_route_with_the_lowest_metric_wins() {
        assert_eq!(default_ipv4_interface(IPV4_TABLE).as_deref(), Some("eth0"));
        assert_eq!(default_ipv6_interface(IPV6_TABLE).as_deref(), Some("eth3"));
    }

    #[test]
    fn a_table_without_a_default_route_or_with_torn_lines_names_nothing() {
        let header = IPV4_TABLE.lines().next().unwrap();
        for table in ["", header, &format!("{header}\neth0\t00000000\t0100000A\n")] {
            assert_eq!(default_ipv4_interface(table), None);
        }
        for table in
            ["", "00000000000000000000000000000000 00 0\n", IPV6_TABLE.lines().last().unwrap()]
        {
            assert_eq!(default_ipv6_interface(table), None);
        }
    }

    #[test]
    fn hardware_types_say_where_a_frame_begins() {
        assert_eq!(link_type(1), Some(LinkType::Ethernet));
        assert_eq!(link_type(772), Some(LinkType::Ethernet));
        for bare_ip in [512, 519, 65_534] {
            assert_eq!(link_type(bare_ip), Some(LinkType::Ip), "{bare_ip}");
        }
        for unknown in [0, 24, 776, 801, 803] {
            assert_eq!(link_type(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_loopback_is_found_by_its_name() {
        let loopback = find("lo").unwrap();
        assert!(loopback.is_loopback);
        assert_eq!(loopback.link, LinkType::Ethernet);
        assert!(loopback.index > 0);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names_there_are() {
        let error = find("no-such-if").unwrap_err();
        assert!(matches!(error, CaptureError::NoSuchInterface { .. }));
        let text = error.to_string();
        assert!(text.contains("`no-such-if`") && text.contains("lo"), "{text}");
    }

    #[test]
    fn connected_prefixes_are_networks_without_link_local_ones() {
        let addresses =
            ["10.1.2.3/24", "10.1.2.9/24", "169.254.3.4/16", "fe80::1/64", "fd77::5/64"];
        let interface = Interface {
            name: "eth0".to_owned(),
            index: 2,
            mac: None,
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            is_up: true,
            is_loopback: false,
            link: LinkType::Ethernet,
        };
        let expected: Vec<IpNet> =
            ["10.1.2.0/24", "fd77::/64"].iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(interface.connected_prefixes(), expected);
    }
}
