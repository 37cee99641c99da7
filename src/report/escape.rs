//! Makes text harmless for whoever reads a line: a program, a person, a terminal.
//!
//! In comes any text, out goes text that ends no line and drives no terminal. Never fails and never drops a character.

use std::fmt::Write;

/// Says whether a character could end a line, command a terminal or reorder what is shown: control characters (C0,
/// DEL, C1), line and paragraph separators, and the marks and overrides of bidirectional text.
const fn is_harmful(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Appends text as the inside of a JSON string.
pub(super) fn push_json(out: &mut String, text: &str) {
    push(out, text, |character| matches!(character, '"' | '\\'));
}

/// Appends text for people. A backslash is doubled, so that an escape can not be forged either.
pub fn push_plain(out: &mut String, text: &str) {
    push(out, text, |character| character == '\\');
}

fn push(out: &mut String, text: &str, needs_backslash: impl Fn(char) -> bool) {
    for character in text.chars() {
        if is_harmful(character) {
            // Writing to a string can not fail. All harmful characters have at most four hexadecimal digits.
            _ = write!(out, "\\u{:04x}", u32::from(character));
        } else {
            if needs_backslash(character) {
                out.push('\\');
            }
            out.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_harmful_gets_through() {
        for (text, json, plain) in [
            ("AllowSsh_1.a-b", "AllowSsh_1.a-b", "AllowSsh_1.a-b"),
            ("a\"b\\c", "a\\\"b\\\\c", "a\"b\\\\c"),
            ("a\nb\x1b[2J", "a\\u000ab\\u001b[2J", "a\\u000ab\\u001b[2J"),
            ("\x7f\u{9b}", "\\u007f\\u009b", "\\u007f\\u009b"),
            ("\u{202e}\u{2066}\u{2028}", "\\u202e\\u2066\\u2028", "\\u202e\\u2066\\u2028"),
            ("règle-é-日本", "règle-é-日本", "règle-é-日本"),
        ] {
            let (mut as_json, mut as_plain) = (String::new(), String::new());
            push_json(&mut as_json, text);
            push_plain(&mut as_plain, text);
            assert_eq!((as_json.as_str(), as_plain.as_str()), (json, plain));
            let back: String = serde_json::from_str(&format!("\"{as_json}\"")).unwrap();
            assert_eq!(back, text);
        }
    }
}
