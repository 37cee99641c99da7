//! How the words of verdicts are coloured.

use crate::nsg::Access;

/// Returns the terminal codes around a word of this access.
pub(super) const fn codes(access: Option<Access>) -> (&'static str, &'static str) {
    match access {
        Some(Access::Allow) => ("\x1b[32m", "\x1b[0m"),
        Some(Access::Deny) => ("\x1b[31m", "\x1b[0m"),
        Some(Access::Undecided) => ("\x1b[33m", "\x1b[0m"),
        None => ("", ""),
    }
}
