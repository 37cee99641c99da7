//! Which records are asked for: words in, a yes or no for each flow out.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::engine::FlowRecord;
use crate::flow::{Direction, Protocol};
use crate::nsg::{Access, RuleName};

/// What a query may cost for each record: values of all filters together.
const MOST_VALUES: usize = 64;

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No such parameter.
    #[error(
        "there is no parameter `{0}`; there are follow, last, since, until, and access, direction, protocol, ip, \
         port, rule, nsg, these also with not_ before them"
    )]
    Name(String),
    /// A value that the parameter can not have.
    #[error("`{value}` is no value for `{name}`; it takes {expected}")]
    Value {
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
    /// Too many values.
    #[error("more than {MOST_VALUES} filters")]
    TooMany,
}

impl FilterError {
    pub(super) fn value(name: &str, value: &str, expected: &'static str) -> Self {
        Self::Value { name: name.to_owned(), value: value.to_owned(), expected }
    }
}

/// A flow is asked for where it meets every filter that is named. A filter that is named more than once is met by any
/// of its values; one with `not_` before its name is met by flows that meet none of its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    values: usize,
    access: Wanted<Access>,
    direction: Wanted<Direction>,
    protocol: Wanted<Protocol>,
    ip: Wanted<IpNet>,
    port: Wanted<u16>,
    rule: Wanted<RuleName>,
    nsg: Wanted<String>,
}

/// The values that one field may have, and those that it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted<T> {
    any_of: Vec<T>,
    none_of: Vec<T>,
}

impl<T> Default for Wanted<T> {
    fn default() -> Self {
        Self { any_of: Vec::new(), none_of: Vec::new() }
    }
}

impl<T> Wanted<T> {
    fn add(&mut self, negated: bool, value: T) {
        if negated { &mut self.none_of } else { &mut self.any_of }.push(value);
    }

    fn admits(&self, meets: impl Fn(&T) -> bool) -> bool {
        (self.any_of.is_empty() || self.any_of.iter().any(&meets))
            && !self.none_of.iter().any(&meets)
    }
}

impl EventFilter {
    /// Adds one value to the filter of this name.
    ///
    /// # Errors
    /// The name or the value is unknown, or there are more values than a query may have.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), FilterError> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(FilterError::TooMany);
        }
        let wrong = |expected| FilterError::value(name, value, expected);
        let (field, not) = match name.strip_prefix("not_") {
            Some(field) => (field, true),
            None => (name, false),
        };
        match field {
            "access" => self.access.add(not, value.parse().map_err(|_| wrong(ACCESS))?),
            "direction" => self.direction.add(not, value.parse().map_err(|_| wrong(DIRECTION))?),
            "protocol" => self.protocol.add(not, value.parse().map_err(|_| wrong(PROTOCOL))?),
            "ip" => self.ip.add(not, network(value).ok_or_else(|| wrong(NETWORK))?),
            "port" => self.port.add(not, value.parse().map_err(|_| wrong(PORT))?),
            "rule" => {
                let Ok(rule) = value.parse();
                self.rule.add(not, rule);
            }
            "nsg" => self.nsg.add(not, value.to_owned()),
            _ => return Err(FilterError::Name(name.to_owned())),
        }
        Ok(())
    }

    /// Says whether a flow is asked for. Addresses and ports count on either side.
    #[must_use]
    pub fn accepts(&self, flow: &FlowRecord) -> bool {
        let tuple = &flow.tuple;
        let ports = [tuple.ports.source(), tuple.ports.destination()];
        let rule = flow.verdict.rule.as_deref();
        self.access.admits(|access| *access == flow.verdict.access)
            && self.direction.admits(|direction| *direction == flow.direction)
            && self.protocol.admits(|protocol| *protocol == tuple.protocol)
            && self.ip.admits(|ip| ip.contains(&tuple.source) || ip.contains(&tuple.destination))
            && self.port.admits(|port| ports.contains(&Some(*port)))
            && self.rule.admits(|name| rule.is_some_and(|rule| name.names(rule)))
            && self.nsg.admits(|nsg| {
                let ids = |id: &String| id.eq_ignore_ascii_case(nsg);
                rule.is_some_and(|rule| {
                    ids(&rule.ruleset) || rule.ruleset_id.as_ref().is_some_and(ids)
                })
            })
    }
}

