//! Two network namespaces joined by a veth pair, made for one test and removed with it: a "VM" that is watched
//! and the "outside" that talks to it. Nothing here depends on the machine's own network.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this module")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that can not be set up fails, and one that is skipped says so"
)]

use std::env;
use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::panic;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns};

/// Set to `1` where a test that can not make namespaces must fail and not be skipped.
const REQUIRE: &str = "NSGWATCH_REQUIRE_PRIVILEGED";

/// The interface of the VM and the one at the other end.
pub const VM_INTERFACE: &str = "vm0";
pub const OUTSIDE_INTERFACE: &str = "out0";
pub const VM_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const OUTSIDE_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub const VM_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// One end of the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Vm,
    Outside,
}

impl Side {
    /// The name of the veth interface at this end.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Vm => VM_INTERFACE,
            Self::Outside => OUTSIDE_INTERFACE,
        }
    }
}

/// Says whether this process may do what needs root; says aloud that a test is skipped where it may not.
pub fn is_privileged() -> bool {
    nix::unistd::geteuid().is_root() || skip("needs root")
}

/// Returns `false` after saying why a test is skipped, or fails it where skipping is not wanted.
pub fn skip(reason: &str) -> bool {
    assert!(env::var(REQUIRE).as_deref() != Ok("1"), "{REQUIRE}=1, but: {reason}");
    eprintln!("SKIPPED: {reason}");
    false
}

/// The two namespaces, removed when this is dropped.
#[derive(Debug)]
pub struct VethPair {
    vm: String,
    outside: String,
}

impl VethPair {
    /// Makes the pair, up and with addresses, on a link where nothing is said but what a test says: both ends know
    /// each other's hardware address, so no neighbour is asked for, and no multicast group is joined, so none is
    /// reported. `None` where the process may not.
    pub fn create() -> Option<Self> {
        let pair = Self::create_apart()?;
        for side in [Side::Vm, Side::Outside] {
            pair.inside(side, || set_ipv6("addr_gen_mode", NO_LINK_LOCAL_ADDRESS));
        }
        pair.join();
        for side in [Side::Vm, Side::Outside] {
            pair.ip(side, &["link", "set", side.interface(), "arp", "off"]);
        }
        pair.raise();
        pair.introduce();
        Some(pair)
    }

    /// Makes the pair as [`Self::create`] does, on a link where the two ends find each other as real ones do: by ARP
    /// and neighbour discovery, with reports of multicast groups at times of the kernel's choice.
    pub fn create_unacquainted() -> Option<Self> {
        let pair = Self::create_apart()?;
        pair.join();
        pair.raise();
        Some(pair)
    }

    /// Makes the two namespaces. Interfaces made there later check no address for duplicates and ask for no router.
    fn create_apart() -> Option<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        if !is_privileged() {
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("nsgwatch-{}-{number}-{side}", process::id());
        let pair = Self { vm: name("vm"), outside: name("outside") };
        let made = ip(&["netns", "add", &pair.vm]);
        if !made.status.success() {
            skip(&format!("no network namespaces: {}", String::from_utf8_lossy(&made.stderr)));
            return None;
        }
        must(&["netns", "add", &pair.outside]);
        for side in [Side::Vm, Side::Outside] {
            pair.inside(side, || {
                for key in ["accept_dad", "accept_ra", "router_solicitations"] {
                    set_ipv6(key, "0");
                }
            });
        }
        Some(pair)
    }

    fn join(&self) {
        let (vm, outside) = (VM_INTERFACE, OUTSIDE_INTERFACE);
        let peer = ["peer", "name", outside, "netns", &self.outside];
        self.ip(Side::Vm, &[&["link", "add", vm, "type", "veth"][..], &peer].concat());
    }

    fn raise(&self) {
        for (side, v4, v6) in [(Side::Vm, VM_V4, VM_V6), (Side::Outside, OUTSIDE_V4, OUTSIDE_V6)] {
            let interface = side.interface();
            let (v4, v6) = (format!("{v4}/24"), format!("{v6}/64"));
            self.ip(side, &["address", "add", &v4, "dev", interface]);
            self.ip(side, &["address", "add", &v6, "dev", interface, "nodad"]);
            self.ip(side, &["link", "set", "lo", "up"]);
            self.ip(side, &["link", "set", interface, "up"]);
        }
    }

    /// Tells each end the hardware address of the other.
    fn introduce(&self) {
        let sides = [(Side::Vm, VM_V4, VM_V6), (Side::Outside, OUTSIDE_V4, OUTSIDE_V6)];
        for ((side, v4, v6), to) in sides.into_iter().zip([Side::Outside, Side::Vm]) {
            let hardware = self.hardware_address(side);
            for address in [v4.to_string(), v6.to_string()] {
                let entry = [&address, "lladdr", &hardware, "nud", "permanent"];
                self.ip(
                    to,
                    &[&["neighbour", "replace", "dev", to.interface()][..], &entry].concat(),
                );
            }
        }
    }

    fn hardware_address(&self, side: Side) -> String {
        let shown = self.ip(side, &["-brief", "link", "show", "dev", side.interface()]);
        let shown = String::from_utf8(shown.stdout).expect("`ip` prints text");
        shown.split_whitespace().nth(2).expect("name, state, address").to_owned()
    }

    /// Runs `ip` on one side.
    pub fn ip(&self, side: Side, arguments: &[&str]) -> Output {
        must(&[&["-n", self.namespace(side)], arguments].concat())
    }

    /// The name of a namespace, as `ip netns` knows it.
    pub fn namespace(&self, side: Side) -> &str {
        match side {
            Side::Vm => &self.vm,
            Side::Outside => &self.outside,
        }
    }

    /// Returns a command that will run in the namespace.
    pub fn command_in(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace(side), program]);
        command
    }

    /// Runs a command in the namespace to its end, which must be a good one.
    pub fn run_in(&self, side: Side, command: &[&str]) -> Output {
        let output =
            self.command_in(side, command[0]).args(&command[1..]).output().expect("`ip` runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {errors}");
        output
    }

    /// Starts a thread that lives in the namespace. A socket it opens stays there, whoever uses it later.
    pub fn spawn_thread_in<T: Send + 'static>(
        &self,
        side: Side,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.namespace(side));
        thread::spawn(move || {
            let namespace = File::open(&path).expect("the namespace is there");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            work()
        })
    }

    /// Does some work in the namespace and waits for it.
    pub fn inside<T: Send + 'static>(
        &self,
        side: Side,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.spawn_thread_in(side, work).join().unwrap_or_else(|cause| panic::resume_unwind(cause))
    }
}

impl Drop for VethPair {
    fn drop(&mut self) {
        for namespace in [&self.vm, &self.outside] {
            let removed = ip(&["netns", "del", namespace]);
            if !removed.status.success() {
                eprintln!("{namespace} stays: {}", String::from_utf8_lossy(&removed.stderr));
            }
        }
    }
}

/// The value of `addr_gen_mode` by which an interface makes itself no address.
const NO_LINK_LOCAL_ADDRESS: &str = "1";

/// Sets a value for the interfaces that are made later in the calling thread's namespace.
fn set_ipv6(key: &str, value: &str) {
    for scope in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{scope}/{key}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().expect("iproute2 is installed")
}

fn must(arguments: &[&str]) -> Output {
    let output = ip(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {errors}");
    output
}
