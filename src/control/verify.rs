//! IP flow verify: a question about a packet that nobody sent, and its answer.
//!
//! In comes Azure's request body (or the command line's options), out goes the verdict with its provenance. The same
//! code answers with and without a daemon. Knows no flow: like Azure's service it tests the rules, not a connection
//! (nsg-semantics.md section 8).

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::classifier::Policy;
use crate::flow::{Direction, FiveTuple, Ports, Protocol, UnknownWord};
use crate::nsg::{
    Access, Layer, PlatformEffect, PlatformTraffic, RuleNameStyle, Verdict, assumptions, notes,
};

/// A port in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryPort {
    /// Not given, or `*`.
    Any,
    /// This port.
    Port(u16),
}

impl FromStr for QueryPort {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten().map(Self::Port).ok_or_else(|| UnknownWord {
            value: text.to_owned(),
            expected: "a port from 0 to 65535, or `*`",
        })
    }
}

/// One side of a question: `10.0.0.4:443`, `10.0.0.4:*`, `10.0.0.4`, `[2001:db8::4]:443`, `2001:db8::4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: QueryPort,
}

impl FromStr for Endpoint {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            value: text.to_owned(),
            expected: "ADDRESS:PORT, [IPv6]:PORT, or an address alone; the port may be `*`",
        };
        if let Ok(address) = text.parse() {
            return Ok(Self { address, port: QueryPort::Any });
        }
        let (address, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or_else(unknown)?;
            let address: Ipv6Addr = address.parse().map_err(|_| unknown())?;
            let port = if port.is_empty() { Some("*") } else { port.strip_prefix(':') };
            (IpAddr::V6(address), port.ok_or_else(unknown)?)
        } else {
            let (address, port) = text.split_once(':').ok_or_else(unknown)?;
            let address: Ipv4Addr = address.parse().map_err(|_| unknown())?;
            (IpAddr::V4(address), port)
        };
        Ok(Self { address, port: port.parse().map_err(|_| unknown())? })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, QueryPort::Any) => fmt::Display::fmt(&address, f),
            (IpAddr::V4(v4), QueryPort::Port(port)) => write!(f, "{v4}:{port}"),
            (IpAddr::V6(v6), QueryPort::Port(port)) => write!(f, "[{v6}]:{port}"),
        }
    }
}

/// A well-formed question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyQuery {
    direction: Direction,
    protocol: Protocol,
    local: Endpoint,
    remote: Endpoint,
}

/// Why a question can not be asked or not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A field is not there.
    #[error(
        "`{0}` is missing; give direction, protocol, localIPAddress, localPort, remoteIPAddress and remotePort"
    )]
    Missing(&'static str),
    /// A field does not hold what it should.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// The field, as Azure names it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The body as a whole can not be read.
    #[error("the body is not an IP flow verify request: {0}")]
    Body(String),
    /// The source port was left open and the rules do not agree about all ports.
    #[error(
        "the answer depends on the source port: {first} for ports {first_ports}, {other} for ports {other_ports}; \
         ask again with the port"
    )]
    DependsOnSourcePort {
        /// Answer for the first ports.
        first: String,
        /// The first ports.
        first_ports: String,
        /// Answer for other ports.
        other: String,
        /// Those ports.
        other_ports: String,
    },
}

impl VerifyError {
    /// Returns the word for the `code` of the error body.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "MissingParameter",
            Self::Invalid { .. } => "InvalidParameter",
            Self::Body(_) => "InvalidRequestContent",
            Self::DependsOnSourcePort { .. } => "AnswerDependsOnSourcePort",
        }
    }
}

