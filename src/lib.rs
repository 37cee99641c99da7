//! nsgwatch watches the traffic of an Azure VM and says of every flow whether the network security rules allow or
//! deny it, and which rule decides. It watches; it never blocks a packet.
//!
//! # The map, in reading order
//!
//! Words: [`flow`]. Policy: [`nsg`], [`classifier`]. Engine: [`packet`], [`flow_table`], [`engine`]. Shell:
//! [`capture`], [`report`], and the stories that join the rooms: [`daemon`] live, [`replay`] over capture files.
//!
//! Data flows one way: words, policy, classifier, engine, shell, command line. Nothing left of the shell knows
//! tokio, nix, files, sockets, the clock or the environment; `tests/rooms.rs` reads the `use` lines and fails on an
//! edge that points back.

pub mod capture;
pub mod classifier;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod flow;
pub mod flow_table;
pub mod nsg;
pub mod packet;
pub mod privilege;
pub mod replay;
pub mod report;
