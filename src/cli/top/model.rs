//! What the screen shows: a state that news and keys change, and that draws nothing.
//!
//! In come [`News`] with the time at which they came, out go sorted and filtered lists. Everything it keeps is bounded.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::cli::record::Record;
use crate::control::rules::{InterfaceRules, RuleLine};
use crate::engine::VerdictCounters;
use crate::nsg::{Access, AdminAccess};

/// Seconds of history: one for each column of a wide screen.
const HISTORY: usize = 300;
/// Newest denied flows that are kept.
const DENIES: usize = 200;
/// Addresses that are counted, and how many of them are kept when there are more.
const MOST_TALKERS: usize = 4096;
const KEPT_TALKERS: usize = 1024;
/// Longest filter, in characters.
const LONGEST_FILTER: usize = 60;

/// What comes from the agent.
#[derive(Debug)]
pub(super) enum News {
    Totals(Instant, Totals),
    Rules(Vec<InterfaceRules>),
    Records(Vec<Record>),
    /// The text of an explanation.
    Explained(String),
    /// The agent does not answer, and why.
    Away(String),
    /// The program is told to end.
    Stop,
}

/// The agent's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) interfaces: String,
    pub(super) revision: u64,
    pub(super) reload_failed: bool,
    pub(super) live: u64,
    pub(super) verdicts: VerdictCounters,
    pub(super) packets: u64,
    pub(super) kernel_drops: u64,
    pub(super) records_lost: u64,
}

/// Events a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) allow: u64,
    pub(super) deny: u64,
    pub(super) undecided: u64,
    pub(super) packets: u64,
}

impl Rates {
    pub(super) const fn flows(self) -> u64 {
        self.allow + self.deny + self.undecided
    }
}

/// The flows of one address on the other side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Talker {
    pub(super) address: String,
    pub(super) flows: u64,
    pub(super) denied: u64,
    /// Of flows that have ended.
    pub(super) bytes: u64,
}

/// What lies over the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dialog {
    Help,
    /// An explanation, asked for and not there yet.
    Waiting,
    /// A text, from this line on.
    Text(String, usize),
}

/// By what the rules are sorted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Hits,
    LastHit,
    Evaluation,
}

impl Sort {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Hits => "hits",
            Self::LastHit => "last hit",
            Self::Evaluation => "evaluation",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Hits => Self::LastHit,
            Self::LastHit => Self::Evaluation,
            Self::Evaluation => Self::Hits,
        }
    }
}

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) totals: Option<Totals>,
    asked_at: Option<Instant>,
    /// The newest last.
    pub(super) history: VecDeque<Rates>,
    rules: Vec<RuleLine>,
    talkers: HashMap<String, Talker>,
    /// The newest first.
    denies: VecDeque<Record>,
    /// Records that this screen has not seen.
    pub(super) unseen: u64,
    /// Why the agent does not answer.
    pub(super) away: Option<String>,
    pub(super) paused: bool,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) editing_filter: bool,
    /// Which of the denied flows is marked.
    pub(super) selected: usize,
    pub(super) dialog: Option<Dialog>,
    pub(super) is_over: bool,
}

