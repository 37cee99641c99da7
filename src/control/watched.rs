//! The interfaces whose rules can be asked, and which of them a question is about.
//!
//! In come a question's local address and, where it says so, an interface's name; out goes the one interface that is
//! meant, or an error that names the choices. The values behind it are kept up to date by their owner.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::verify::VerifyError;
use crate::classifier::Policy;

/// One interface that is watched.
#[derive(Debug)]
pub struct Watched {
    /// Its name.
    pub interface: String,
    /// Its addresses, as of now.
    pub addresses: ArcSwap<Vec<IpNet>>,
    /// Its rules in force.
    pub policy: Arc<ArcSwap<Policy>>,
}

impl Watched {
    fn has(&self, address: IpAddr) -> bool {
        self.addresses.load().iter().any(|network| network.addr() == address)
    }
}

/// Finds the interface that a question is about: the one it names, else the one that is named as Azure's network
/// interface is, else the one that has the local address, else the only one.
///
/// # Errors
/// The named one is not watched; or several are watched, and not exactly one has the address.
pub fn choose<'a>(
    watched: &'a [Watched],
    named: Option<&str>,
    azure_name: Option<&str>,
    local: IpAddr,
) -> Result<&'a Watched, VerifyError> {
    let all = || watched.iter().map(|it| it.interface.clone()).collect();
    let unclear = |reason| Err(VerifyError::WhichInterface { reason, watched: all() });
    if let Some(name) = named {
        let found = watched.iter().find(|it| it.interface == name);
        let missing = || VerifyError::NoSuchInterface { name: name.to_owned(), watched: all() };
        return found.ok_or_else(missing);
    }
    // Azure's name is seldom the one that the interface has here: one that is not known says nothing.
    let has_name = |name: &str| watched.iter().find(|it| it.interface.eq_ignore_ascii_case(name));
    if let Some(found) = azure_name.and_then(has_name) {
        return Ok(found);
    }
    let mut owners = watched.iter().filter(|it| it.has(local));
    match (owners.next(), owners.next(), watched) {
        (Some(owner), None, _) => Ok(owner),
        (_, _, [only]) => Ok(only),
        (Some(_), Some(_), _) => {
            unclear(format!("more than one interface has the address {local}"))
        }
        (None, ..) => unclear(format!("no interface that is watched has the address {local}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nsg::AppliedRules;

    fn watched(interface: &str, addresses: &[&str]) -> Watched {
        let policy = Policy::compile(AppliedRules::default(), 1).unwrap();
        let addresses: Vec<IpNet> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        Watched {
            interface: interface.to_owned(),
            addresses: ArcSwap::from_pointee(addresses),
            policy: Arc::new(ArcSwap::from_pointee(policy)),
        }
    }

    #[test]
    fn a_question_is_about_the_named_interface_else_the_owner_of_the_address_else_the_only_one() {
        let two = [
            watched("eth0", &["10.0.0.4/24", "fd00::4/64", "10.9.9.9/32"]),
            watched("eth1", &["10.0.1.4/24", "10.9.9.9/32"]),
        ];
        let by_names = |watched, named, azure_name, local: &str| {
            choose(watched, named, azure_name, local.parse().unwrap())
                .map(|it| it.interface.clone())
                .map_err(|error| error.to_string())
        };
        let name = |watched, named, local| by_names(watched, named, None, local);
        assert_eq!(name(&two, Some("eth1"), "10.0.0.4").as_deref(), Ok("eth1"));
        assert_eq!(by_names(&two, None, Some("ETH1"), "10.0.0.4").as_deref(), Ok("eth1"));
        assert_eq!(by_names(&two, Some("eth0"), Some("eth1"), "192.0.2.1").as_deref(), Ok("eth0"));
        assert_eq!(by_names(&two, None, Some("web-nic"), "10.0.1.4").as_deref(), Ok("eth1"));
        assert_eq!(name(&two, None, "10.0.1.4").as_deref(), Ok("eth1"));
        assert_eq!(name(&two, None, "fd00::4").as_deref(), Ok("eth0"));
        assert_eq!(name(&two[..1], None, "192.0.2.1").as_deref(), Ok("eth0"));
        for (named, local, reason) in [
            (Some("eth2"), "10.0.0.4", "the interface `eth2` is not watched"),
            (None, "10.0.0.5", "no interface that is watched has the address 10.0.0.5"),
            (None, "10.9.9.9", "more than one interface has the address 10.9.9.9"),
        ] {
            let expected = format!("{reason}; name one of eth0, eth1 as `interface`");
            assert_eq!(name(&two, named, local), Err(expected));
        }
    }
}
