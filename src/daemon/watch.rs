//! One interface that is watched, as the control loop sees it: what is known of it, its rules, and the way to its
//! capture thread.
//!
//! In come looks at the interfaces, out go commands to the capture thread, log lines and gaps. The thread itself is
//! the room `capture_loop`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::oneshot;

use super::DaemonError;
use super::capture_loop::Command;
use super::clock::{Clock, rfc3339};
use super::presence::{Presence, Seen, Step};
use crate::capture::link::{Interface, Links};
use crate::capture::ring::Waker;
use crate::classifier::Policy;
use crate::config::RuleOptions;
use crate::config::rule_files::{self, Origin};
use crate::control::status::{GapStatus, GroupStatus, InterfaceState, RulesStatus};
use crate::control::watched::Watched;
use crate::flow::Timestamp;
use crate::nsg::NetworkSecurityGroup;
use crate::report::Gap;
use crate::report::journal::GAP;

/// The way to the capture thread: a command, and a wake-up so that it is seen at once.
#[derive(Debug)]
pub(super) struct CaptureHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) waker: Waker,
    pub(super) pulse: Arc<AtomicU64>,
    pub(super) thread: JoinHandle<()>,
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

/// Rules that are loaded and compiled, and where they are from.
#[derive(Debug)]
pub(super) struct LoadedRules {
    pub(super) policy: Arc<Policy>,
    origin: Origin,
    loaded_unix_ns: u64,
    /// The virtual network is what the interface is connected to.
    follows_interface: bool,
}

impl LoadedRules {
    /// Reads and compiles the rules.
    pub(super) fn load(
        options: &RuleOptions,
        connected: &[IpNet],
        revision: u64,
    ) -> Result<Self, DaemonError> {
        let (loaded, origin) = rule_files::load_with_origin(options, connected)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            policy: Arc::new(Policy::compile(loaded.rules, revision)?),
            origin,
            loaded_unix_ns: Clock::default().read().unix_ns,
            follows_interface: options.virtual_network.is_none(),
        })
    }

    /// Compiles the same rules for another virtual network. Reads no file: a file that is being written comes in force
    /// when somebody says so.
    fn moved_to(&self, connected: &[IpNet]) -> Result<Self, DaemonError> {
        let mut rules = self.policy.rules().clone();
        rules.service_tags = rules.service_tags.with_virtual_network(connected.iter().copied());
        let policy = Arc::new(Policy::compile(rules, self.policy.revision() + 1)?);
        Ok(Self { policy, origin: self.origin.clone(), ..*self })
    }
}

/// One interface.
#[derive(Debug)]
pub(super) struct Watch {
    name: String,
    presence: Presence,
    /// Its networks as last seen; kept while it is away.
    connected: Vec<IpNet>,
    rules: LoadedRules,
    capture: CaptureHandle,
    addresses: Arc<Vec<IpNet>>,
    policy: Arc<ArcSwap<Policy>>,
}

