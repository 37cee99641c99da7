//! Draws the state; fits 80 columns and 24 lines, and uses more where there are more.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Sparkline, Table, Wrap};

use super::keys::HELP;
use super::model::{Dialog, Model, Rates, Sort, is_default_deny};
use crate::cli::record::{Record, plain};
use crate::control::rules::RuleLine;

/// Colours, or none where nobody wants any; bold and reversed words stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) colour: bool,
}

impl Palette {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn allow(self) -> Style {
        self.of(Color::Green)
    }

    fn deny(self) -> Style {
        self.of(Color::Red)
    }

    fn alarm(self) -> Style {
        self.of(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    fn faint(self) -> Style {
        self.of(Color::Cyan)
    }

    fn title(self) -> Style {
        self.of(Color::Cyan).add_modifier(Modifier::BOLD)
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, palette: Palette) {
    let [head, counters, bars, lists, denies, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Min(5),
        Constraint::Length(frame.area().height.saturating_sub(7) * 2 / 5),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(head_line(model, palette), head);
    frame.render_widget(counter_line(model, palette), counters);
    draw_bars(frame, bars, model, palette);
    let [rules, talkers] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(30)]).spacing(1).areas(lists);
    draw_rules(frame, rules, model, palette);
    draw_talkers(frame, talkers, model, palette);
    draw_denies(frame, denies, model, palette);
    frame.render_widget(foot_line(model, palette), foot);
    if let Some(dialog) = &model.dialog {
        draw_dialog(frame, dialog, palette);
    }
}

fn head_line(model: &Model, palette: Palette) -> Line<'static> {
    let mut spans = vec![Span::styled("nsgwatch", palette.title())];
    if let Some(totals) = &model.totals {
        let text = format!("  {}  rules rev {}", plain(&totals.interfaces), totals.revision);
        spans.push(Span::raw(text));
        if totals.reload_failed {
            spans.push(Span::styled("  LAST RELOAD FAILED", palette.alarm()));
        }
        spans.push(Span::raw(format!(
            "  {} flows/s  {} packets/s  {} live",
            model.rates().flows(),
            model.rates().packets,
            totals.live
        )));
    } else if model.away.is_none() {
        spans.push(Span::raw("  asking the agent..."));
    }
    if model.paused {
        spans.push(Span::styled("  PAUSED", palette.alarm()));
    }
    Line::from(spans)
}

fn counter_line(model: &Model, palette: Palette) -> Line<'static> {
    if let Some(reason) = &model.away {
        return Line::styled(format!("AGENT AWAY, trying again: {reason}"), palette.alarm());
    }
    let Some(totals) = &model.totals else { return Line::default() };
    let lost = |count: u64| if count == 0 { Style::new() } else { palette.alarm() };
    Line::from(vec![
        Span::styled(format!("{} allowed", totals.verdicts.allow), palette.allow()),
        Span::raw("  "),
        Span::styled(format!("{} denied", totals.verdicts.deny), palette.deny()),
        Span::raw("  "),
        Span::styled(format!("{} undecided", totals.verdicts.undecided), palette.of(Color::Yellow)),
        Span::raw("  "),
        Span::styled(format!("kernel drops {}", totals.kernel_drops), lost(totals.kernel_drops)),
        Span::raw("  "),
        Span::styled(format!("records lost {}", totals.records_lost), lost(totals.records_lost)),
        Span::raw("  "),
        Span::styled(format!("unseen {}", model.unseen), lost(model.unseen)),
    ])
}

/// What of the rates a bar shows.
type Count = fn(&Rates) -> u64;

/// Allowed and denied flows a second, two lines each, on one scale each; the newest on the right.
fn draw_bars(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let [above, below] = Layout::vertical([Constraint::Length(2); 2]).areas(area);
    let rates = model.rates();
    let rows: [(Rect, &str, u64, Style, Count); 2] = [
        (above, "allow/s", rates.allow, palette.allow(), |rates| rates.allow),
        (below, "deny/s", rates.deny, palette.deny(), |rates| rates.deny),
    ];
    for (area, word, now, style, count) in rows {
        let [label, bars] =
            Layout::horizontal([Constraint::Length(15), Constraint::Fill(1)]).areas(area);
        let most = model.history.iter().map(count).max().unwrap_or(0);
        let text = format!("{word} {now}\nmost {most}");
        frame.render_widget(Paragraph::new(text), label);
        let width = usize::from(bars.width);
        let shown = model.history.iter().skip(model.history.len().saturating_sub(width));
        let padding = width.saturating_sub(model.history.len());
        let data: Vec<u64> = std::iter::repeat_n(0, padding).chain(shown.map(count)).collect();
        frame.render_widget(Sparkline::default().data(data).style(style), bars);
    }
}

fn block(title: String, palette: Palette) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(Span::styled(title, palette.title()))
}

