//! The desk: answers what the local socket asks, puts new rules in force and keeps an eye on the interfaces.
//!
//! In come questions, reload requests and ticks, out go values. Runs beside the socket, never on the packet path; what
//! only the capture threads know is asked from them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, oneshot};

use super::capture_loop::{CaptureReport, Command};
use super::clock::{Clock, rfc3339};
use super::watch::{LoadedRules, Watch};
use super::{Reload, metrics, observers};
use crate::capture::link::Links;
use crate::config::Settings;
use crate::control::rules::{InterfaceRules, RulesAnswer};
use crate::control::server::ServerCounters;
use crate::control::status::{
    ClientStatus, InterfaceStatus, KernelStatus, ObserverStatus, RecordStatus, ReloadStatus, Status,
};
use crate::control::watched::Watched;
use crate::control::{FlowsAnswer, FlowsQuery, Question};
use crate::engine::FlowRecord;
use crate::flow::Timestamp;
use crate::report::journal::{self, RELOAD};
use crate::report::metrics::ReloadMetrics;
use crate::report::{Hub, HubCounters, JsonLines, WriterHandle};

/// What the desk knows.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) settings: Settings,
    pub(super) watches: Vec<Watch>,
    /// What the socket knows of the watches, in their order.
    pub(super) watched: Arc<[Watched]>,
    pub(super) records: WriterHandle,
    /// The newest events, for those who watch.
    pub(super) hub: Hub,
    /// Told when the other side of standard output was closed.
    pub(super) reader_gone: Arc<Notify>,
    pub(super) clients: Arc<ServerCounters>,
    pub(super) started_ns: u64,
    pub(super) last_reload: Option<ReloadStatus>,
    pub(super) reloads: ReloadMetrics,
    /// Messages that the journal had no room for, as last told.
    pub(super) told_left_out: u64,
}

impl Desk {
    /// Looks at all interfaces. `went_down` says of which one the capture said so, and when.
    pub(super) async fn look(&mut self, went_down: Option<(usize, Timestamp)>) {
        let links = match Links::read() {
            Ok(links) => links,
            Err(error) => return tracing::warn!(%error, "the interfaces can not be looked at"),
        };
        let watched = self.watched.iter();
        for (number, (watch, watched)) in self.watches.iter_mut().zip(watched).enumerate() {
            let went_down = went_down.filter(|(which, _)| *which == number).map(|(_, when)| when);
            if let Some(gap) = watch.look(&links, went_down, watched).await {
                self.records.gap(number, gap);
            }
        }
    }

    /// Says how many messages the journal had no room for, until it has room for that.
    pub(super) fn tell_left_out(&mut self) {
        let left_out = journal::left_out();
        if left_out > self.told_left_out {
            let count = left_out - self.told_left_out;
            tracing::warn!(count, "messages found no room in the journal and are in no log");
            if journal::left_out() == left_out {
                self.told_left_out = left_out;
            }
        }
    }

    /// Tells all capture threads to end.
    pub(super) fn stop(&mut self) {
        for (number, watch) in self.watches.iter_mut().enumerate() {
            if let Some(gap) = watch.stop() {
                self.records.gap(number, gap);
            }
        }
    }

    /// Answers one question; a reply that nobody waits for is dropped.
    pub(super) async fn answer(&self, question: Question) {
        match question {
            Question::Status(reply) => {
                if let Some(status) = self.current_status().await {
                    let _gone = reply.send(status);
                }
            }
            Question::Metrics(reply) => {
                if let (Some(status), Some(rules)) =
                    (self.current_status().await, self.rules().await)
                {
                    let page = metrics::page(&status, &rules, self.started_ns, self.reloads);
                    let _gone = reply.send(page);
                }
            }
            Question::Rules(reply) => {
                if let Some(rules) = self.rules().await {
                    let _gone = reply.send(rules);
                }
            }
            Question::Observe(query, reply) => {
                let _gone = reply.send(observers::stream(&self.hub, *query));
            }
            Question::Flows(query, reply) => {
                let _gone = reply.send(self.flows(query).await);
            }
        }
    }

