//! What is wrong with a file, where, and what to do about it.
//!
//! Every text that comes from a file is made safe before it is kept here: control characters, bidirectional
//! controls and line separators are written as escapes and long values are cut, so that no message can forge a
//! line, hide text or drive a terminal.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::document::Position;

/// Where in which file something stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Place {
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// Name of the network security group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Name of the rule, or its place (`securityRules[2]`) where it has no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Name of the field, in Azure's spelling where Azure knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Place {
    fn order(&self) -> (&str, Option<u32>, Option<u32>) {
        (&self.file, self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        match (&self.rule, &self.group) {
            (Some(rule), Some(group)) => write!(f, ": rule `{rule}` of `{group}`")?,
            (Some(rule), None) => write!(f, ": rule `{rule}`")?,
            (None, Some(group)) => write!(f, ": `{group}`")?,
            (None, None) => {}
        }
        if let Some(field) = &self.field {
            let separator = if self.rule.is_some() || self.group.is_some() { "," } else { ":" };
            write!(f, "{separator} field `{field}`")?;
        }
        Ok(())
    }
}

/// One reason why rules were not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct LoadError {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The code Azure Resource Manager answers with, where it is known (nsg-semantics.md section 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for LoadError {
    /// Writes one line: `FILE:LINE:COL: rule `x` of `nsg`, field `priority`: message (hint) [ARM: Code]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        match self.code {
            Some(code) => write!(f, " [ARM: {code}]"),
            None => Ok(()),
        }
    }
}

/// Something the rules were loaded in spite of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadWarning {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is unwise or beyond Azure's limits.
    pub message: String,
}

impl fmt::Display for LoadWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Why a value is refused; the place is added by whoever knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    code: Option<&'static str>,
    message: String,
    hint: Option<String>,
}

impl Refusal {
    /// A refusal without a known code. Texts from a file go through [`shown`] first.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), hint: None }
    }

    /// Adds the code that Azure Resource Manager answers with.
    pub(super) fn arm(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Adds what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Makes the error.
    pub(super) fn at(self, place: Place) -> LoadError {
        LoadError { place, code: self.code, message: self.message, hint: self.hint }
    }
}

/// Whose field is being read.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// The group's name.
    pub(super) group: Option<String>,
    /// The rule's name or place.
    pub(super) rule: Option<String>,
}

/// The most errors, and the most warnings, that are kept of one file; the rest is counted.
const MAX_FINDINGS: usize = 1000;

/// Collects everything that is wrong with one file.
#[derive(Debug)]
pub(super) struct Findings {
    file: String,
    errors: Vec<LoadError>,
    refused: usize,
    warnings: Vec<LoadWarning>,
}

impl Findings {
    pub(super) fn new(file: &str) -> Self {
        Self { file: shown(file), errors: Vec::new(), refused: 0, warnings: Vec::new() }
    }

    /// Makes a place in this file.
    pub(super) fn place(
        &self,
        scope: &Scope,
        field: Option<&str>,
        position: Option<Position>,
    ) -> Place {
        Place {
            file: self.file.clone(),
            line: position.map(|position| position.line),
            column: position.map(|position| position.column),
            group: scope.group.as_deref().map(shown),
            rule: scope.rule.as_deref().map(shown),
            field: field.map(shown),
        }
    }

    /// Notes an error.
    pub(super) fn refuse(
        &mut self,
        scope: &Scope,
        field: Option<&str>,
        position: Position,
        refusal: Refusal,
    ) {
        self.refused += 1;
        if self.errors.len() < MAX_FINDINGS {
            let place = self.place(scope, field, Some(position));
            self.errors.push(refusal.at(place));
        }
    }

    /// Notes a warning.
    pub(super) fn warn(
        &mut self,
        scope: &Scope,
        field: Option<&str>,
        position: Position,
        message: String,
    ) {
        if self.warnings.len() < MAX_FINDINGS {
            let place = self.place(scope, field, Some(position));
            self.warnings.push(LoadWarning { place, message });
        }
    }

    /// Returns how many errors were noted so far.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// Returns the warnings of a file without errors, or its errors in the order of the text.
    pub(super) fn finish(mut self) -> Result<Vec<LoadWarning>, Vec<LoadError>> {
        if self.refused == 0 {
            return Ok(self.warnings);
        }
        sort_errors(&mut self.errors);
        let kept = self.errors.len();
        if self.refused > MAX_FINDINGS {
            let message = format!("{} more errors are not shown", self.refused - kept);
            let place = self.place(&Scope::default(), None, None);
            self.errors.push(Refusal::new(message).at(place));
        }
        Err(self.errors)
    }
}

/// Puts errors into the order in which a reader meets their places; what stands there twice is said once.
pub(super) fn sort_errors(errors: &mut Vec<LoadError>) {
    errors.sort_by(|a, b| a.place.order().cmp(&b.place.order()));
    errors.dedup();
}

/// The most characters of one foreign text that a message shows.
const SHOWN_CHARACTERS: usize = 200;

/// Makes a text from a file safe to show on one line of a terminal.
pub(super) fn shown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len().min(SHOWN_CHARACTERS));
    for (index, character) in text.chars().enumerate() {
        if index == SHOWN_CHARACTERS {
            safe.push('…');
            break;
        }
        if is_unsafe_to_show(character) {
            let _infallible = write!(safe, "{}", character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Control characters, line separators, invisible characters and bidirectional controls.
pub(super) fn is_unsafe_to_show(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_can_not_forge_a_line_or_drive_a_terminal() {
        let safe = shown("a\nb\u{1b}[31m\u{202e}c\u{85}\u{2028}é");
        assert_eq!(safe, "a\\u{a}b\\u{1b}[31m\\u{202e}c\\u{85}\\u{2028}é");
        assert!(shown(&"x".repeat(5000)).chars().count() <= SHOWN_CHARACTERS + 1);
    }

    #[test]
    fn a_file_full_of_errors_gives_a_bounded_list_that_says_so() {
        let mut findings = Findings::new("f");
        for line in 0..5000 {
            let position = Position { line, column: 1 };
            findings.refuse(&Scope::default(), None, position, Refusal::new("bad"));
        }
        let errors = findings.finish().unwrap_err();
        assert_eq!(errors.len(), MAX_FINDINGS + 1);
        assert_eq!(errors[MAX_FINDINGS].to_string(), "f: 4000 more errors are not shown");
    }

    #[test]
    fn an_error_is_one_line_with_everything_in_it() {
        let mut findings = Findings::new("a\nb.json");
        let scope = Scope { group: Some("nsg".to_owned()), rule: Some("x".to_owned()) };
        let refusal = Refusal::new("is taken").arm("SecurityRuleConflict").hint("choose another");
        let position = Position { line: 3, column: 7 };
        findings.refuse(&scope, Some("priority"), position, refusal);
        assert_eq!(
            findings.errors[0].to_string(),
            "a\\u{a}b.json:3:7: rule `x` of `nsg`, field `priority`: is taken (choose another) \
             [ARM: SecurityRuleConflict]"
        );
        let json = serde_json::to_value(&findings.errors[0]).unwrap();
        assert_eq!(json["line"], 3);
        assert_eq!(json["code"], "SecurityRuleConflict");
    }
}
