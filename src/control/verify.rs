//! IP flow verify: a question about a packet that nobody sent, and its answer.
//!
//! In comes Azure's request body (or the command line's options), out goes the verdict with its provenance. The same
//! code answers with and without a daemon. Knows no flow: like Azure's service it tests the rules, not a connection
//! (nsg-semantics.md section 8).

mod answer;
mod endpoint;
mod request;
mod source_ports;

use std::net::IpAddr;
use std::ops::Bound;

use serde_json::Value;

pub use self::answer::{PlatformAnswer, Remark, VerifyAnswer};
pub use self::endpoint::{Endpoint, QueryPort};
pub use self::request::VerifyRequest;
pub(super) use self::source_ports::SourcePortCuts;

use crate::classifier::Policy;
use crate::flow::{Direction, FiveTuple, Ports, Protocol, UnknownWord};
use crate::nsg::Verdict;

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
    /// No interface of that name is watched.
    #[error("the interface `{name}` is not watched; name one of {} as `interface`", .watched.join(", "))]
    NoSuchInterface {
        /// What was given.
        name: String,
        /// The interfaces that are watched.
        watched: Vec<String>,
    },
    /// It is not known which interface's rules to ask.
    #[error("{reason}; name one of {} as `interface`", .watched.join(", "))]
    WhichInterface {
        /// Why not.
        reason: String,
        /// The interfaces that are watched.
        watched: Vec<String>,
    },
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
    /// A field holds a word that is none of its values.
    pub(super) fn unknown_word(field: &'static str, error: &UnknownWord) -> Self {
        Self::Invalid { field, reason: error.to_string() }
    }

    /// Returns the word for the `code` of the error body.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "MissingParameter",
            Self::Invalid { .. } => "InvalidParameter",
            Self::NoSuchInterface { .. } => "InterfaceNotFound",
            Self::WhichInterface { .. } => "InterfaceNotDetermined",
            Self::Body(_) => "InvalidRequestContent",
            Self::DependsOnSourcePort { .. } => "AnswerDependsOnSourcePort",
        }
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
        // To look at all rules takes longer than the question: it is done only where the source port is open.
        let cuts = self.source_port_is_open().then(|| SourcePortCuts::of(policy));
        let verdict = self.verdict(policy, &cuts.unwrap_or_default())?;
        Ok(VerifyAnswer::new(self, &verdict, policy))
    }

    /// Returns the address at the VM's side.
    #[must_use]
    pub const fn local_address(&self) -> IpAddr {
        self.local.address
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
                    let end = cuts
                        .range((Bound::Excluded(port), Bound::Unbounded))
                        .find(|&&next| verdict_at(next) != other);
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

fn ports_in_words(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn in_words(verdict: &Verdict) -> String {
    match &verdict.rule {
        Some(rule) => format!("{} by {}", verdict.access, rule.azure_name()),
        None => verdict.access.to_string(),
    }
}

#[cfg(test)]
mod tests;
