//! The functions of template expressions whose value follows from their arguments alone.
//!
//! Source: Microsoft, *ARM template functions*. A function that is not here is named as what can not be resolved.
//! In come resolved arguments, out goes a value of bounded size; nothing here looks at a template.

mod texts;

use std::rc::Rc;

use self::texts::texts;
use crate::nsg::load::document::{Node, Value};

/// The longest text that a function may make.
const MAX_TEXT: usize = 128 * 1024;
/// The most elements that a function may make.
const MAX_ELEMENTS: usize = 10_000;

const KNOWN: [&str; 42] = [
    "add",
    "and",
    "array",
    "bool",
    "coalesce",
    "concat",
    "contains",
    "createarray",
    "div",
    "empty",
    "endswith",
    "equals",
    "false",
    "first",
    "format",
    "greater",
    "greaterorequals",
    "if",
    "int",
    "last",
    "length",
    "less",
    "lessorequals",
    "mod",
    "mul",
    "not",
    "null",
    "or",
    "range",
    "replace",
    "resourceid",
    "skip",
    "split",
    "startswith",
    "string",
    "sub",
    "substring",
    "take",
    "tolower",
    "toupper",
    "trim",
    "true",
];

/// Says whether a function, named in lower case, is one of these.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
        || matches!(name, "join" | "union" | "parameters" | "variables" | "copyindex")
}

/// Calls a function, named in lower case; `None` where there is no such function here.
pub(super) fn call(name: &str, arguments: &[Rc<Node>]) -> Option<Result<Value, String>> {
    let values: Vec<&Value> = arguments.iter().map(|argument| &argument.value).collect();
    if !is_known(name) {
        return None;
    }
    let done = logic(name, &values)
        .or_else(|| numbers(name, &values))
        .or_else(|| lists(name, &values))
        .or_else(|| texts(name, &values));
    Some(match done {
        Some(value) if size(&value) > MAX_TEXT => {
            Err(format!("`{name}(...)` gives too large a value"))
        }
        Some(value) => Ok(value),
        None => Err(format!("`{name}(...)` does not take these arguments")),
    })
}

/// Returns about how much memory a value takes, in values and blocks of 64 bytes.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(text) | Value::String(text) => 1 + text.len() / 64,
        Value::Array(elements) => 1 + elements.iter().map(|it| size(&it.value)).sum::<usize>(),
        Value::Object(fields) => {
            1 + fields.iter().map(|field| 1 + size(&field.node.value)).sum::<usize>()
        }
    }
}

fn logic(name: &str, values: &[&Value]) -> Option<Value> {
    let truth = match (name, values) {
        ("true", []) => true,
        ("false", []) => false,
        ("null", []) => return Some(Value::Null),
        ("not", [Value::Bool(value)]) => !value,
        ("and" | "or", [_, ..]) => {
            let truths: Option<Vec<bool>> = values
                .iter()
                .map(|value| if let Value::Bool(value) = value { Some(*value) } else { None })
                .collect();
            let mut truths = truths?.into_iter();
            if name == "and" { truths.all(|it| it) } else { truths.any(|it| it) }
        }
        ("bool", [value]) => match (value, text_of(value)) {
            (Value::Bool(value), _) => *value,
            (_, Some(text)) if text.eq_ignore_ascii_case("true") || text == "1" => true,
            (_, Some(text)) if text.eq_ignore_ascii_case("false") || text == "0" => false,
            _ => return None,
        },
        ("equals", [one, other]) => equal(one, other),
        ("coalesce", [_, ..]) => {
            let first = values.iter().find(|value| ***value != Value::Null);
            return Some(first.map_or(Value::Null, |value| (*value).clone()));
        }
        ("less" | "lessorequals" | "greater" | "greaterorequals", [one, other]) => {
            let order = match (number(one), number(other)) {
                (Some(one), Some(other)) => one.cmp(&other),
                _ => text_of(one)?.cmp(text_of(other)?),
            };
            match name {
                "less" => order.is_lt(),
                "lessorequals" => order.is_le(),
                "greater" => order.is_gt(),
                _ => order.is_ge(),
            }
        }
        ("empty", [value]) => match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(elements) => elements.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => return None,
        },
        ("contains", [Value::Array(elements), wanted]) => {
            elements.iter().any(|element| equal(&element.value, wanted))
        }
        ("contains", [Value::Object(fields), wanted]) => {
            let wanted = text_of(wanted)?;
            fields.iter().any(|field| field.is_named(wanted))
        }
        ("contains", [Value::String(text), wanted]) => text.contains(text_of(wanted)?),
        ("startswith", [text, start]) => {
            text_of(text)?.to_lowercase().starts_with(&text_of(start)?.to_lowercase())
        }
        ("endswith", [text, end]) => {
            text_of(text)?.to_lowercase().ends_with(&text_of(end)?.to_lowercase())
        }
        _ => return None,
    };
    Some(Value::Bool(truth))
}

