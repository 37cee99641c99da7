//! The address fields of a rule: `*`, an address, a CIDR prefix or a service tag; in a list only addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::{Refusal, shown};
use crate::nsg::{AddressPrefix, WellKnownTag};

const INVALID: &str = "SecurityRuleInvalidAddressPrefix";
const UNSUPPORTED_IN_LIST: &str = "SecurityRuleParameterContainsUnsupportedValue";
const OVERLAPPING: &str = "OverlappingSubnetsNotPermittedInSecurityRule";
const MIXED_FAMILIES: &str = "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies";

/// The longest name that is taken for a service tag; the published ones stay below 60 characters.
const MAX_TAG_LENGTH: usize = 128;

/// Reads the value of a singular field. A name is taken for a service tag; whether such a tag exists is decided
/// where the tags are known.
pub(super) fn single(text: &str) -> Result<AddressPrefix, Refusal> {
    if super::is_any(text) {
        Ok(AddressPrefix::Any)
    } else if is_tag_name(text) {
        Ok(AddressPrefix::ServiceTag(text.to_owned()))
    } else {
        network(text).map(AddressPrefix::Network)
    }
}

/// Reads one element of a plural field, where Azure takes neither `*` nor tags.
pub(super) fn listed(text: &str) -> Result<IpNet, Refusal> {
    if super::is_any(text) || is_tag_name(text) {
        let refusal =
            Refusal::new(format!("`{}` can not stand in a list of prefixes", shown(text)));
        let hint = "give a tag or `*` alone in the singular field, in a rule of its own";
        return Err(refusal.arm(UNSUPPORTED_IN_LIST).hint(hint));
    }
    network(text)
}

/// Reads an address or a prefix. Bits beyond the prefix length are refused, never cut off: the writer meant either
/// the address or the network, and only he knows which.
pub(super) fn network(text: &str) -> Result<IpNet, Refusal> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let invalid = || {
        Refusal::new(format!("`{}` is not an address, a CIDR prefix or a service tag", shown(text)))
            .arm(INVALID)
    };
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(if text.contains(',') {
            invalid().hint("this field takes one value: give a list in the plural field")
        } else if is_dash_range(text) {
            invalid().hint("write a range of addresses as CIDR prefixes in the plural field")
        } else {
            invalid()
        });
    };
    if network != network.trunc() {
        let message = format!("`{network}` has bits set beyond its prefix length");
        let hint = format!("write {} for the network or {} alone", network.trunc(), network.addr());
        return Err(Refusal::new(message).arm(INVALID).hint(hint));
    }
    Ok(network)
}

/// Refuses a list in which one prefix holds another.
pub(super) fn refuse_overlap(networks: &[IpNet]) -> Result<(), Refusal> {
    let mut sorted = networks.to_vec();
    sorted.sort_by_key(|network| (network.network(), network.prefix_len()));
    // Prefixes hold one another or are apart: an overlap always shows between neighbours in this order.
    let overlap =
        sorted.iter().zip(sorted.iter().skip(1)).find(|(wide, narrow)| wide.contains(*narrow));
    overlap.map_or(Ok(()), |(wide, narrow)| {
        let message = format!("overlapping prefixes {wide} and {narrow} in one list");
        Err(Refusal::new(message).arm(OVERLAPPING).hint("leave the narrower one out"))
    })
}

/// Refuses a rule that names IPv4 and IPv6 prefixes, on either side.
pub(super) fn refuse_mixed_families<'a>(
    prefixes: impl IntoIterator<Item = &'a AddressPrefix>,
) -> Result<(), Refusal> {
    let (mut v4, mut v6) = (None, None);
    for prefix in prefixes {
        match prefix {
            AddressPrefix::Network(network @ IpNet::V4(_)) => v4 = v4.or(Some(network)),
            AddressPrefix::Network(network @ IpNet::V6(_)) => v6 = v6.or(Some(network)),
            AddressPrefix::Any
            | AddressPrefix::ServiceTag(_)
            | AddressPrefix::ApplicationSecurityGroup(_) => {}
        }
    }
    match (v4, v6) {
        (Some(v4), Some(v6)) => {
            let message = format!("{v4} and {v6} belong to different address families");
            Err(Refusal::new(message).arm(MIXED_FAMILIES).hint("write one rule for each family"))
        }
        _ => Ok(()),
    }
}

/// The error for a tag that nothing stands behind.
pub(super) fn unknown_tag(tag: &str, hint: String) -> Refusal {
    Refusal::new(format!("unknown service tag `{}`", shown(tag))).arm(INVALID).hint(hint)
}

/// Says whether the text has the form of a tag name: a letter, then letters, digits, `.`, `_` and `-`.
fn is_tag_name(text: &str) -> bool {
    WellKnownTag::from_name(text).is_some()
        || (text.len() <= MAX_TAG_LENGTH
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)))
}

fn is_dash_range(text: &str) -> bool {
    text.split_once('-').is_some_and(|(first, last)| {
        [first, last].iter().all(|end| end.trim().parse::<IpAddr>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_field_takes_a_star_an_address_a_prefix_or_a_tag() {
        let net = |text: &str| Some(AddressPrefix::Network(text.parse().unwrap()));
        let tag = |text: &str| Some(AddressPrefix::ServiceTag(text.to_owned()));
        for (text, expected) in [
            ("*", Some(AddressPrefix::Any)),
            ("Any", Some(AddressPrefix::Any)),
            ("10.0.0.4", net("10.0.0.4/32")),
            ("0.0.0.0/0", net("0.0.0.0/0")),
            ("2001:db8::1", net("2001:db8::1/128")),
            ("::/0", net("::/0")),
            ("Storage.WestUS", tag("Storage.WestUS")),
            ("VIRTUAL_NETWORK", tag("VIRTUAL_NETWORK")),
            ("10.0.1.4/24", None),
            ("20.20.20.20/16", None),
            ("2001:db8::1/64", None),
            ("10.0.0.0/33", None),
            ("10.0.0.0/255.0.0.0", None),
            ("10.0.0.1-10.0.0.9", None),
            ("10.0.0.0/8,11.0.0.0/8", None),
            ("010.0.0.1", None),
            ("fe80::1%eth0", None),
            ("my subnet", None),
            ("", None),
        ] {
            assert_eq!(single(text).ok(), expected, "{text:?}");
        }
        assert!(listed("*").is_err() && listed("Internet").is_err() && listed("10.0.0.4").is_ok());
    }

    #[test]
    fn an_overlap_is_found_wherever_it_stands_in_the_list() {
        let list =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        for (texts, overlap) in [
            (["1.1.0.0/24", "9.0.0.0/8", "1.1.0.22/32"], true),
            (["1.1.0.22/32", "1.1.0.0/24", "9.0.0.0/8"], true),
            (["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"], true),
            (["10.0.0.1/32", "10.0.0.1/32", "1.0.0.0/8"], true),
            (["10.0.0.0/9", "10.128.0.0/9", "11.0.0.0/8"], false),
            (["0.0.0.0/0", "::/0", "::/0"], true),
        ] {
            assert_eq!(refuse_overlap(&list(&texts)).is_err(), overlap, "{texts:?}");
        }
    }
}