const ACCESS: &str = "Allow, Deny or Undecided";
const DIRECTION: &str = "Inbound or Outbound";
const PROTOCOL: &str = "tcp, udp, icmp, icmpv6, esp, ah or a protocol number";
const NETWORK: &str = "an address or a prefix as 10.0.0.0/8";
const PORT: &str = "a port from 0 to 65535";

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::control::observe::ObserveQuery;
    use crate::engine::{EndReason, Event, Traffic};
    use crate::flow::{FiveTuple, Ports, Timestamp};
    use crate::nsg::{Layer, Priority, RuleProvenance, Verdict};

    /// A denied inbound TCP flow from 203.0.113.9:50211 to 10.0.0.4:22, first seen at 1 s, last at 5 s.
    fn denied() -> FlowRecord {
        let at = |seconds: u64| Timestamp { monotonic_ns: 0, unix_ns: seconds * 1_000_000_000 };
        let rule = RuleProvenance {
            rule: "DenyAllInBound".to_owned(),
            rule_id: None,
            ruleset: "web-nsg".to_owned(),
            ruleset_id: Some("/subscriptions/1/web-nsg".to_owned()),
            layer: Layer::Nic,
            priority: Priority(65500),
            is_default: true,
            platform_tags: Vec::new(),
        };
        FlowRecord {
            tuple: FiveTuple {
                source: [203, 0, 113, 9].into(),
                destination: [10, 0, 0, 4].into(),
                protocol: Protocol::TCP,
                ports: Ports::Pair { source: 50211, destination: 22 },
            },
            direction: Direction::Inbound,
            verdict: Verdict { access: Access::Deny, rule: Some(Arc::new(rule)) },
            midstream: false,
            first: at(1),
            last: at(5),
            to_destination: Traffic::default(),
            to_source: Traffic::default(),
            tcp: None,
        }
    }

    fn query(text: &str) -> Result<ObserveQuery, FilterError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap());
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ObserveQuery::from_parameters(&pairs.collect::<Vec<_>>())
    }

    #[test]
    fn a_flow_must_meet_every_filter_by_one_of_its_values_and_no_negated_one() {
        for (text, accepted) in [
            ("", true),
            ("access=deny", true),
            ("access=Allow", false),
            ("access=Allow&access=Deny", true),
            ("not_access=Deny", false),
            ("direction=inbound&protocol=TCP", true),
            ("direction=outbound&protocol=TCP", false),
            ("protocol=udp&protocol=6", true),
            ("ip=10.0.0.0/8", true),
            ("ip=203.0.113.9", true),
            ("ip=2001:db8::/32", false),
            ("ip=192.0.2.1&ip=10.0.0.4", true),
            ("not_ip=203.0.113.0/24", false),
            ("port=22", true),
            ("port=50211", true),
            ("port=80&port=22", true),
            ("port=80", false),
            ("port=22&not_port=50211", false),
            ("rule=DenyAllInBound", true),
            ("rule=defaultSecurityRules/denyallinbound", true),
            ("rule=UserRule_DenyAllInBound", false),
            ("not_rule=allow-web", true),
            ("nsg=WEB-NSG", true),
            ("nsg=/subscriptions/1/web-nsg", true),
            ("nsg=other", false),
        ] {
            assert_eq!(query(text).unwrap().filter.accepts(&denied()), accepted, "{text}");
        }
    }

    #[test]
    fn a_filter_on_the_rule_meets_no_flow_without_one_and_its_negation_does() {
        let mut flow = denied();
        flow.verdict = Verdict::NO_GROUP;
        assert!(!query("nsg=web-nsg").unwrap().filter.accepts(&flow));
        assert!(query("not_nsg=web-nsg").unwrap().filter.accepts(&flow));
    }

    #[test]
    fn a_start_counts_by_its_first_packet_and_an_end_by_its_last() {
        let (start, end) = (Event::start(denied()), Event::end(denied(), EndReason::Idle));
        for (text, has_start, has_end) in [
            ("since=1970-01-01T00:00:01Z", true, true),
            ("since=1970-01-01T00:00:02Z", false, true),
            ("until=1970-01-01T00:00:04Z", true, false),
            ("since=1970-01-01T00:00:02Z&until=1970-01-01T00:00:04Z", false, false),
        ] {
            let query = query(text).unwrap();
            assert_eq!(
                (query.accepts(&start), query.accepts(&end)),
                (has_start, has_end),
                "{text}"
            );
        }
    }

    #[test]
    fn the_past_comes_whole_unless_it_is_only_followed() {
        for (text, most) in [
            ("", usize::MAX),
            ("follow=true", 0),
            ("follow=true&since=2026-11-23T08:00:00Z", usize::MAX),
            ("follow=true&last=5", 5),
            ("last=0", 0),
        ] {
            assert_eq!(query(text).unwrap().most_of_the_past(), most, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_query_is_named() {
        let many = "port=1&".repeat(65);
        for (text, words) in [
            ("colour=red", "no parameter `colour`"),
            ("not_follow=true", "no parameter `not_follow`"),
            ("port=http", "`http` is no value for `port`"),
            ("not_ip=10.0.0.0/33", "`10.0.0.0/33` is no value for `not_ip`"),
            ("since=yesterday", "`yesterday` is no value for `since`"),
            ("access=maybe", "Allow, Deny or Undecided"),
            ("last=-1", "a number"),
            (many.as_str(), "more than 64 filters"),
        ] {
            let error = query(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