/// Azure's request body, before its fields are looked at. Ports may be strings or numbers. The two resource ids are
/// accepted, so that a body written for Azure works unchanged, and mean nothing here: the agent knows one machine.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestBody {
    direction: Option<Value>,
    protocol: Option<Value>,
    local_port: Option<Value>,
    remote_port: Option<Value>,
    #[serde(rename = "localIPAddress")]
    local_ip_address: Option<Value>,
    #[serde(rename = "remoteIPAddress")]
    remote_ip_address: Option<Value>,
    #[serde(rename = "targetResourceId")]
    _target_resource_id: Option<Value>,
    #[serde(rename = "targetNicResourceId")]
    _target_nic_resource_id: Option<Value>,
    #[serde(default)]
    explain: bool,
}

/// A request: the question, and whether the answer is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyRequest {
    /// The question.
    pub query: VerifyQuery,
    /// The body says `"explain": true`.
    pub explain: bool,
}

impl VerifyRequest {
    /// Reads Azure's request body, which may also say `"explain": true`.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, VerifyError> {
        let body: RequestBody =
            serde_json::from_slice(body).map_err(|error| VerifyError::Body(error.to_string()))?;
        Ok(Self { query: VerifyQuery::from_body(&body)?, explain: body.explain })
    }
}

impl VerifyQuery {
    /// Makes a question, or says why there is no such packet.
    ///
    /// # Errors
    /// Addresses of two families; a port where the protocol has none; no destination port where it has.
    pub fn new(
        direction: Direction,
        protocol: Protocol,
        local: Endpoint,
        remote: Endpoint,
    ) -> Result<Self, VerifyError> {
        let query = Self { direction, protocol, local, remote };
        if local.address.is_ipv4() != remote.address.is_ipv4() {
            return Err(VerifyError::Invalid {
                field: "remoteIPAddress",
                reason: format!(
                    "{} and {} belong to different address families",
                    local.address, remote.address
                ),
            });
        }
        query.check_ports()?;
        Ok(query)
    }

    fn check_ports(&self) -> Result<(), VerifyError> {
        let (destination_field, destination) = match self.direction {
            Direction::Inbound => ("localPort", self.local.port),
            Direction::Outbound => ("remotePort", self.remote.port),
        };
        if self.has_ports() {
            if destination == QueryPort::Any {
                return Err(VerifyError::Invalid {
                    field: destination_field,
                    reason: format!(
                        "{} {} needs one destination port; `*` is for the source port only",
                        self.direction.as_str().to_lowercase(),
                        self.protocol
                    ),
                });
            }
            return Ok(());
        }
        for (field, port) in [("localPort", self.local.port), ("remotePort", self.remote.port)] {
            if let QueryPort::Port(_) = port {
                return Err(VerifyError::Invalid {
                    field,
                    reason: format!("{} has no ports; leave it out or use `*`", self.protocol),
                });
            }
        }
        Ok(())
    }

    const fn has_ports(&self) -> bool {
        matches!(self.protocol, Protocol::TCP | Protocol::UDP)
    }

