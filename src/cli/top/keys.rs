//! What a key does to the state.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Dialog, Model};
use crate::cli::record::Record;

/// Lines of a page.
const PAGE: isize = 10;

/// Every key and what it does, for the help.
pub(super) const HELP: [(&str, &str); 8] = [
    ("q", "quit; also Ctrl-C"),
    ("p", "pause and go on; what comes meanwhile is not shown afterwards"),
    ("s", "sort the rules by hits, by last hit, in the order of evaluation"),
    ("/", "filter by a part of an address, a rule, a group; Esc takes it back"),
    ("up, down", "mark a denied flow, or scroll; also k, j"),
    ("PgUp, PgDn", "the same, ten lines at once"),
    ("Enter", "explain the marked flow: why the rules in force say what they say"),
    ("?", "this help; any key closes it"),
];

/// Takes one key in; returns the flow that is to be explained.
pub(super) fn press(model: &mut Model, key: KeyEvent) -> Option<Record> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        model.is_over |= key.code == KeyCode::Char('c');
        return None;
    }
    if model.dialog.is_some() {
        in_dialog(model, key.code);
        return None;
    }
    if model.editing_filter {
        in_filter(model, key.code);
        return None;
    }
    match key.code {
        KeyCode::Char('q') => model.is_over = true,
        KeyCode::Char('p') => model.paused = !model.paused,
        KeyCode::Char('s') => model.sort_otherwise(),
        KeyCode::Char('/') => model.editing_filter = true,
        KeyCode::Char('?') => model.dialog = Some(Dialog::Help),
        KeyCode::Esc => {
            model.filter.clear();
            model.selected = 0;
        }
        KeyCode::Enter => return model.explain_selected(),
        code => {
            if let Some(lines) = lines_down(code) {
                model.select(lines);
            }
        }
    }
    None
}

/// How far down a key goes; `None` of a key that goes nowhere.
const fn lines_down(key: KeyCode) -> Option<isize> {
    match key {
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::PageUp => Some(-PAGE),
        KeyCode::PageDown => Some(PAGE),
        _ => None,
    }
}

fn in_dialog(model: &mut Model, key: KeyCode) {
    match (&mut model.dialog, lines_down(key)) {
        (Some(Dialog::Text(text, line)), Some(lines)) => {
            let last = text.lines().count().saturating_sub(1);
            *line = line.saturating_add_signed(lines).min(last);
        }
        _ => model.dialog = None,
    }
}

fn in_filter(model: &mut Model, key: KeyCode) {
    match key {
        KeyCode::Enter => model.editing_filter = false,
        KeyCode::Esc => {
            model.filter.clear();
            model.editing_filter = false;
        }
        KeyCode::Backspace => model.edit_filter(None),
        KeyCode::Char(character) => model.edit_filter(Some(character)),
        _ => {}
    }
}
