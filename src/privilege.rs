//! Gives up every capability for good.
//!
//! Called once, after the packet socket, the local socket and the output are open and before a rule file, a packet
//! or a client is read: what parses input then holds nothing worth taking. A held packet socket goes on working; a
//! new one can not be opened. Must run before the first thread is started, since capabilities belong to a thread.

use caps::CapSet;

/// The system did not let go of a capability.
#[derive(Debug, thiserror::Error)]
#[error("can not drop the {set} capabilities: {reason}")]
pub struct PrivilegeError {
    set: &'static str,
    reason: String,
}

/// Drops all capabilities of this thread, and of every thread it starts afterwards.
///
/// # Errors
/// The system refused, or a capability is still there afterwards.
pub fn drop_all() -> Result<(), PrivilegeError> {
    // Ambient first: it may only hold what is permitted and inheritable.
    for (name, set) in [
        ("ambient", CapSet::Ambient),
        ("inheritable", CapSet::Inheritable),
        ("effective", CapSet::Effective),
        ("permitted", CapSet::Permitted),
    ] {
        let failed = |reason: String| PrivilegeError { set: name, reason };
        caps::clear(None, set).map_err(|error| failed(error.to_string()))?;
        let left = caps::read(None, set).map_err(|error| failed(error.to_string()))?;
        if !left.is_empty() {
            return Err(failed(format!("{} are left", left.len())));
        }
    }
    Ok(())
}