    /// Reads Azure's request body.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, VerifyError> {
        VerifyRequest::from_json(body).map(|request| request.query)
    }

    fn from_body(body: &RequestBody) -> Result<Self, VerifyError> {
        let protocol = word("protocol", body.protocol.as_ref())?;
        let protocol: Protocol = protocol.parse().map_err(|error| invalid("protocol", &error))?;
        let direction = word("direction", body.direction.as_ref())?;
        let direction: Direction =
            direction.parse().map_err(|error| invalid("direction", &error))?;
        let address = |field, value: Option<&Value>| -> Result<IpAddr, VerifyError> {
            let text = word(field, value)?;
            text.parse().map_err(|_| VerifyError::Invalid {
                field,
                reason: format!("`{text}` is not an IPv4 or IPv6 address"),
            })
        };
        let needs_ports = matches!(protocol, Protocol::TCP | Protocol::UDP);
        let port = |field, value: Option<&Value>| match value {
            None if needs_ports => Err(VerifyError::Missing(field)),
            None => Ok(QueryPort::Any),
            value => word(field, value)?.parse().map_err(|error| invalid(field, &error)),
        };
        let local = Endpoint {
            address: address("localIPAddress", body.local_ip_address.as_ref())?,
            port: port("localPort", body.local_port.as_ref())?,
        };
        let remote = Endpoint {
            address: address("remoteIPAddress", body.remote_ip_address.as_ref())?,
            port: port("remotePort", body.remote_port.as_ref())?,
        };
        Self::new(direction, protocol, local, remote)
    }

    /// Writes Azure's request body.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let port = |port| match port {
            QueryPort::Any => "*".to_owned(),
            QueryPort::Port(port) => port.to_string(),
        };
        serde_json::json!({
            "direction": self.direction,
            "protocol": self.protocol.to_string(),
            "localPort": port(self.local.port),
            "remotePort": port(self.remote.port),
            "localIPAddress": self.local.address,
            "remoteIPAddress": self.remote.address,
        })
    }

    /// The one place where local and remote become source and destination.
    fn tuple(&self, open_source_port: u16) -> FiveTuple {
        let (from, to) = match self.direction {
            Direction::Inbound => (self.remote, self.local),
            Direction::Outbound => (self.local, self.remote),
        };
        let number = |port| match port {
            QueryPort::Any => open_source_port,
            QueryPort::Port(port) => port,
        };
        FiveTuple {
            protocol: self.protocol,
            source: from.address,
            destination: to.address,
            ports: if self.has_ports() {
                Ports::Pair { source: number(from.port), destination: number(to.port) }
            } else {
                Ports::Absent
            },
        }
    }

    fn source_port_is_open(&self) -> bool {
        let source = match self.direction {
            Direction::Inbound => self.remote,
            Direction::Outbound => self.local,
        };
        self.has_ports() && source.port == QueryPort::Any
    }

    /// Asks the rules.
    ///
    /// # Errors
    /// Only where the source port was left open and the verdict differs between source ports.
    pub fn ask(&self, policy: &Policy) -> Result<VerifyAnswer, VerifyError> {
        let verdict = self.verdict(policy, &SourcePortCuts::of(policy))?;
        Ok(VerifyAnswer::new(self, &verdict, policy))
    }

    /// Returns the direction of the packet.
    pub(super) const fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns a packet that the question is about; an open source port is 0.
    pub(super) fn packet(&self) -> FiveTuple {
        self.tuple(0)
    }

    /// Returns what the rules say, where that does not depend on an open source port.
    pub(super) fn verdict(
        &self,
        policy: &Policy,
        cuts: &SourcePortCuts,
    ) -> Result<Verdict, VerifyError> {
        let verdict_at = |port| policy.classify(self.direction, &self.tuple(port));
        let first = verdict_at(0);
        if self.source_port_is_open() {
            let cuts = cuts.of_direction(self.direction);
            for &port in cuts {
                let other = verdict_at(port);
                if other != first {
                    let end = cuts.range(port + 1..).find(|&&next| verdict_at(next) != other);
                    return Err(VerifyError::DependsOnSourcePort {
                        first: in_words(&first),
                        first_ports: ports_in_words(0, port - 1),
                        other: in_words(&other),
                        other_ports: ports_in_words(port, end.map_or(u16::MAX, |next| next - 1)),
                    });
                }
            }
        }
        Ok(first)
    }
}

/// Of each direction every port above 0 at which some rule may start or stop to match by its source port: between
/// two cuts all source ports are treated alike.
#[derive(Debug)]
pub(super) struct SourcePortCuts {
    inbound: BTreeSet<u16>,
    outbound: BTreeSet<u16>,
}

impl SourcePortCuts {
    pub(super) fn of(policy: &Policy) -> Self {
        Self {
            inbound: source_port_cuts(policy, Direction::Inbound),
            outbound: source_port_cuts(policy, Direction::Outbound),
        }
    }

