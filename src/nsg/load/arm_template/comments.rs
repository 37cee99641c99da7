//! Comments, which Azure takes in templates though JSON has none.

/// Says whether a text claims to be a template; only there comments are taken.
pub(in crate::nsg::load) fn may_have_comments(text: &str) -> bool {
    text.contains("/deploymentTemplate.json") || text.contains("DeploymentTemplate.json")
}

/// Writes spaces over `// ...` and `/* ... */`, so that everything else stays at its line and column.
pub(in crate::nsg::load) fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/']) {
        let (before, found) = rest.split_at_checked(at).unwrap_or((rest, ""));
        plain.push_str(before);
        let (length, is_comment) = if found.starts_with("//") {
            (found.find('\n').unwrap_or(found.len()), true)
        } else if let Some(inside) = found.strip_prefix("/*") {
            (inside.find("*/").map_or(found.len(), |end| end + 4), true)
        } else if found.starts_with('"') {
            (length_of_string(found), false)
        } else {
            (1, false)
        };
        let (part, after) = found.split_at_checked(length).unwrap_or((found, ""));
        if is_comment {
            plain.extend(part.chars().map(|it| if it == '\n' { '\n' } else { ' ' }));
        } else {
            plain.push_str(part);
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// Returns the length in bytes of the string that a text begins with, both quotes included.
fn length_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return index + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_spaces_and_texts_stay() {
        for (text, expected) in [
            ("{ // é\n\"a\": 1 }", "{     \n\"a\": 1 }"),
            ("[1 /* x\ny */, 2]", "[1     \n    , 2]"),
            (
                r#"{"u": "https://x", "q": "\"//\\"} // c"#,
                r#"{"u": "https://x", "q": "\"//\\"}     "#,
            ),
            ("/* open", "       "),
            ("a / b", "a / b"),
            ("\"open // x", "\"open // x"),
        ] {
            assert_eq!(without_comments(text), expected, "{text}");
        }
    }
}
