//! Reads the rule files that the settings name.

/// The word that stands for "no group at all" in place of a file.
pub const NO_GROUP: &str = "none";
