//! YAML for rules written by hand: one document of plain mappings, sequences and scalars.
//!
//! Built from the parser's flat event stream with a stack of its own, so nesting never becomes recursion. Anchors,
//! aliases, tags and merge keys are refused: rules say what they mean in place, and no alias can multiply them.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{Field, MAX_DEPTH, MAX_VALUES, Node, Position, SyntaxError, Value};
use crate::nsg::load::error::{Refusal, shown};

/// The longest text that is read, in bytes. People write far less, and the parser keeps all of a long line in memory.
const MAX_LENGTH: usize = 2 * 1024 * 1024;

/// Reads one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    if text.len() > MAX_LENGTH {
        let message = format!("longer than {MAX_LENGTH} bytes, the most that is read as YAML");
        return Err(SyntaxError::new(Position::START, message));
    }
    let mut builder = Builder::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_error(text, &error))?;
        let position = position(span);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(SyntaxError::new(position, "a second document in one file"));
                }
            }
            other => builder.take(other, position)?,
        }
    }
    builder.root.ok_or_else(|| SyntaxError::new(Position::START, "the file is empty"))
}

fn position(span: Span) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position {
        line: number(span.start.line()).max(1),
        column: number(span.start.col()).saturating_add(1),
    }
}

fn scan_error(text: &str, error: &ScanError) -> SyntaxError {
    let position = position(Span::empty(*error.marker()));
    let refusal = Refusal::new(format!("not YAML: {}", shown(error.info())));
    let line = text.lines().nth(position.line as usize - 1).unwrap_or_default();
    let unquoted_star = line.contains(": *") || line.contains("- *") || line.contains("[*");
    let refusal =
        if unquoted_star { refusal.hint("write `*` in quotes, or `Any`") } else { refusal };
    SyntaxError { position, refusal }
}

/// A mapping or sequence that is not closed yet.
enum Open {
    Sequence(Position, Vec<Node>),
    Mapping(Position, Vec<Field>, Option<(Box<str>, Position)>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    values: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), SyntaxError> {
        let refuse = |what| Err(SyntaxError::new(position, format!("{what} are not supported")));
        match event {
            Event::Alias(_) => refuse("YAML aliases"),
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                refuse("YAML anchors")
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => refuse("YAML tags"),
            Event::Scalar(text, style, ..) => self.scalar(text, style, position),
            Event::SequenceStart(..) => self.start(Open::Sequence(position, Vec::new()), position),
            Event::MappingStart(..) => {
                self.start(Open::Mapping(position, Vec::new(), None), position)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn start(&mut self, open: Open, position: Position) -> Result<(), SyntaxError> {
        if let Some(Open::Mapping(_, _, None)) = self.open.last() {
            return Err(SyntaxError::new(position, "a key must be a plain text"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxError::too_deep(position));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        match self.open.pop() {
            Some(Open::Sequence(position, elements)) => {
                self.value(Node { position, value: Value::Array(elements) })
            }
            Some(Open::Mapping(position, fields, _)) => {
                self.value(Node { position, value: Value::Object(fields) })
            }
            None => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        position: Position,
    ) -> Result<(), SyntaxError> {
        if let Some(Open::Mapping(_, _, key @ None)) = self.open.last_mut() {
            if text == "<<" && style == ScalarStyle::Plain {
                return Err(SyntaxError::new(position, "YAML merge keys are not supported"));
            }
            *key = Some((text.into(), position));
            return Ok(());
        }
        let value = match style {
            ScalarStyle::Plain => plain(&text),
            _ => Value::String(text.into()),
        };
        self.value(Node { position, value })
    }

    fn value(&mut self, node: Node) -> Result<(), SyntaxError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(SyntaxError::too_many(node.position));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence(_, elements)) => elements.push(node),
            Some(Open::Mapping(_, fields, key)) => {
                if let Some((key, key_position)) = key.take() {
                    fields.push(Field { key, key_position, node });
                }
            }
        }
        Ok(())
    }
}

/// Resolves a scalar without quotes by YAML 1.2's core schema. Numbers stay as written: `443` is as good as `"443"`.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.into()),
        _ => Value::String(text.into()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit()) && text.parse::<f64>().is_ok()
}
