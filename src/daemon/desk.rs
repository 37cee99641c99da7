//! The desk: answers what the local socket asks and puts new rules in force.
//!
//! In come questions and reload requests, out go values. Runs beside the socket, never on the packet path; what only
//! the capture thread knows is asked from it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, oneshot};

use super::capture_loop::{CaptureReport, Command};
use super::clock::Clock;
use super::{Reload, load_policy};
use crate::capture::link::{self, Interface};
use crate::capture::ring::Waker;
use crate::classifier::Policy;
use crate::config::Settings;
use crate::control::server::ServerCounters;
use crate::control::status::{
    ClientStatus, GroupStatus, InterfaceStatus, KernelStatus, RecordStatus, ReloadStatus,
    RulesStatus, Status,
};
use crate::control::{FlowsAnswer, FlowsQuery, Question};
use crate::nsg::NetworkSecurityGroup;
use crate::report::{JsonLines, WriterHandle};

/// The way to the capture thread: a command, and a wake-up so that it is seen at once.
#[derive(Debug, Clone)]
pub(super) struct CaptureHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) waker: Waker,
}

impl CaptureHandle {
    /// Sends a command; where the thread has ended, the daemon is ending too and the command is moot.
    pub(super) fn send(&self, command: Command) {
        if self.commands.send(command).is_ok()
            && let Err(error) = self.waker.wake()
        {
            tracing::warn!(%error, "can not wake the capture thread");
        }
    }
}

/// What the desk knows.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) settings: Settings,
    pub(super) interface: Interface,
    pub(super) policy: Arc<ArcSwap<Policy>>,
    pub(super) capture: CaptureHandle,
    pub(super) records: WriterHandle,
    /// Told when the other side of standard output was closed.
    pub(super) reader_gone: Arc<Notify>,
    pub(super) clients: Arc<ServerCounters>,
    pub(super) started_ns: u64,
    pub(super) loaded_ns: u64,
    pub(super) last_reload: Option<ReloadStatus>,
}

impl Desk {
    /// Answers one question; a reply that nobody waits for is dropped.
    pub(super) async fn answer(&self, question: Question) {
        match question {
            Question::Status(reply) => {
                let (report, answer) = oneshot::channel();
                self.capture.send(Command::Report(report));
                if let Ok(report) = answer.await {
                    let _gone = reply.send(self.status(report));
                }
            }
            Question::Flows(query, reply) => {
                let _gone = reply.send(self.flows(query).await);
            }
        }
    }

    /// One more flow than asked for is looked up, to know whether there are more.
    async fn flows(&self, query: FlowsQuery) -> FlowsAnswer {
        let (found, answer) = oneshot::channel();
        let limit = query.limit;
        self.capture.send(Command::Flows(FlowsQuery { limit: limit + 1, ..query }, found));
        let mut flows = answer.await.unwrap_or_default();
        let more = flows.len() > limit;
        flows.truncate(limit);
        flows.sort_by_key(|flow| std::cmp::Reverse(flow.last));
        let mut lines = JsonLines::new(&self.interface.name);
        let value = |flow| {
            let mut line = String::new();
            lines.render_live(flow, &mut line);
            serde_json::from_str(&line).unwrap_or_default()
        };
        FlowsAnswer { more, flows: flows.iter().map(value).collect() }
    }

    fn status(&self, report: CaptureReport) -> Status {
        let now = Clock::default().read();
        let records = self.records.counters();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: rfc3339(self.started_ns),
            uptime_seconds: now.unix_ns.saturating_sub(self.started_ns) / 1_000_000_000,
            interface: InterfaceStatus {
                name: self.interface.name.clone(),
                addresses: self.interface.addresses.iter().map(ToString::to_string).collect(),
            },
            rules: self.rules_status(),
            kernel: KernelStatus {
                packets: report.kernel.packets,
                drops: report.kernel.drops,
                freezes: report.kernel.freezes,
            },
            engine: report.engine,
            flow_limit: self.settings.max_flows.into(),
            records: RecordStatus {
                written: records.written,
                lost_queue_full: records.lost_queue_full,
                lost_write_failed: records.lost_write,
            },
            clients: ClientStatus {
                accepted: load(&self.clients.accepted),
                refused: load(&self.clients.refused),
            },
        }
    }

    fn rules_status(&self) -> RulesStatus {
        let policy = self.policy.load();
        let rules = policy.rules();
        let group = |group: &NetworkSecurityGroup| GroupStatus {
            name: group.name.clone(),
            rules: group.rules.len(),
        };
        let virtual_network = rules.service_tags.get("VirtualNetwork");
        RulesStatus {
            revision: policy.revision(),
            loaded: rfc3339(self.loaded_ns),
            subnet: rules.subnet.as_ref().map(group),
            nic: rules.nic.as_ref().map(group),
            virtual_network: virtual_network
                .map(|set| set.to_prefixes().iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            last_reload: self.last_reload.clone(),
        }
    }

    /// Loads the rules again, all or nothing: on any error the old ones stay in force.
    pub(super) fn reload(&mut self, reload: &Reload) {
        let now = Clock::default().read();
        let result = self.reloaded_policy(reload);
        let errors = match result {
            Ok(policy) => {
                let policy = Arc::new(policy);
                tracing::info!(revision = policy.revision(), "new rules are in force");
                self.policy.store(Arc::clone(&policy));
                self.capture.send(Command::Replace(policy));
                self.loaded_ns = now.unix_ns;
                Vec::new()
            }
            Err(errors) => {
                for error in &errors {
                    tracing::error!("{error}");
                }
                tracing::error!("the new rules were refused; the old ones stay in force");
                errors
            }
        };
        let successful = errors.is_empty();
        self.last_reload = Some(ReloadStatus { at: rfc3339(now.unix_ns), successful, errors });
    }

    fn reloaded_policy(&mut self, reload: &Reload) -> Result<Policy, Vec<String>> {
        let settings = Settings::load(&reload.flags, reload.config.as_deref())
            .map_err(|error| vec![error.to_string()])?;
        if self.settings.needs_restart(&settings) {
            tracing::warn!("settings other than the rules have changed; they take a restart");
        }
        let revision = self.policy.load().revision() + 1;
        // Its addresses may have changed since. One that is away, or another of the same name, tells nothing.
        if let Ok(interface) = link::find(&self.interface.name)
            && interface.index == self.interface.index
        {
            self.interface = interface;
        }
        let connected = self.interface.connected_prefixes();
        let policy = load_policy(&settings.rules, &connected, revision)
            .map_err(|error| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        self.settings.rules = settings.rules;
        Ok(policy)
    }
}

pub(super) fn rfc3339(unix_ns: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(unix_ns);
    humantime::format_rfc3339_millis(time).to_string()
}
