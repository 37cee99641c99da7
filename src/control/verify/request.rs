//! The body of a question in JSON, as Azure's clients write it.
//!
//! In come bytes, out goes a [`VerifyRequest`], or the name of the field that is missing or wrong. Asks nothing.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Number, Value};

use super::{Endpoint, QueryPort, VerifyError, VerifyQuery};
use crate::flow::{Direction, Protocol};

/// Azure's request body, before its fields are looked at. Ports may be strings or numbers. The machine's resource id is
/// accepted, so that a body written for Azure works unchanged, and means nothing here: the agent knows one machine.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
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
    _target_resource_id: Option<String>,
    target_nic_resource_id: Option<String>,
    #[serde(default)]
    explain: bool,
    interface: Option<String>,
}

/// A request: the question, and whether the answer is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRequest {
    /// The question.
    pub query: VerifyQuery,
    /// The body says `"explain": true`.
    pub explain: bool,
    /// Whose rules are asked, where the body says so (`"interface": "eth0"`).
    pub interface: Option<String>,
    /// Name of Azure's network interface, where the body has its id: it may be that of one that is watched.
    pub azure_interface: Option<String>,
}

impl VerifyRequest {
    /// Reads Azure's request body, which may also say `"explain": true` and name an `interface` of the VM.
    ///
    /// # Errors
    /// Names the field that is missing or wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, VerifyError> {
        let body: RequestBody =
            serde_json::from_slice(body).map_err(|error| VerifyError::Body(error.to_string()))?;
        let query = VerifyQuery::from_body(&body)?;
        let RequestBody { explain, interface, target_nic_resource_id: id, .. } = body;
        let name = |id: String| id.rsplit('/').next().map(str::to_owned);
        Ok(Self { query, explain, interface, azure_interface: id.and_then(name) })
    }
}

impl VerifyQuery {
    fn from_body(body: &RequestBody) -> Result<Self, VerifyError> {
        let protocol = word("protocol", body.protocol.as_ref())?;
        let protocol: Protocol =
            protocol.parse().map_err(|error| VerifyError::unknown_word("protocol", &error))?;
        let direction = word("direction", body.direction.as_ref())?;
        let direction: Direction =
            direction.parse().map_err(|error| VerifyError::unknown_word("direction", &error))?;
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
            value => word(field, value)?
                .parse()
                .map_err(|error| VerifyError::unknown_word(field, &error)),
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
}

fn word(field: &'static str, value: Option<&Value>) -> Result<String, VerifyError> {
    match value {
        None | Some(Value::Null) => Err(VerifyError::Missing(field)),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(in_digits(number)),
        Some(other) => Err(VerifyError::Invalid {
            field,
            reason: format!("{other} is neither a string nor a number"),
        }),
    }
}

/// Writes a whole number without a fraction, however JSON has it: `33.0` is the number 33.
fn in_digits(number: &Number) -> String {
    match number.as_f64() {
        // Adding 0 turns -0 into 0.
        Some(value) if value.fract() == 0.0 && value.abs() < 1e9 => format!("{:.0}", value + 0.0),
        _ => number.to_string(),
    }
}
