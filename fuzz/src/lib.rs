//! What must hold for any bytes, one room of the program a module: `check` takes the fuzzer's input and panics where
//! it does not hold.
//!
//! In come bytes from the fuzzer, or from a file under `regressions/`, which the crate's own tests read; nothing goes
//! out. Only the public interface of nsgwatch is used. No module draws a random number or keeps anything between two
//! calls, so that an input that fails, fails again.

pub mod bytes;
pub mod config;
pub mod flow_table;
pub mod frame;
pub mod frame_against_etherparse;
pub mod http;
pub mod memory_file;
pub mod pcap;
pub mod records;
pub mod rules;

/// Panics where something does not hold for these bytes.
pub type Check = fn(&[u8]);

/// Every target, by the name of its module.
pub const TARGETS: [(&str, Check); 8] = [
    ("config", config::check),
    ("flow_table", flow_table::check),
    ("frame", frame::check),
    ("frame_against_etherparse", frame_against_etherparse::check),
    ("http", http::check),
    ("pcap", pcap::check),
    ("records", records::check),
    ("rules", rules::check),
];