fn draw_rules(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let rules = model.rules();
    let row = |rule: &&RuleLine| {
        let style = if is_default_deny(rule) && rule.hits != Some(0) {
            palette.deny().add_modifier(Modifier::BOLD)
        } else {
            Style::new()
        };
        let last = match model.sort {
            Sort::LastHit => rule.last_hit.as_deref().and_then(|time| time.get(11..19)),
            Sort::Hits | Sort::Evaluation => None,
        };
        Row::new(vec![
            rule.hits.map_or_else(|| "-".to_owned(), |hits| hits.to_string()),
            if rule.direction == "Inbound" { "in" } else { "out" }.to_owned(),
            rule.layer.to_string(),
            rule.access.to_string(),
            last.map_or_else(|| rule.priority.to_string(), str::to_owned),
            plain(&rule.name),
        ])
        .style(style)
    };
    let widths = [
        Constraint::Length(8),
        Constraint::Length(3),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(if model.sort == Sort::LastHit { 8 } else { 5 }),
        Constraint::Fill(1),
    ];
    let when = if model.sort == Sort::LastHit { "last" } else { "prio" };
    let header = Row::new(["flows", "dir", "layer", "says", when, "rule"]).style(palette.faint());
    let table = Table::new(rules.iter().map(row), widths)
        .header(header)
        .block(block(format!("rules by {}", model.sort.word()), palette));
    frame.render_widget(table, area);
}

fn draw_talkers(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let talkers = model.talkers();
    let rows = talkers.iter().map(|talker| {
        let style = if talker.denied > 0 { palette.deny() } else { Style::new() };
        Row::new(vec![talker.flows.to_string(), talker.denied.to_string(), talker.address.clone()])
            .style(style)
    });
    let widths = [Constraint::Length(6), Constraint::Length(6), Constraint::Fill(1)];
    let header = Row::new(["flows", "denied", "address"]).style(palette.faint());
    let table =
        Table::new(rows, widths).header(header).block(block("who talks most".to_owned(), palette));
    frame.render_widget(table, area);
}

fn draw_denies(frame: &mut Frame<'_>, area: Rect, model: &Model, palette: Palette) {
    let denies = model.denies();
    let title = if model.filter.is_empty() {
        "newest denies".to_owned()
    } else {
        format!("newest denies with `{}`", model.filter)
    };
    let room = usize::from(area.height.saturating_sub(1)).max(1);
    let first = (model.selected + 1).saturating_sub(room);
    let line = |(place, record): (usize, &&Record)| {
        let style = palette.deny();
        let marked = style.add_modifier(Modifier::REVERSED);
        Line::styled(deny_text(record), if place == model.selected { marked } else { style })
    };
    let lines: Vec<Line<'_>> = denies.iter().enumerate().skip(first).take(room).map(line).collect();
    frame.render_widget(Paragraph::new(lines).block(block(title, palette)), area);
}

fn deny_text(record: &Record) -> String {
    let direction = if record.is_inbound() { "in" } else { "out" };
    format!(
        "{} {direction:3} {:4} {} -> {}  {}",
        record.time_of_day().get(..8).unwrap_or_default(),
        record.transport,
        record.source(),
        record.destination(),
        record.rule()
    )
}

fn foot_line(model: &Model, palette: Palette) -> Line<'static> {
    if model.editing_filter {
        let text = format!("filter: {}_   Enter keeps it, Esc takes it back", model.filter);
        return Line::styled(text, palette.title());
    }
    let pause = if model.paused { "go on" } else { "pause" };
    Line::raw(format!("q quit  p {pause}  s sort  / filter  up/down Enter explain  ? help"))
}

fn draw_dialog(frame: &mut Frame<'_>, dialog: &Dialog, palette: Palette) {
    let (title, text, from) = match dialog {
        Dialog::Help => ("keys", help(), 0),
        Dialog::Waiting => ("why", "asking the agent...".to_owned(), 0),
        Dialog::Text(text, from) => {
            ("why: up, down, PgUp and PgDn scroll, any other key closes", text.clone(), *from)
        }
    };
    let area = frame.area();
    let width = usize::from(area.width.saturating_sub(2)).max(1);
    let rows = |line: &str| line.chars().count().div_ceil(width).max(1);
    let wanted = text.lines().map(rows).sum::<usize>() + 2;
    let wanted = u16::try_from(wanted).unwrap_or(u16::MAX);
    let height = wanted.min(area.height.saturating_sub(2)).max(3).min(area.height);
    let over = Rect { y: area.y + (area.height - height) / 2, height, ..area };
    let lines: Vec<Line<'_>> = text.lines().skip(from).map(Line::raw).collect();
    let block = Block::bordered().title(Span::styled(title, palette.title()));
    frame.render_widget(Clear, over);
    // An explanation may be wider than the screen.
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(block), over);
}

fn help() -> String {
    let lines = HELP.map(|(key, what)| format!("{key:11} {what}"));
    lines.join("\n")
}