impl Model {
    /// Takes news in; while it is paused, what would change the screen is left out.
    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Stop => self.is_over = true,
            News::Away(reason) => self.away = Some(reason),
            News::Explained(text) => {
                // Whoever has closed the dialog does not want it any more.
                if self.dialog == Some(Dialog::Waiting) {
                    self.dialog = Some(Dialog::Text(text, 0));
                }
            }
            News::Totals(at, totals) => {
                self.away = None;
                if !self.paused {
                    self.take_totals(at, totals);
                }
            }
            News::Rules(interfaces) if !self.paused => {
                self.rules = interfaces.into_iter().flat_map(|it| it.rules).collect();
            }
            News::Records(records) if !self.paused => {
                for record in records {
                    self.take_record(record);
                }
            }
            News::Rules(_) | News::Records(_) => {}
        }
    }

    fn take_totals(&mut self, at: Instant, totals: Totals) {
        if let (Some(before), Some(asked_at)) = (&self.totals, self.asked_at) {
            let milliseconds = at.saturating_duration_since(asked_at).as_millis().max(1);
            let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
            // An agent that was started anew counts from 0 again.
            let rate = |now: u64, before: u64| {
                now.saturating_sub(before).saturating_mul(1000) / milliseconds
            };
            let (now, then) = (totals.verdicts, before.verdicts);
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(Rates {
                allow: rate(now.allow, then.allow),
                deny: rate(now.deny, then.deny),
                undecided: rate(now.undecided, then.undecided),
                packets: rate(totals.packets, before.packets),
            });
        }
        self.totals = Some(totals);
        self.asked_at = Some(at);
    }

    fn take_record(&mut self, record: Record) {
        if record.is_lost() {
            self.unseen += record.count;
            return;
        }
        let other_side = if record.is_inbound() { &record.source } else { &record.destination };
        if self.talkers.len() >= MOST_TALKERS && !self.talkers.contains_key(other_side) {
            self.forget_talkers();
        }
        let talker = self.talkers.entry(other_side.clone()).or_default();
        talker.address.clone_from(other_side);
        talker.bytes += record.bytes_there + record.bytes_back;
        if record.is_start() {
            let denied = record.access == Some(Access::Deny);
            talker.flows += 1;
            talker.denied += u64::from(denied);
            if denied {
                self.push_deny(record);
            }
        }
    }

    /// Keeps the mark on the flow that it is on.
    fn push_deny(&mut self, record: Record) {
        let shows = self.shows(&deny_words(&record));
        self.denies.push_front(record);
        self.denies.truncate(DENIES);
        if self.selected > 0 && shows {
            self.selected += 1;
        }
        self.selected = self.selected.min(self.denies().len().saturating_sub(1));
    }

    fn forget_talkers(&mut self) {
        let mut talkers: Vec<Talker> = std::mem::take(&mut self.talkers).into_values().collect();
        talkers.sort_by_key(|talker| std::cmp::Reverse((talker.flows, talker.bytes)));
        talkers.truncate(KEPT_TALKERS);
        self.talkers = talkers.into_iter().map(|it| (it.address.clone(), it)).collect();
    }

    /// Returns the latest rates.
    pub(super) fn rates(&self) -> Rates {
        self.history.back().copied().unwrap_or_default()
    }

    /// Returns the rules that meet the filter, sorted.
    pub(super) fn rules(&self) -> Vec<&RuleLine> {
        let words = |rule: &RuleLine| format!("{} {}", rule.name, rule.network_security_group);
        let mut rules: Vec<&RuleLine> =
            self.rules.iter().filter(|rule| self.shows(&words(rule))).collect();
        match self.sort {
            Sort::Hits => rules.sort_by_key(|rule| std::cmp::Reverse(rule.hits)),
            Sort::LastHit => rules.sort_by(|one, other| other.last_hit.cmp(&one.last_hit)),
            Sort::Evaluation => {}
        }
        rules
    }

    /// Returns the addresses that meet the filter, those with the most flows first.
    pub(super) fn talkers(&self) -> Vec<&Talker> {
        let mut talkers: Vec<&Talker> =
            self.talkers.values().filter(|talker| self.shows(&talker.address)).collect();
        talkers.sort_by(|one, other| {
            (other.flows, other.bytes)
                .cmp(&(one.flows, one.bytes))
                .then_with(|| one.address.cmp(&other.address))
        });
        talkers
    }

    /// Returns the denied flows that meet the filter, the newest first.
    pub(super) fn denies(&self) -> Vec<&Record> {
        self.denies.iter().filter(|record| self.shows(&deny_words(record))).collect()
    }

    fn shows(&self, words: &str) -> bool {
        self.filter.is_empty() || words.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// Marks another denied flow, so many lines down.
    pub(super) fn select(&mut self, lines: isize) {
        let last = self.denies().len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(lines).min(last);
    }

    /// Returns the marked flow, which is to be explained.
    pub(super) fn explain_selected(&mut self) -> Option<Record> {
        let record = self.denies().get(self.selected).copied().cloned()?;
        self.dialog = Some(Dialog::Waiting);
        Some(record)
    }

    pub(super) fn sort_otherwise(&mut self) {
        self.sort = self.sort.next();
    }

    /// Changes the filter by a character, or takes the last one away.
    pub(super) fn edit_filter(&mut self, character: Option<char>) {
        match character {
            Some(character) if self.filter.chars().count() < LONGEST_FILTER => {
                self.filter.push(character);
            }
            Some(_) => {}
            None => _ = self.filter.pop(),
        }
        self.selected = 0;
    }
}

/// Says whether a rule is one of those that deny what no other rule has allowed.
pub(super) fn is_default_deny(rule: &RuleLine) -> bool {
    rule.is_default_rule && rule.access == AdminAccess::Deny
}

fn deny_words(record: &Record) -> String {
    format!("{} {} {} {}", record.source(), record.destination(), record.rule(), record.transport)
}
