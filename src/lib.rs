//! nsgwatch watches the traffic of an Azure VM and says of every flow whether the network security rules allow or
//! deny it, and which rule decides. It watches; it never blocks a packet.
//!
//! # The map, in reading order
//!
//! | layer | room | what it is |
//! |---|---|---|
//! | words | [`flow`] | direction, protocol, five-tuple, flow key, time |
//! | policy | [`nsg`] | what Azure says: rules, groups, tags, what they mean, and the formats they come in |
//! | classifier | [`classifier`] | the same rules compiled for speed |
//! | engine | [`packet`] | the bytes of a frame, read as a packet |
//! | | [`flow_table`] | a bounded table of flows |
//! | | [`engine`] | packets in, verdicts and events out |
//! | shell | [`capture`] | where frames come from: an interface or a capture file |
//! | | [`report`] | where verdicts go: records, for programs and for people |
//! | | [`control`] | the local socket and the questions that it answers |
//! | | [`config`] | settings, and the files that they name |
//! | | [`privilege`] | gives up every capability |
//! | stories | [`daemon`] | joins the rooms, live |
//! | | [`replay`] | joins the rooms, over capture files |
//! | command line | [`cli`] | one file a subcommand |
//!
//! Data flows one way, down this table: a room may use the rooms of the layers above it, [`packet`] and
//! [`flow_table`] only [`flow`], and the rooms of the shell not one another. Nothing above the shell knows tokio, nix,
//! files, sockets, the clock or the environment; `tests/rooms.rs` reads the `use` lines and fails on an edge that
//! points back.

pub mod flow;

pub mod nsg;

pub mod classifier;

pub mod engine;
pub mod flow_table;
pub mod packet;

pub mod capture;
pub mod config;
pub mod control;
pub mod privilege;
pub mod report;

pub mod daemon;
pub mod replay;

pub mod cli;
