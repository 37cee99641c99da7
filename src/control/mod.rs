//! The local socket: HTTP/1.1 and JSON over a Unix socket, and over a loopback address where that is wanted.
//!
//! [`server`] answers the routes under `/v1` and `GET /metrics`, and in `azure` the routes of Azure
//! Resource Manager; [`client`] asks. Verify questions are
//! answered from the shared policy snapshot and never touch the packet path; what needs the flow table goes out as a
//! [`Question`] over a channel and comes back as a value. Nothing here changes anything: the socket is read-only.

mod azure;
pub mod batch;
pub mod client;
pub mod explain;
pub mod observe;
mod openapi;
mod page;
pub mod rules;
pub mod server;
pub mod status;
pub mod verify;
pub mod watched;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::nsg::Access;

/// A question that only the owner of the flow table can answer.
#[derive(Debug)]
pub enum Question {
    /// How the agent is doing.
    Status(oneshot::Sender<status::Status>),
    /// The counters, as Prometheus reads them.
    Metrics(oneshot::Sender<String>),
    /// Which flows are alive.
    Flows(FlowsQuery, oneshot::Sender<FlowsAnswer>),
    /// Which rules are in force and what they have decided.
    Rules(oneshot::Sender<rules::RulesAnswer>),
    /// The records that come; `None` where too many readers are there.
    Observe(Box<observe::ObserveQuery>, oneshot::Sender<Option<observe::Lines>>),
}

/// Which flows to list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowsQuery {
    /// Only flows with this access; any letter case.
    #[serde(default, deserialize_with = "access_in_any_case")]
    pub access: Option<Access>,
    /// Only flows that this rule decided about; any spelling of its name.
    #[serde(default)]
    pub rule: Option<String>,
    /// The most flows to return; at most [`FlowsQuery::MOST`].
    #[serde(default = "FlowsQuery::default_limit")]
    pub limit: usize,
}

impl FlowsQuery {
    /// The most flows that one answer lists.
    pub const MOST: usize = 10_000;

    const fn default_limit() -> usize {
        100
    }
}

impl Default for FlowsQuery {
    fn default() -> Self {
        Self { access: None, rule: None, limit: Self::default_limit() }
    }
}

fn access_in_any_case<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Access>, D::Error> {
    let word = String::deserialize(deserializer)?;
    word.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Live flows, the latest seen first; where there are more than asked for, no particular choice of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlowsAnswer {
    /// Whether more flows meet the query than were asked for.
    pub more: bool,
    /// The flows themselves, with the field names of the records.
    pub flows: Vec<serde_json::Value>,
}

/// An error as Azure Resource Manager writes it: `{"error":{"code":"..","message":".."}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The error itself.
    pub error: ErrorDetail,
}

/// Code for programs, message for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// A word that programs can tell apart.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl ErrorBody {
    /// Makes the body from its two parts.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: ErrorDetail { code: code.into(), message: message.into() } }
    }
}
