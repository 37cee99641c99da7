//! The grammar of template expressions: `[concat(parameters('prefix'), '-nsg')]`.
//!
//! In comes the text between the brackets, out comes a tree of calls and literals. What the calls mean is not known
//! here. Source: Microsoft, *Syntax and expressions in ARM templates*.

/// The deepest nesting of calls; Azure's own limit is on the length, 24,576 characters.
const MAX_DEPTH: usize = 32;
const MAX_LENGTH: usize = 24_576;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// `'text'`.
    Text(String),
    /// `42`.
    Integer(i64),
    /// `name(arguments)`.
    Call(String, Vec<Self>),
    /// `base.name`.
    Member(Box<Self>, String),
    /// `base[index]`.
    Index(Box<Self>, Box<Self>),
}

/// Says whether a text of a template is an expression, and returns what stands between its brackets.
pub(super) fn inside_brackets(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    (!inner.starts_with('[')).then_some(inner)
}

/// Reads an expression; `None` where the text is none.
pub(super) fn parse(text: &str) -> Option<Expression> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut parser = Parser { rest: text };
    let expression = parser.expression(0)?;
    parser.skip_space();
    parser.rest.is_empty().then_some(expression)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn expression(&mut self, depth: usize) -> Option<Expression> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut expression = self.primary(depth)?;
        for _ in 0..MAX_DEPTH {
            if self.take('.') {
                let member = self.identifier()?.to_owned();
                expression = Expression::Member(Box::new(expression), member);
            } else if self.take('[') {
                let index = self.expression(depth + 1)?;
                if !self.take(']') {
                    return None;
                }
                expression = Expression::Index(Box::new(expression), Box::new(index));
            } else {
                return Some(expression);
            }
        }
        None
    }

    fn primary(&mut self, depth: usize) -> Option<Expression> {
        if self.take('\'') {
            return self.text().map(Expression::Text);
        }
        if self.rest.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            return self.integer();
        }
        // A user's own function has its namespace before a dot.
        let mut name = self.identifier()?.to_owned();
        if self.take('.') {
            name = format!("{name}.{}", self.identifier()?);
        }
        if !self.take('(') {
            return None;
        }
        let mut arguments = Vec::new();
        if self.take(')') {
            return Some(Expression::Call(name, arguments));
        }
        loop {
            arguments.push(self.expression(depth + 1)?);
            if self.take(')') {
                return Some(Expression::Call(name, arguments));
            }
            if !self.take(',') {
                return None;
            }
        }
    }

    /// Reads the rest of a text; a quote in it is written twice.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let (part, after) = self.rest.split_once('\'')?;
            text.push_str(part);
            if let Some(after) = after.strip_prefix('\'') {
                text.push('\'');
                self.rest = after;
            } else {
                self.rest = after;
                return Some(text);
            }
        }
    }

    fn integer(&mut self) -> Option<Expression> {
        let is_digit = |character: char| character.is_ascii_digit() || character == '-';
        let digits = self.split_while(is_digit);
        digits.parse().ok().map(Expression::Integer)
    }

    fn identifier(&mut self) -> Option<&'a str> {
        self.skip_space();
        let name = self.split_while(|character| character.is_alphanumeric() || character == '_');
        (!name.is_empty()).then_some(name)
    }

    fn split_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !belongs(character)).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        part
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                // Space inside a text belongs to it.
                if wanted != '\'' {
                    self.skip_space();
                }
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_members_indices_and_quotes_are_read() {
        let call = |name: &str, arguments| Expression::Call(name.to_owned(), arguments);
        let text = |text: &str| Expression::Text(text.to_owned());
        for (source, expected) in [
            ("parameters('a')", call("parameters", vec![text("a")])),
            (" concat( 'it''s' , 7 ) ", call("concat", vec![text("it's"), Expression::Integer(7)])),
            ("f(' x ')", call("f", vec![text(" x ")])),
            (
                "v('a').b[-1]",
                Expression::Index(
                    Box::new(Expression::Member(
                        Box::new(call("v", vec![text("a")])),
                        "b".to_owned(),
                    )),
                    Box::new(Expression::Integer(-1)),
                ),
            ),
            ("my.own()", call("my.own", vec![])),
        ] {
            assert_eq!(parse(source), Some(expected), "{source}");
        }
        for source in
            ["", "a", "a(", "a(,)", "'x", "a() b", "a(1", "1.5.", "99999999999999999999", "é("]
        {
            assert_eq!(parse(source), None, "{source}");
        }
        assert_eq!(parse(&"f(".repeat(5000)), None);
    }

    #[test]
    fn two_brackets_are_a_text_that_begins_with_one() {
        assert_eq!(inside_brackets("[a()]"), Some("a()"));
        assert_eq!(inside_brackets("[[a()]"), None);
        assert_eq!(inside_brackets("[a()"), None);
        assert_eq!(inside_brackets("a()"), None);
    }
}