    /// Asks every capture thread, all at once; one that is ending does not answer.
    async fn ask_all<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<Option<T>> {
        let asked: Vec<_> = self
            .watches
            .iter()
            .map(|watch| {
                let (reply, answer) = oneshot::channel();
                watch.capture().send(question(reply));
                answer
            })
            .collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.push(answer.await.ok());
        }
        answers
    }

    /// One more flow than asked for is looked up, to know whether there are more.
    async fn flows(&self, query: FlowsQuery) -> FlowsAnswer {
        let limit = query.limit;
        let one_more = FlowsQuery { limit: limit + 1, ..query };
        let found = self.ask_all(|reply| Command::Flows(one_more.clone(), reply)).await;
        let mut flows: Vec<(usize, FlowRecord)> = found
            .into_iter()
            .enumerate()
            .flat_map(|(number, flows)| flows.into_iter().flatten().map(move |flow| (number, flow)))
            .collect();
        flows.sort_by_key(|(_, flow)| std::cmp::Reverse(flow.last));
        let more = flows.len() > limit;
        flows.truncate(limit);
        let mut lines: Vec<_> =
            self.watches.iter().map(|watch| JsonLines::new(watch.name())).collect();
        let value = |(number, flow): &(usize, FlowRecord)| {
            let mut line = String::new();
            lines.get_mut(*number)?.render_live(flow, &mut line);
            serde_json::from_str(&line).ok()
        };
        FlowsAnswer { more, flows: flows.iter().filter_map(value).collect() }
    }

    /// `None` where a capture thread is gone.
    async fn current_status(&self) -> Option<Status> {
        let reports = self.ask_all(Command::Report).await;
        reports.into_iter().collect::<Option<Vec<_>>>().map(|reports| self.status(&reports))
    }

    /// `None` where a capture thread is gone.
    async fn rules(&self) -> Option<RulesAnswer> {
        let hits = self.ask_all(Command::Hits).await.into_iter().collect::<Option<Vec<_>>>()?;
        let watches = self.watches.iter().zip(&hits);
        let interfaces =
            watches.map(|(watch, hits)| InterfaceRules::new(watch.name(), hits)).collect();
        Some(RulesAnswer { interfaces })
    }

    fn observer_status(&self) -> ObserverStatus {
        let HubCounters { readers, refused, delivered, lost } = self.hub.counters();
        ObserverStatus { readers, refused, delivered, lost }
    }

    fn status(&self, reports: &[CaptureReport]) -> Status {
        let now = Clock::default().read();
        let records = self.records.counters();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let interfaces = self.watches.iter().zip(reports);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: rfc3339(self.started_ns),
            uptime_seconds: now.unix_ns.saturating_sub(self.started_ns) / 1_000_000_000,
            interfaces: interfaces
                .map(|(watch, report)| self.interface_status(watch, report))
                .collect(),
            last_reload: self.last_reload.clone(),
            records: RecordStatus {
                written: records.written,
                lost_queue_full: records.lost_queue_full,
                lost_write_failed: records.lost_write,
            },
            observers: self.observer_status(),
            clients: ClientStatus {
                accepted: load(&self.clients.accepted),
                refused: load(&self.clients.refused),
            },
        }
    }

    fn interface_status(&self, watch: &Watch, report: &CaptureReport) -> InterfaceStatus {
        let presence = watch.presence();
        InterfaceStatus {
            name: watch.name().to_owned(),
            index: presence.index(),
            state: presence.state(),
            degraded_since: presence.missed_since().map(|since| rfc3339(since.unix_ns)),
            gaps: watch.gap_status(),
            addresses: watch.addresses().iter().map(ToString::to_string).collect(),
            rules: watch.rules_status(),
            kernel: KernelStatus {
                packets: report.kernel.packets,
                drops: report.kernel.drops,
                freezes: report.kernel.freezes,
            },
            engine: report.engine,
            flow_limit: self.settings.max_flows.into(),
        }
    }

    /// Loads the rules of all interfaces again, all or nothing: on any error the old ones stay in force everywhere.
    pub(super) fn reload(&mut self, reload: &Reload) {
        let now = Clock::default().read();
        let errors = match self.reloaded_rules(reload) {
            Ok(rules) => {
                for (watch, rules) in self.watches.iter_mut().zip(rules) {
                    let revision = rules.policy.revision();
                    tracing::info!(target: RELOAD, interface = watch.name(), revision, "new rules are in force");
                    watch.put_in_force(rules);
                }
                Vec::new()
            }
            Err(errors) => {
                for error in &errors {
                    tracing::error!(target: RELOAD, "{error}");
                }
                tracing::error!(target: RELOAD, "the new rules were refused; the old ones stay in force");
                errors
            }
        };
        let successful = errors.is_empty();
        self.reloads.last_successful = successful;
        if successful {
            self.reloads.successful += 1;
            self.reloads.last_success_seconds = metrics::seconds(now.unix_ns);
        } else {
            self.reloads.failed += 1;
        }
        self.last_reload = Some(ReloadStatus { at: rfc3339(now.unix_ns), successful, errors });
    }

    fn reloaded_rules(&mut self, reload: &Reload) -> Result<Vec<LoadedRules>, Vec<String>> {
        let settings = Settings::load(&reload.flags, reload.config.as_deref())
            .map_err(|error| vec![error.to_string()])?;
        if self.settings.needs_restart(&settings) {
            tracing::warn!("settings other than the rules have changed; they take a restart");
        }
        let (mut loaded, mut errors) = (Vec::new(), Vec::new());
        for watch in &self.watches {
            match watch.next_rules(settings.rules_of(watch.name())) {
                Ok(rules) => loaded.push(rules),
                // The rules of two interfaces may be in the same files.
                Err(error) => {
                    for line in error.to_string().lines().map(str::to_owned) {
                        if !errors.contains(&line) {
                            errors.push(line);
                        }
                    }
                }
            }
        }
        if errors.is_empty() { Ok(loaded) } else { Err(errors) }
    }
}