    const fn of_direction(&self, direction: Direction) -> &BTreeSet<u16> {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

fn source_port_cuts(policy: &Policy, direction: Direction) -> BTreeSet<u16> {
    let layers = policy.rules().layers(direction);
    let rules = layers.iter().flat_map(|layer| &layer.rules);
    rules
        .flat_map(|rule| rule.fields.source_ports.ranges())
        .flat_map(|range| [Some(range.first), range.last.checked_add(1)])
        .flatten()
        .filter(|&port| port > 0)
        .collect()
}

fn ports_in_words(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn in_words(verdict: &Verdict) -> String {
    match &verdict.rule {
        Some(rule) => format!("{} by {}", verdict.access, rule.azure_name()),
        None => verdict.access.to_string(),
    }
}

fn word(field: &'static str, value: Option<&Value>) -> Result<String, VerifyError> {
    match value {
        None | Some(Value::Null) => Err(VerifyError::Missing(field)),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(other) => Err(VerifyError::Invalid {
            field,
            reason: format!("{other} is neither a string nor a number"),
        }),
    }
}

fn invalid(field: &'static str, error: &UnknownWord) -> VerifyError {
    VerifyError::Invalid { field, reason: error.to_string() }
}

/// The answer: Azure's three fields first, then where the verdict comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyAnswer {
    /// What would happen to the packet.
    pub access: Access,
    /// `securityRules/x`, `defaultSecurityRules/x`, or the bare name of an admin rule; absent where no rule applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// Resource id of the rule, empty for default rules; absent where no rule applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
    /// Name of the deciding group or collection of admin rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<String>,
    /// Resource id of the deciding group, where the rules have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_security_group_id: Option<String>,
    /// Which layer decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Priority of the deciding rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Whether the deciding rule is one of the six defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default_rule: Option<bool>,
    /// Which version of the rules answered.
    pub policy_revision: u64,
    /// Where the platform handles such traffic by itself: how, whatever the rules say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformAnswer>,
    /// What else to know of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Remark>,
    /// What is assumed because Azure's documents do not say it, and what the answer rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Remark>,
}

/// Traffic that the platform handles by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformAnswer {
    /// Which.
    pub traffic: PlatformTraffic,
    /// What becomes of it.
    pub effect: PlatformEffect,
}

/// A remark: a word that stays the same, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// For programs.
    pub id: String,
    /// For people.
    pub message: String,
}

impl Remark {
    fn new(id: &str, message: &str) -> Self {
        Self { id: id.to_owned(), message: message.to_owned() }
    }
}

impl VerifyAnswer {
    /// Spells the rule's name in another style than IP flow verify's.
    pub fn respell(&mut self, style: RuleNameStyle) {
        if let (Some(name), Some(layer)) = (&mut self.rule_name, self.layer) {
            *name = style.respell(name, layer);
        }
    }

    fn new(query: &VerifyQuery, verdict: &Verdict, policy: &Policy) -> Self {
        let rule = verdict.rule.as_deref();
        let (direction, tuple) = (query.direction, query.packet());
        let rules = policy.rules();
        let platform = PlatformTraffic::of(direction, &tuple, rule)
            .map(|traffic| PlatformAnswer { traffic, effect: traffic.effect() });
        let notes = notes(rules, direction, &tuple, verdict);
        let assumptions = assumptions(rules, direction, &tuple);
        Self {
            access: verdict.access,
            rule_name: rule.map(crate::nsg::RuleProvenance::azure_name),
            rule_id: rule.map(|rule| rule.rule_id.clone().unwrap_or_default()),
            network_security_group: rule.map(|rule| rule.ruleset.clone()),
            network_security_group_id: rule.and_then(|rule| rule.ruleset_id.clone()),
            layer: rule.map(|rule| rule.layer),
            priority: rule.map(|rule| rule.priority.0),
            is_default_rule: rule.map(|rule| rule.is_default),
            policy_revision: policy.revision(),
            platform,
            notes: notes.iter().map(|note| Remark::new(note.id(), note.sentence())).collect(),
            assumptions: assumptions
                .iter()
                .map(|assumption| Remark::new(assumption.id(), assumption.sentence()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
