//! Foreign formats in, the model of [`crate::nsg`] out.
//!
//! In come names and texts of files that somebody else has read; out come [`crate::nsg::AppliedRules`], or every
//! error of every file at once, each with file, line, column, rule, field and the code Azure would answer with. This
//! room never opens a file and never guesses: what Azure refuses is refused, an unknown tag is an error and not an
//! empty set, a misspelled field is an error and not a wider rule.
//!
//! One file for each format: [`parse_groups`] for network security groups, [`service_tag_file`] for the published
//! service tags; [`load`] joins them. All formats of rules are read through one tree of values with positions.

mod address_field;
mod admin_rules;
mod applied_rules;
mod arm_template;
mod document;
mod document_kind;
mod effective_rules;
mod error;
mod group_file;
mod membership;
mod name;
mod port_field;
mod references;
mod rule_fields;
mod rule_list;
mod rule_sides;
mod security_group;
mod security_rule;
pub mod service_tag_file;
mod terraform;

pub use applied_rules::{Loaded, SourceFile, Sources, Unresolved, check, load};
pub use error::{LoadError, LoadWarning, Place};
pub use group_file::{LoadedGroup, Parsed, parse_groups, select};
pub use references::{GroupReference, References, Role, TagReference};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, strictly: what Azure prints.
    Json,
    /// YAML: what people write.
    Yaml,
}

impl Format {
    /// Tells the format by the file's extension, else by the first character of the text.
    #[must_use]
    pub fn of(file_name: &str, text: &str) -> Self {
        let has_extension = |extension: &str| {
            file_name.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(extension))
        };
        if has_extension("json") {
            Self::Json
        } else if has_extension("yaml") || has_extension("yml") {
            Self::Yaml
        } else {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if text.trim_start().starts_with(['{', '[']) { Self::Json } else { Self::Yaml }
        }
    }
}

/// Says whether a field means everything: `*`, or `Any` as people say it.
fn is_any(text: &str) -> bool {
    text == "*" || text.eq_ignore_ascii_case("any")
}
