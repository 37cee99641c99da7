//! Names: Azure's grammar for groups and rules, and the nearest known name to a misspelled one.
//!
//! In come names as written, out go refusals and suggestions. Whether a name means anything is not known here.

use super::error::{Refusal, is_unsafe_to_show, shown};

const MAX_LENGTH: usize = 80;

/// Checks the name of a group or a rule: 1 to 80 characters, letters, digits, `_`, `.` and `-`, beginning with a
/// letter, digit or `_` and ending so too (nsg-semantics.md section 1). Names reach records and terminals, so only
/// ASCII passes.
pub(super) fn check(name: &str) -> Result<(), Refusal> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends_well = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
    let bytes = name.as_bytes();
    let problem = if name.is_empty() {
        "is empty"
    } else if bytes.len() > MAX_LENGTH {
        "is longer than 80 characters"
    } else if !bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-')) {
        "has other characters than ASCII letters, digits, `_`, `.` and `-`"
    } else if !ends_well(bytes.first()) || !ends_well(bytes.last()) {
        "does not begin and end with a letter, a digit or `_`"
    } else {
        return Ok(());
    };
    Err(Refusal::new(format!("the name `{}` {problem}", shown(name))))
}

/// Checks a resource id, which is shown in answers.
pub(super) fn check_id(id: &str) -> Result<(), Refusal> {
    if id.chars().any(is_unsafe_to_show) || id.len() > 2048 {
        return Err(Refusal::new(format!("`{}` is not a resource id", shown(id))));
    }
    Ok(())
}

/// Returns the known name that a misspelled one most likely means.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let allowed = match name.len() {
        0..=3 => 1,
        4..=7 => 2,
        8..=128 => 3,
        _ => return None, // no known name is this long, and comparing would cost
    };
    known
        .into_iter()
        .filter(|known| known.len().abs_diff(name.len()) <= allowed)
        .map(|known| (strsim::osa_distance(&known.to_ascii_lowercase(), &name), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_azures_grammar() {
        for name in ["a", "allow-ssh", "A.b-c_", "_x", "9", "Port_8080"] {
            assert!(check(name).is_ok(), "{name}");
        }
        let long = "x".repeat(81);
        for name in ["", "-a", "a-", ".a", "a.", "a b", "a\nb", "é", "a/b", "a\u{202e}b", &long] {
            assert!(check(name).is_err(), "{name}");
        }
        assert!(check(&"x".repeat(80)).is_ok());
    }

    #[test]
    fn a_misspelled_name_leads_to_the_nearest_known_one() {
        let known = ["Storage", "Sql", "Storage.WestUS"];
        assert_eq!(nearest("Storge", known), Some("Storage"));
        assert_eq!(nearest("storage.westsu", known), Some("Storage.WestUS"));
        assert_eq!(nearest("CorpNetSaw", known), None);
    }
}