impl Watch {
    pub(super) fn new(
        name: String,
        connected: Vec<IpNet>,
        rules: LoadedRules,
        capture: CaptureHandle,
    ) -> Self {
        let policy = Arc::new(ArcSwap::new(Arc::clone(&rules.policy)));
        let addresses = Arc::default();
        let presence = Presence::new();
        Self { name, presence, connected, rules, capture, addresses, policy }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn presence(&self) -> &Presence {
        &self.presence
    }

    pub(super) const fn capture(&self) -> &CaptureHandle {
        &self.capture
    }

    pub(super) fn pulse(&self) -> u64 {
        self.capture.pulse.load(Ordering::Relaxed)
    }

    pub(super) fn addresses(&self) -> &[IpNet] {
        &self.addresses
    }

    /// What the socket's answers are made of.
    pub(super) fn watched(&self) -> Watched {
        Watched {
            interface: self.name.clone(),
            addresses: ArcSwap::new(Arc::clone(&self.addresses)),
            policy: Arc::clone(&self.policy),
        }
    }

    /// Looks for the interface, and does what follows from what is there. `went_down` is when the capture said so since
    /// the last look. Returns the gap that has ended.
    pub(super) async fn look(
        &mut self,
        links: &Links,
        went_down: Option<Timestamp>,
        watched: &Watched,
    ) -> Option<Gap> {
        let interface = links.find(&self.name).unwrap_or_else(|error| {
            // Told once, when the interface is lost, and at the start.
            tracing::debug!(%error, "an interface can not be watched");
            None
        });
        let seen = interface.as_ref().map(|it| Seen { index: it.index, is_up: it.is_up });
        if let Some(interface) = interface.as_ref().filter(|interface| interface.is_up) {
            self.take_addresses(interface, watched);
        }
        let now = Clock::default().read();
        match (self.presence.look(seen, went_down, now), interface) {
            (Step::Lost(state, since), _) => {
                self.tell_lost(state, since, links);
                None
            }
            (Step::Bind, Some(interface)) => self.bind(interface).await,
            _ => None,
        }
    }

    fn tell_lost(&self, state: InterfaceState, since: Timestamp, links: &Links) {
        let (interface, since) = (&self.name, rfc3339(since.unix_ns));
        if state == InterfaceState::Absent {
            tracing::warn!(
                %interface, %since, there_are = links.names().join(" "),
                "the interface is absent and not watched: capture begins when one of this name is there"
            );
        } else {
            tracing::warn!(
                %interface, %since,
                "the interface is down and not watched: capture goes on when it is up again"
            );
        }
    }

    async fn bind(&mut self, interface: Interface) -> Option<Gap> {
        let (name, index) = (interface.name.clone(), interface.index);
        let (reply, answer) = oneshot::channel();
        self.capture.send(Command::Bind(interface, reply));
        match answer.await {
            Ok(Ok(())) => {
                let gap = self.presence.bound(Clock::default().read());
                if let Some(gap) = &gap {
                    let (start, end) = (rfc3339(gap.start.unix_ns), rfc3339(gap.end.unix_ns));
                    tracing::info!(
                        target: GAP,
                        interface = name,
                        index,
                        gap.start = start,
                        gap.end = end,
                        "the interface is up again and watched; what it carried meanwhile is in no record"
                    );
                } else {
                    tracing::info!(interface = name, index, "watching");
                }
                gap
            }
            // Gone again: the next look tells.
            Ok(Err(error)) => {
                tracing::warn!(%error, "the capture can not be bound; it is tried again");
                None
            }
            Err(_) => None,
        }
    }

    /// Keeps up with the interface's addresses, and with the virtual network where it is taken from them. An interface
    /// that has none yet, as one made anew, keeps the networks it had.
    fn take_addresses(&mut self, interface: &Interface, watched: &Watched) {
        if *self.addresses == interface.addresses {
            return;
        }
        self.addresses = Arc::new(interface.addresses.clone());
        watched.addresses.store(Arc::clone(&self.addresses));
        let connected = interface.connected_prefixes();
        if connected.is_empty() || connected == self.connected {
            return;
        }
        self.connected = connected;
        if !self.rules.follows_interface {
            return;
        }
        match self.rules.moved_to(&self.connected) {
            Ok(rules) => {
                let networks = self.connected.iter().map(ToString::to_string).collect::<Vec<_>>();
                let revision = rules.policy.revision();
                tracing::info!(
                    interface = self.name,
                    revision,
                    virtual_network = networks.join(" "),
                    "the interface's networks have changed, and VirtualNetwork with them"
                );
                self.put_in_force(rules);
            }
            Err(error) => tracing::error!(%error, interface = self.name, "VirtualNetwork stays"),
        }
    }

    /// Loads rules as they would be the next version here.
    pub(super) fn next_rules(&self, options: &RuleOptions) -> Result<LoadedRules, DaemonError> {
        LoadedRules::load(options, &self.connected, self.rules.policy.revision() + 1)
    }

    pub(super) fn put_in_force(&mut self, rules: LoadedRules) {
        self.policy.store(Arc::clone(&rules.policy));
        self.capture.send(Command::Replace(Arc::clone(&rules.policy)));
        self.rules = rules;
    }

    /// Ends the capture; a gap that is open ends with it.
    pub(super) fn stop(&mut self) -> Option<Gap> {
        self.capture.send(Command::Stop);
        self.presence.end_gap(Clock::default().read())
    }

    /// Waits for the thread, which has told its end already.
    pub(super) fn join(self) {
        let _told = self.capture.thread.join();
    }

    pub(super) fn gap_status(&self) -> GapStatus {
        let (count, last) = self.presence.gaps();
        GapStatus {
            count,
            last_start: last.map(|gap| rfc3339(gap.start.unix_ns)),
            last_end: last.map(|gap| rfc3339(gap.end.unix_ns)),
        }
    }

    pub(super) fn rules_status(&self) -> RulesStatus {
        let LoadedRules { policy, origin, loaded_unix_ns, .. } = &self.rules;
        let rules = policy.rules();
        let group = |group: &NetworkSecurityGroup| GroupStatus {
            name: group.name.clone(),
            rules: group.rules.len(),
        };
        let virtual_network = rules.service_tags.get("VirtualNetwork");
        let age_ns = Clock::default().read().unix_ns.saturating_sub(*loaded_unix_ns);
        RulesStatus {
            revision: policy.revision(),
            loaded: rfc3339(*loaded_unix_ns),
            age_seconds: age_ns / 1_000_000_000,
            files: origin.files.clone(),
            content_crc32: format!("{:08x}", origin.content_crc32),
            subnet: rules.subnet.as_ref().map(group),
            nic: rules.nic.as_ref().map(group),
            virtual_network: virtual_network
                .map(|set| set.to_prefixes().iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
        }
    }
}