fn numbers(name: &str, values: &[&Value]) -> Option<Value> {
    let result = match (name, values) {
        ("int", [value]) => text_of(value)?.trim().parse().ok()?,
        ("length", [Value::Array(elements)]) => i64::try_from(elements.len()).ok()?,
        ("length", [Value::Object(fields)]) => i64::try_from(fields.len()).ok()?,
        ("length", [Value::String(text)]) => i64::try_from(text.chars().count()).ok()?,
        (_, [one, other]) => {
            let (one, other) = (number(one)?, number(other)?);
            match name {
                "add" => one.checked_add(other)?,
                "sub" => one.checked_sub(other)?,
                "mul" => one.checked_mul(other)?,
                "div" => one.checked_div(other)?,
                "mod" => one.checked_rem(other)?,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Value::Number(result.to_string().into()))
}

fn lists(name: &str, values: &[&Value]) -> Option<Value> {
    let elements: Vec<Node> = match (name, values) {
        ("createarray", values) => {
            return Some(Value::Array(values.iter().map(|it| node(it)).collect()));
        }
        ("array", [Value::Array(elements)]) => elements.clone(),
        ("array", [value]) => vec![node(value)],
        ("concat", [Value::Array(_), ..]) => joined(values)?,
        ("union", [Value::Array(_), ..]) => {
            let mut distinct: Vec<Node> = Vec::new();
            for element in joined(values).filter(|all| all.len() <= 1000)? {
                if !distinct.iter().any(|known| equal(&known.value, &element.value)) {
                    distinct.push(element);
                }
            }
            distinct
        }
        ("range", [first, count]) => {
            let (first, count) = (number(first)?, usize::try_from(number(count)?).ok()?);
            let last = first.checked_add(i64::try_from(count.min(MAX_ELEMENTS)).ok()?)?;
            (first..last).map(|it| node(&Value::Number(it.to_string().into()))).collect()
        }
        ("split", [text, separator]) => {
            let separators: Vec<&str> = match separator {
                Value::Array(all) => all.iter().filter_map(Node::text).collect(),
                one => vec![text_of(one)?],
            };
            let mut parts = vec![text_of(text)?];
            for separator in separators.into_iter().filter(|it| !it.is_empty()) {
                parts = parts.into_iter().flat_map(|part| part.split(separator)).collect();
            }
            parts.into_iter().map(|part| node(&string(part))).collect()
        }
        ("first", [Value::Array(elements)]) => return elements.first().map(|it| it.value.clone()),
        ("last", [Value::Array(elements)]) => return elements.last().map(|it| it.value.clone()),
        ("take", [Value::Array(elements), count]) => {
            elements.iter().take(usize::try_from(number(count)?).unwrap_or(0)).cloned().collect()
        }
        ("skip", [Value::Array(elements), count]) => {
            elements.iter().skip(usize::try_from(number(count)?).unwrap_or(0)).cloned().collect()
        }
        _ => return None,
    };
    (elements.len() <= MAX_ELEMENTS).then_some(Value::Array(elements))
}

fn joined(values: &[&Value]) -> Option<Vec<Node>> {
    let mut all = Vec::new();
    for value in values {
        let Value::Array(elements) = value else { return None };
        all.extend(elements.iter().cloned());
        if all.len() > MAX_ELEMENTS {
            return None;
        }
    }
    Some(all)
}

/// Azure compares texts in `equals` with their letter case, and numbers as numbers.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| equal(&one.value, &other.value))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|field| {
                    other
                        .iter()
                        .find(|it| it.is_named(&field.key))
                        .is_some_and(|it| equal(&field.node.value, &it.node.value))
                })
        }
        _ => one == other,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    if let Value::Number(text) = value { text.parse().ok() } else { None }
}

fn string(text: &str) -> Value {
    Value::String(text.into())
}

fn node(value: &Value) -> Node {
    Node { position: crate::nsg::load::document::Position::START, value: value.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_with(name: &str, arguments: &[Value]) -> Option<Value> {
        let nodes: Vec<Rc<Node>> = arguments.iter().map(|it| Rc::new(node(it))).collect();
        call(name, &nodes)?.ok()
    }

    fn list(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|text| node(&string(text))).collect())
    }

    fn whole(number: i64) -> Value {
        Value::Number(number.to_string().into())
    }

    #[test]
    fn functions_give_what_azures_reference_says() {
        let id =
            "/subscriptions/(deployment)/resourceGroups/rg/providers/Microsoft.Network/a/x/b/y";
        for (name, arguments, expected) in [
            ("concat", vec![string("a"), whole(1)], Some(string("a1"))),
            ("concat", vec![list(&["a"]), list(&["b"])], Some(list(&["a", "b"]))),
            ("concat", vec![list(&["a"]), string("b")], None),
            ("format", vec![string("{0}-{1}{{x}}"), string("a"), whole(2)], Some(string("a-2{x}"))),
            ("format", vec![string("{1}"), string("a")], None),
            (
                "resourceid",
                ["rg", "Microsoft.Network/a/b", "x", "y"].map(string).to_vec(),
                Some(string(id)),
            ),
            ("resourceid", vec![string("Microsoft.Network/a/b"), string("x")], None),
            ("tolower", vec![string("AbC")], Some(string("abc"))),
            ("equals", vec![string("a"), string("A")], Some(Value::Bool(false))),
            ("and", vec![Value::Bool(true), Value::Bool(false)], Some(Value::Bool(false))),
            ("length", vec![list(&["a", "b"])], Some(whole(2))),
            ("add", vec![whole(i64::MAX), whole(1)], None),
            ("div", vec![whole(1), whole(0)], None),
            ("mod", vec![whole(i64::MIN), whole(-1)], None),
            ("split", vec![string("a,b"), string(",")], Some(list(&["a", "b"]))),
            ("range", vec![whole(i64::MAX), whole(9)], None),
            ("union", vec![list(&["a", "b"]), list(&["b"])], Some(list(&["a", "b"]))),
            ("last", vec![string("né")], Some(string("é"))),
            ("empty", vec![list(&[])], Some(Value::Bool(true))),
            ("int", vec![string("7")], Some(whole(7))),
            ("join", vec![list(&["a", "b"]), string("-")], Some(string("a-b"))),
            ("uniquestring", vec![string("a")], None),
        ] {
            assert_eq!(call_with(name, &arguments), expected, "{name}{arguments:?}");
        }
    }
}
