//! The functions that make a text.
//!
//! In come the values of the arguments, out goes the text, or nothing where the function does not take them. Never grows
//! a text without bound.

use super::{MAX_TEXT, number, string, text_of};
use crate::nsg::load::arm_template::UNKNOWN_PART;
use crate::nsg::load::document::Value;

/// Calls a function, named in lower case.
pub(super) fn texts(name: &str, values: &[&Value]) -> Option<Value> {
    let text = match (name, values) {
        ("concat", [_, ..]) => plain_texts(values)?.concat(),
        ("format", [pattern, arguments @ ..]) => {
            format(text_of(pattern)?, &plain_texts(arguments)?)?
        }
        ("string", [value]) => plain_text(value)?,
        ("tolower", [text]) => text_of(text)?.to_lowercase(),
        ("toupper", [text]) => text_of(text)?.to_uppercase(),
        ("trim", [text]) => text_of(text)?.trim().to_owned(),
        ("replace", [text, old, new]) => {
            let (text, old, new) = (text_of(text)?, text_of(old)?, text_of(new)?);
            let is_bounded = text.len().checked_mul(new.len().max(1))? <= MAX_TEXT * 64;
            if old.is_empty() || !is_bounded {
                return None;
            }
            text.replace(old, new)
        }
        ("substring", [text, start, rest @ ..]) => {
            let start = usize::try_from(number(start)?).ok()?;
            let rest_of_text = text_of(text)?.chars().skip(start);
            match rest {
                [] => rest_of_text.collect(),
                [length] => rest_of_text.take(usize::try_from(number(length)?).ok()?).collect(),
                _ => return None,
            }
        }
        ("take", [text, count]) => {
            text_of(text)?.chars().take(usize::try_from(number(count)?).unwrap_or(0)).collect()
        }
        ("skip", [text, count]) => {
            text_of(text)?.chars().skip(usize::try_from(number(count)?).unwrap_or(0)).collect()
        }
        ("first", [text]) => text_of(text)?.chars().take(1).collect(),
        ("last", [text]) => text_of(text)?.chars().last().map(String::from).unwrap_or_default(),
        ("join", [Value::Array(elements), separator]) => {
            let parts: Option<Vec<String>> =
                elements.iter().map(|element| plain_text(&element.value)).collect();
            parts?.join(text_of(separator)?)
        }
        ("resourceid", [_, ..]) => resource_id(&plain_texts(values)?)?,
        _ => return None,
    };
    Some(string(&text))
}

/// Writes `{0}` and `{1}` out; a brace is written twice. Formats after a colon are not known here.
fn format(pattern: &str, arguments: &[String]) -> Option<String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at_checked(at)?;
        text.push_str(before);
        if let Some(after) = brace.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else {
            let (index, after) = brace.strip_prefix('{')?.split_once('}')?;
            text.push_str(arguments.get(index.trim().parse::<usize>().ok()?)?);
            rest = after;
        }
        if text.len() > MAX_TEXT {
            return None;
        }
    }
    text.push_str(rest);
    Some(text)
}

/// The id of a resource. Subscription and resource group are the deployment's and stay open unless they are given.
fn resource_id(arguments: &[String]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument.contains('/'))?;
    let (scope, rest) = arguments.split_at_checked(at)?;
    let (kind, names) = rest.split_first()?;
    let (subscription, group) = match scope {
        [] => (UNKNOWN_PART, UNKNOWN_PART),
        [group] => (UNKNOWN_PART, group.as_str()),
        [subscription, group] => (subscription.as_str(), group.as_str()),
        _ => return None,
    };
    let mut kinds = kind.split('/');
    let namespace = kinds.next()?;
    let kinds: Vec<&str> = kinds.collect();
    if kinds.len() != names.len() {
        return None;
    }
    let mut id =
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}");
    for (kind, name) in kinds.iter().zip(names) {
        id = format!("{id}/{kind}/{name}");
    }
    Some(id)
}

fn plain_texts(values: &[&Value]) -> Option<Vec<String>> {
    values.iter().map(|value| plain_text(value)).collect()
}

fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) | Value::Number(text) => Some(text.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
