//! The state without a screen, and the screen without a terminal.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::keys::press;
use super::model::{Dialog, News, Sort, Totals};
use super::screen::draw;
use super::*;
use crate::cli::record::Record;
use crate::control::rules::{InterfaceRules, Resolved, RuleLine};
use crate::engine::VerdictCounters;
use crate::nsg::{AdminAccess, Layer};

fn totals(allow: u64, deny: u64) -> Totals {
    Totals {
        interfaces: "eth0".to_owned(),
        revision: 3,
        live: 17,
        verdicts: VerdictCounters { allow, deny, undecided: 0 },
        packets: 10 * (allow + deny),
        kernel_drops: 5,
        ..Totals::default()
    }
}

fn rule(name: &str, access: AdminAccess, hits: Option<u64>, last_hit: Option<&str>) -> RuleLine {
    let any = || Resolved {
        values: vec!["*".to_owned()],
        ipv4_prefixes: 1,
        ipv6_prefixes: 1,
        unresolved: 0,
    };
    RuleLine {
        direction: "Inbound".to_owned(),
        layer: Layer::Nic,
        network_security_group: "web-nsg".to_owned(),
        priority: if access == AdminAccess::Deny { 65500 } else { 100 },
        name: name.to_owned(),
        is_default_rule: access == AdminAccess::Deny,
        access,
        protocol: "*".to_owned(),
        source: any(),
        source_ports: "*".to_owned(),
        destination: any(),
        destination_ports: "*".to_owned(),
        hits,
        last_hit: last_hit.map(str::to_owned),
    }
}

fn record(event: &str, access: &str, source: &str, port: u16) -> Record {
    serde_json::from_value(json!({
        "timestamp": "2026-11-23T08:08:46.135859462Z", "event": event, "access": access,
        "direction": "Inbound", "security_rule.name": "DenyAllInBound",
        "security_rule.ruleset.name": "web-nsg", "security_rule.layer": "nic",
        "security_rule.priority": 65500, "network.transport": "tcp",
        "network.interface.name": "eth0", "source.address": source, "source.port": 50000,
        "destination.address": "10.0.0.4", "destination.port": port,
    }))
    .unwrap()
}

/// A state with two seconds of traffic.
fn busy() -> Model {
    let mut model = Model::default();
    let start = Instant::now();
    model.take(News::Totals(start, totals(100, 10)));
    model.take(News::Totals(start + Duration::from_secs(2), totals(500, 30)));
    let rules = vec![
        rule("allow-web", AdminAccess::Allow, Some(500), Some("2026-11-23T08:00:00.000Z")),
        rule("allow-ssh", AdminAccess::Allow, Some(0), None),
        rule("DenyAllInBound", AdminAccess::Deny, Some(30), Some("2026-11-23T09:00:00.000Z")),
    ];
    model.take(News::Rules(vec![InterfaceRules {
        interface: "eth0".to_owned(),
        policy_revision: 3,
        without_rule: 0,
        by_former_rules: 0,
        rules,
    }]));
    model.take(News::Records(vec![
        record("flow_start", "Allow", "203.0.113.7", 443),
        record("flow_start", "Deny", "203.0.113.9", 22),
        record("flow_start", "Deny", "203.0.113.9", 23),
    ]));
    model
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn type_text(model: &mut Model, text: &str) {
    for character in text.chars() {
        press(model, key(KeyCode::Char(character)));
    }
}

fn lines(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, Palette { colour: true })).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[test]
fn rates_are_differences_by_the_time_between() {
    let model = busy();
    assert_eq!((model.rates().allow, model.rates().deny, model.rates().packets), (200, 10, 2100));
}

#[test]
fn an_agent_that_was_started_anew_makes_no_negative_rate() {
    let mut model = busy();
    model.take(News::Totals(Instant::now() + Duration::from_secs(3), totals(1, 0)));
    assert_eq!(model.rates().flows(), 0);
}

#[test]
fn rules_are_sorted_as_asked() {
    let mut model = busy();
    let names = |model: &Model| -> Vec<String> {
        model.rules().iter().map(|rule| rule.name.clone()).collect()
    };
    assert_eq!(names(&model), ["allow-web", "DenyAllInBound", "allow-ssh"]);
    press(&mut model, key(KeyCode::Char('s')));
    assert_eq!(names(&model), ["DenyAllInBound", "allow-web", "allow-ssh"]);
    press(&mut model, key(KeyCode::Char('s')));
    assert_eq!((names(&model)[0].as_str(), model.sort), ("allow-web", Sort::Evaluation));
}

#[test]
fn the_filter_narrows_all_lists_until_it_is_taken_back() {
    let mut model = busy();
    press(&mut model, key(KeyCode::Char('/')));
    type_text(&mut model, "113.9x");
    press(&mut model, key(KeyCode::Backspace));
    press(&mut model, key(KeyCode::Enter));
    assert_eq!((model.denies().len(), model.talkers().len(), model.rules().len()), (2, 1, 0));
    press(&mut model, key(KeyCode::Char('q')));
    assert!(model.is_over, "the filter is not edited any more");
    press(&mut model, key(KeyCode::Esc));
    assert_eq!((model.denies().len(), model.talkers().len(), model.rules().len()), (2, 2, 3));
}

