//! One tree for every foreign format, with the line and column of every value.
//!
//! In comes the text of a JSON or YAML file; out comes a [`Node`], or the first place where the text is not that
//! format. Both formats are read strictly: no comments in JSON, no anchors, tags or merge keys in YAML, no key
//! twice in one object (in any letter case, as Azure compares names). Depth and number of values are bounded
//! before memory or stack is spent on them. What the values mean is not known here.

mod json;
mod yaml;

use super::Format;
use super::error::{Refusal, shown};

/// The deepest nesting that is read. Azure's documents stay below 16.
const MAX_DEPTH: usize = 64;

/// The most values one document may hold: the 5,000 groups a subscription may have, with a dozen rules each.
const MAX_VALUES: usize = 2_000_000;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
}

impl Position {
    /// The first character of a text.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where the value starts.
    pub(super) position: Position,
    /// The value.
    pub(super) value: Value,
}

/// The value of a [`Node`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing: `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(Box<str>),
    /// A text.
    String(Box<str>),
    /// Values in order.
    Array(Vec<Node>),
    /// Named values in order.
    Object(Vec<Field>),
}

/// A named value of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// The name as written.
    pub(super) key: Box<str>,
    /// Where the name starts.
    pub(super) key_position: Position,
    /// The value.
    pub(super) node: Node,
}

impl Field {
    /// Says whether the field has this name, in any letter case.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.key.eq_ignore_ascii_case(name)
    }
}

impl Node {
    /// Returns the kind of value, in words: `an array`.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// Says whether there is nothing here.
    pub(super) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Returns a text, or a number as written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) | Value::Number(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the elements of an array.
    pub(super) fn elements(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Returns the fields of an object.
    pub(super) fn fields(&self) -> Option<&[Field]> {
        match &self.value {
            Value::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// Returns a field of an object by its name in any letter case; `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let field = self.fields()?.iter().find(|field| field.is_named(name))?;
        (!field.node.is_null()).then_some(&field.node)
    }
}

/// Why a text is not a document, and where.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Where.
    pub(super) position: Position,
    /// Why.
    pub(super) refusal: Refusal,
}

impl SyntaxError {
    fn new(position: Position, message: impl Into<String>) -> Self {
        Self { position, refusal: Refusal::new(message) }
    }

    fn too_deep(position: Position) -> Self {
        Self::new(position, format!("nested deeper than {MAX_DEPTH} levels"))
    }

    fn too_many(position: Position) -> Self {
        Self::new(position, format!("more than {MAX_VALUES} values"))
    }
}

/// Reads a document. A byte order mark at the start is skipped.
pub(super) fn parse(text: &str, format: Format) -> Result<Node, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(SyntaxError::new(Position::START, "the file is empty"));
    }
    let root = match format {
        Format::Json => json::parse(text),
        Format::Yaml => yaml::parse(text),
    }?;
    refuse_repeated_keys(&root)?;
    Ok(root)
}

/// Refuses an object that has a key twice, compared in any letter case: which one counts would be a guess.
fn refuse_repeated_keys(node: &Node) -> Result<(), SyntaxError> {
    match &node.value {
        Value::Array(elements) => elements.iter().try_for_each(refuse_repeated_keys),
        Value::Object(fields) => {
            let mut seen = std::collections::HashMap::with_capacity(fields.len());
            for field in fields {
                if let Some(first) = seen.insert(field.key.to_ascii_lowercase(), field) {
                    let message = format!(
                        "`{}` stands twice in one object, first in line {}",
                        shown(&field.key),
                        first.key_position.line
                    );
                    return Err(SyntaxError::new(field.key_position, message));
                }
                refuse_repeated_keys(&field.node)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Turns byte offsets, given in ascending order, into positions, in one walk over the text.
struct Cursor<'a> {
    rest: &'a str,
    offset: usize,
    position: Position,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, offset: 0, position: Position::START }
    }

    /// Returns the position of an offset that does not lie before the last one asked for.
    fn advance_to(&mut self, offset: usize) -> Position {
        let distance = offset.saturating_sub(self.offset);
        let (passed, rest) = self.rest.split_at_checked(distance).unwrap_or((self.rest, ""));
        for character in passed.chars() {
            if character == '\n' {
                self.position.line = self.position.line.saturating_add(1);
                self.position.column = 1;
            } else {
                self.position.column = self.position.column.saturating_add(1);
            }
        }
        self.rest = rest;
        self.offset += passed.len();
        self.position
    }
}

/// Returns the position of a byte offset.
pub(super) fn position_of(text: &str, offset: usize) -> Position {
    Cursor::new(text).advance_to(offset)
}

/// Returns the place that a `serde_json` error names; its columns are bytes.
pub(super) fn position_of_json_error(text: &str, error: &serde_json::Error) -> Position {
    let lines = text.split_inclusive('\n');
    let before: usize = lines.take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut offset = (before + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    position_of(text, offset)
}

/// Returns what a `serde_json` error says, without its place.
pub(super) fn json_error_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    format!("not JSON: {}", shown(message))
}

#[cfg(test)]
mod tests;
