//! A record as the agent streams it, and its columns for people.
//!
//! In comes one line of JSON, out go words. Names come from rule files: they are printed so that they can not command a
//! terminal.

use std::fmt::Write;

use serde::Deserialize;

use crate::nsg::{Access, Layer};
use crate::report;

/// What a line says; a key that a line does not have is `None` or 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) timestamp: String,
    pub(super) event: String,
    pub(super) access: Option<Access>,
    pub(super) direction: String,
    #[serde(rename = "security_rule.name")]
    pub(super) rule: Option<String>,
    #[serde(rename = "security_rule.ruleset.name")]
    pub(super) nsg: Option<String>,
    #[serde(rename = "security_rule.layer")]
    pub(super) layer: Option<Layer>,
    #[serde(rename = "security_rule.priority")]
    pub(super) priority: u16,
    #[serde(rename = "network.transport")]
    pub(super) transport: String,
    #[serde(rename = "network.interface.name")]
    pub(super) interface: String,
    #[serde(rename = "source.address")]
    pub(super) source: String,
    #[serde(rename = "source.port")]
    pub(super) source_port: Option<u16>,
    #[serde(rename = "destination.address")]
    pub(super) destination: String,
    #[serde(rename = "destination.port")]
    pub(super) destination_port: Option<u16>,
    #[serde(rename = "packets.to_destination")]
    packets_there: u64,
    #[serde(rename = "packets.to_source")]
    packets_back: u64,
    #[serde(rename = "bytes.to_destination")]
    pub(super) bytes_there: u64,
    #[serde(rename = "bytes.to_source")]
    pub(super) bytes_back: u64,
    duration_ms: u64,
    end_reason: Option<String>,
    midstream: bool,
    /// Of the event `lost`: how many records passed unseen.
    pub(super) count: u64,
}

impl Record {
    pub(super) fn is_lost(&self) -> bool {
        self.event == "lost"
    }

    pub(super) fn is_start(&self) -> bool {
        self.event == "flow_start"
    }

    pub(super) fn is_inbound(&self) -> bool {
        self.direction == "Inbound"
    }

    pub(super) fn access_word(&self) -> &'static str {
        self.access.map_or("-", |access| access.as_str())
    }

    /// Packets each way: from whoever began the flow, and back.
    pub(super) fn packets(&self) -> String {
        format!("{}/{}", self.packets_there, self.packets_back)
    }

    /// `08:08:46.135`, UTC.
    pub(super) fn time_of_day(&self) -> &str {
        self.timestamp.get(11..23).unwrap_or(&self.timestamp)
    }

    pub(super) fn event_word(&self) -> &str {
        self.event.strip_prefix("flow_").unwrap_or(&self.event)
    }

    pub(super) fn source(&self) -> String {
        end_point(&self.source, self.source_port)
    }

    pub(super) fn destination(&self) -> String {
        end_point(&self.destination, self.destination_port)
    }

    /// The rule's name, harmless for a terminal.
    pub(super) fn rule(&self) -> String {
        self.rule.as_deref().map_or_else(|| "no rule".to_owned(), plain)
    }

    pub(super) fn nsg(&self) -> String {
        self.nsg.as_deref().map_or_else(|| "-".to_owned(), plain)
    }

    /// `rule (group, layer, priority)`.
    pub(super) fn rule_and_place(&self) -> String {
        match self.layer {
            Some(layer) => format!("{} ({}, {layer}, {})", self.rule(), self.nsg(), self.priority),
            None => self.rule(),
        }
    }

    /// What is known at the end only; empty before.
    pub(super) fn ending(&self) -> String {
        let mut text = String::new();
        if let Some(reason) = &self.end_reason {
            // Writing to a string can not fail.
            _ = write!(
                text,
                "packets {}, bytes {}/{}, {}.{:03} s, {reason}",
                self.packets(),
                self.bytes_there,
                self.bytes_back,
                self.duration_ms / 1000,
                self.duration_ms % 1000
            );
        }
        if self.midstream {
            text.push_str(", midstream");
        }
        text
    }
}

/// Makes a name harmless for a terminal.
pub(super) fn plain(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    report::push_plain(&mut text, name);
    text
}

pub(super) fn end_point(address: &str, port: Option<u16>) -> String {
    match port {
        None => address.to_owned(),
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
    }
}
