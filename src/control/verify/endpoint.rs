//! One side of a question, as people write it.
//!
//! In comes text, out goes an address and a port that may be left open. Looks up no name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::flow::UnknownWord;

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
