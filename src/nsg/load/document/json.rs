//! JSON, strictly: `serde_json` decides whether it is JSON at all, `jsonc-parser` says where everything stands.

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::de::IgnoredAny;

use super::{
    Cursor, Field, MAX_DEPTH, MAX_VALUES, Node, Position, SyntaxError, Value, json_error_message,
    position_of, position_of_json_error,
};
use crate::nsg::load::error::shown;

/// Reads one JSON value.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    // Skipping values is a loop in serde_json: it judges the syntax of any text without recursion.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let position = position_of_json_error(text, &error);
        return Err(SyntaxError::new(position, json_error_message(&error)));
    }
    check_limits(text)?;
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &strict).map_err(|error| {
        let position = position_of(text, error.range().start);
        SyntaxError::new(position, format!("not JSON: {}", shown(&error.kind().to_string())))
    })?;
    let root =
        parsed.value.ok_or_else(|| SyntaxError::new(Position::START, "the file is empty"))?;
    Ok(convert(root, &mut Cursor::new(text)))
}

/// Counts depth and values of a text that is known to be JSON, before a recursive parser sees it.
fn check_limits(text: &str) -> Result<(), SyntaxError> {
    let (mut depth, mut values) = (0_usize, 1_usize);
    let (mut in_string, mut escaped) = (false, false);
    for (offset, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(SyntaxError::too_deep(position_of(text, offset)));
        }
        if values > MAX_VALUES {
            return Err(SyntaxError::too_many(position_of(text, offset)));
        }
    }
    Ok(())
}

/// Copies the tree; recursion is as deep as the document, which is bounded.
fn convert(value: ast::Value<'_>, cursor: &mut Cursor<'_>) -> Node {
    let position = cursor.advance_to(value.range().start);
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => Value::Number(literal.value.into()),
        ast::Value::StringLit(literal) => Value::String(literal.value.into()),
        ast::Value::Array(array) => Value::Array(
            array.elements.into_iter().map(|element| convert(element, cursor)).collect(),
        ),
        ast::Value::Object(object) => Value::Object(
            object
                .properties
                .into_iter()
                .map(|property| {
                    let key_position = cursor.advance_to(property.range.start);
                    let key = property.name.into_string().into_boxed_str();
                    Field { key, key_position, node: convert(property.value, cursor) }
                })
                .collect(),
        ),
    };
    Node { position, value }
}
