//! Where frames come from.
//!
//! An interface name or a path comes in; frames go out, each with time, true length, direction (of a file: where it
//! says so). What is in a frame is the business of [`crate::packet`]; this room never looks beyond its link layer.
//!
//! - [`link`]: which interfaces there are, and what they are.
//! - [`ring`]: the frames of one interface, live.
//! - [`pcap`]: the frames of a capture file.

pub mod link;
pub mod pcap;
pub mod ring;

use std::io;

use nix::errno::Errno;

/// Why frames can not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// No interface has this name.
    #[error("no interface is named `{name}`; there are: {}", existing.join(", "))]
    NoSuchInterface {
        /// The name asked for.
        name: String,
        /// The names there are, sorted.
        existing: Vec<String>,
    },
    /// No interface was named, and none has a default route.
    #[error("no interface has a default route; name one with --interface")]
    NoDefaultRoute,
    /// The process may not open packet sockets.
    #[error(
        "not permitted to {operation}: this needs the capability CAP_NET_RAW; run as root, run the systemd unit, \
         or grant it with `setcap cap_net_raw+ep` on the program"
    )]
    NotPermitted {
        /// What was tried.
        operation: String,
    },
    /// The interface's frames begin with a header that this program does not know.
    #[error(
        "interface `{name}` has the hardware type {hardware_type} (ARPHRD), whose frames are not understood; \
         Ethernet, loopback, PPP and tunnels that carry bare IP packets are"
    )]
    UnsupportedLink {
        /// The interface.
        name: String,
        /// The kernel's ARPHRD number.
        hardware_type: u16,
    },
    /// Ring settings that the kernel would refuse.
    #[error("ring settings: {reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
    },
    /// A system call failed.
    #[error("can not {operation}: {source}")]
    Io {
        /// What was tried.
        operation: String,
        /// What the system said.
        source: io::Error,
    },
}

impl CaptureError {
    fn from_errno(operation: impl Into<String>, errno: Errno) -> Self {
        let operation = operation.into();
        match errno {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted { operation },
            other => Self::Io { operation, source: other.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_capability_and_the_ways_to_grant_it() {
        for errno in [Errno::EPERM, Errno::EACCES] {
            let error = CaptureError::from_errno("open a packet socket", errno);
            let text = error.to_string();
            assert!(matches!(error, CaptureError::NotPermitted { .. }));
            for part in ["open a packet socket", "CAP_NET_RAW", "root", "setcap cap_net_raw+ep"] {
                assert!(text.contains(part), "{text}");
            }
        }
    }

    #[test]
    fn other_failures_keep_the_operation_and_the_reason() {
        let error = CaptureError::from_errno("bind to `eth0`", Errno::ENODEV);
        assert!(error.to_string().starts_with("can not bind to `eth0`: No such device"));
    }
}