#[test]
fn while_it_is_paused_nothing_changes_but_the_agents_absence() {
    let mut model = busy();
    press(&mut model, key(KeyCode::Char('p')));
    model.take(News::Records(vec![record("flow_start", "Deny", "203.0.113.1", 1)]));
    model.take(News::Rules(Vec::new()));
    assert_eq!((model.denies().len(), model.rules().len()), (2, 3));
    model.take(News::Away("no agent answers".to_owned()));
    assert!(lines(&model, 80, 24)[1].starts_with("AGENT AWAY, trying again: no agent answers"));
    press(&mut model, key(KeyCode::Char('p')));
    model.take(News::Records(vec![record("flow_start", "Deny", "203.0.113.1", 1)]));
    assert_eq!(model.denies().len(), 3);
}

#[test]
fn the_mark_stays_on_its_flow_and_enter_asks_why() {
    let mut model = busy();
    press(&mut model, key(KeyCode::Down));
    model.take(News::Records(vec![record("flow_start", "Deny", "203.0.113.1", 1)]));
    let asked = press(&mut model, key(KeyCode::Enter)).unwrap();
    assert_eq!((asked.source.as_str(), asked.destination_port), ("203.0.113.9", Some(22)));
    model.take(News::Explained("one\ntwo\n".to_owned()));
    press(&mut model, key(KeyCode::Down));
    press(&mut model, key(KeyCode::Down));
    assert_eq!(model.dialog, Some(Dialog::Text("one\ntwo\n".to_owned(), 1)));
    press(&mut model, key(KeyCode::PageUp));
    assert_eq!(model.dialog, Some(Dialog::Text("one\ntwo\n".to_owned(), 0)));
    press(&mut model, key(KeyCode::Char('q')));
    assert!(model.dialog.is_none() && !model.is_over, "any other key closes the dialog only");
    model.take(News::Explained("late".to_owned()));
    assert!(model.dialog.is_none(), "an answer that nobody waits for is not shown");
}

#[test]
fn everything_kept_is_bounded() {
    let mut model = Model::default();
    let addresses = (0..5000_u32).map(std::net::Ipv4Addr::from);
    let deny = |address: std::net::Ipv4Addr| record("flow_start", "Deny", &address.to_string(), 22);
    model.take(News::Records(addresses.map(deny).collect()));
    assert!(model.talkers().len() <= 4096 && model.denies().len() == 200);
    let start = Instant::now();
    for second in 0..400 {
        model.take(News::Totals(start + Duration::from_secs(second), totals(second, 0)));
    }
    assert_eq!(model.history.len(), 300);
    model.editing_filter = true;
    type_text(&mut model, &"x".repeat(1000));
    assert_eq!(model.filter.len(), 60);
}

#[test]
fn lost_records_are_summed_up_and_shown() {
    let mut model = busy();
    for count in [3, 4] {
        let lost = json!({ "event": "lost", "count": count });
        model.take(News::Records(vec![serde_json::from_value(lost).unwrap()]));
    }
    let lines = lines(&model, 80, 24);
    assert!(lines[1].ends_with("unseen 7"), "{lines:#?}");
}

#[test]
fn the_screen_fits_80_columns_and_24_lines() {
    let lines = lines(&busy(), 80, 24);
    let text = lines.join("\n");
    for words in [
        "nsgwatch  eth0  rules rev 3  210 flows/s  2100 packets/s  17 live",
        "500 allowed  30 denied  0 undecided  kernel drops 5  records lost 0  unseen 0",
        "allow/s 200",
        "most 200",
        "flows    dir layer  says   prio  rule",
        "flows  denied address",
        "rules by hits",
        "500      in  nic    Allow  100   allow-web",
        "30       in  nic    Deny   65500 DenyAllInBound",
        "2      2      203.0.113.9",
        "newest denies",
        "08:08:46 in  tcp  203.0.113.9:50000 -> 10.0.0.4:23  DenyAllInBound",
        "q quit  p pause  s sort  / filter",
    ] {
        assert!(text.contains(words), "no `{words}` in\n{text}");
    }
}

#[test]
fn default_denies_stand_out() {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let style_of = |terminal: &Terminal<TestBackend>, words: &str| {
        let buffer = terminal.backend().buffer();
        (0..24).find_map(|y| {
            let line: String = (0..80).map(|x| buffer[(x, y)].symbol()).collect();
            line.contains(words).then(|| buffer[(0, y)].style())
        })
    };
    for colour in [true, false] {
        terminal.draw(|frame| draw(frame, &busy(), Palette { colour })).unwrap();
        let allow = style_of(&terminal, "allow-web").unwrap();
        let deny = style_of(&terminal, "65500 DenyAllInBound").unwrap();
        assert_ne!(allow, deny);
    }
}

#[test]
fn no_size_and_no_state_makes_the_drawing_panic() {
    let mut model = busy();
    for dialog in [None, Some(Dialog::Help), Some(Dialog::Text("x\n".repeat(99), 50))] {
        model.dialog = dialog;
        for (width, height) in [(1, 1), (3, 2), (20, 5), (80, 24), (300, 100), (79, 3)] {
            lines(&model, width, height);
        }
    }
    lines(&Model::default(), 80, 24);
}
