//! The ring and the interfaces against a real kernel, in network namespaces that each test makes itself.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod netns;

use std::env;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use etherparse::{PacketBuilder, VlanId};
use netns::{OUTSIDE_V4, Side, VM_INTERFACE, VM_V4, VM_V6, VethPair};
use nsgwatch::capture::CaptureError;
use nsgwatch::capture::link;
use nsgwatch::capture::ring::{KernelCounters, Ring, RingSettings, Wake};
use nsgwatch::flow::{Direction, FiveTuple, Ports, Protocol};
use nsgwatch::packet::{self, LinkType};
use pnet::datalink::{self, Channel, DataLinkSender};

const ORIGIN: [u8; 6] = [2, 0, 0, 0, 0, 9];
const BROADCAST: [u8; 6] = [0xff; 6];
const TEST_PORT: u16 = 9077;

/// A frame that outlives its block.
#[derive(Debug, Clone)]
struct Seen {
    bytes: Vec<u8>,
    direction: Direction,
    wire_length: u32,
    vlan: Option<u16>,
    unix_ns: u64,
}

impl Seen {
    fn tuple(&self) -> Option<FiveTuple> {
        let packet = packet::parse(LinkType::Ethernet, &self.bytes, self.wire_length).ok()?;
        Some(packet.tuple)
    }

    /// UDP from or to the port that only these tests use; a fresh interface also sends on its own.
    fn is_of_this_test(&self) -> bool {
        self.tuple().is_some_and(|tuple| {
            tuple.protocol == Protocol::UDP
                && (tuple.ports.source() == Some(TEST_PORT)
                    || tuple.ports.destination() == Some(TEST_PORT))
        })
    }
}

fn small() -> RingSettings {
    RingSettings { block_size: 1 << 16, block_count: 8, ..RingSettings::default() }
}

fn open(pair: &VethPair, interface: &'static str, settings: RingSettings) -> Ring {
    pair.inside(Side::Vm, move || Ring::open(&link::find(interface).unwrap(), &settings).unwrap())
}

/// Takes what is ready out of the ring.
fn take_ready(ring: &mut Ring, seen: &mut Vec<Seen>) {
    while let Some(block) = ring.next_block() {
        seen.extend(block.frames().map(|frame| Seen {
            bytes: frame.bytes.to_vec(),
            direction: frame.direction,
            wire_length: frame.wire_length,
            vlan: frame.vlan,
            unix_ns: frame.unix_ns,
        }));
    }
}

/// Stops the intake, reads what is left and asserts that every frame the kernel counted is seen or dropped.
fn close(ring: &mut Ring, mut seen: Vec<Seen>) -> (Vec<Seen>, KernelCounters) {
    ring.stop_intake().unwrap();
    loop {
        take_ready(ring, &mut seen);
        if ring.wait(ring.settle_time()).unwrap() == Wake::TimedOut {
            break;
        }
    }
    let counters = ring.statistics().unwrap();
    let walked = u64::try_from(seen.len()).unwrap();
    assert_eq!(counters.packets, walked + counters.drops, "{counters:?}");
    (seen, counters)
}

/// Reads frames of this test until there are enough, for five seconds at most.
fn read_until(ring: &mut Ring, enough: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    while seen.iter().filter(|it: &&Seen| it.is_of_this_test()).count() < enough {
        assert!(Instant::now() < deadline, "{} frames, not {enough}", seen.len());
        ring.wait(Duration::from_millis(100)).unwrap();
        take_ready(ring, &mut seen);
    }
    seen
}

fn udp_socket(pair: &VethPair, side: Side, address: impl Into<SocketAddr>) -> UdpSocket {
    let address = address.into();
    pair.inside(side, move || {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    })
}

/// Sends whole frames at one end of the pair.
fn raw_sender(pair: &VethPair, side: Side) -> Box<dyn DataLinkSender> {
    let name = side.interface();
    pair.inside(side, move || {
        let interface =
            datalink::interfaces().into_iter().find(|interface| interface.name == name).unwrap();
        match datalink::channel(&interface, datalink::Config::default()).unwrap() {
            Channel::Ethernet(sender, _) => sender,
            _ => panic!("no Ethernet channel"),
        }
    })
}

fn udp_frame(vlan: Option<u16>) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(ORIGIN, BROADCAST);
    let ip = match vlan {
        Some(id) => ethernet.single_vlan(VlanId::try_new(id).unwrap()).ipv4(
            [192, 0, 2, 1],
            [192, 0, 2, 2],
            64,
        ),
        None => ethernet.ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64),
    };
    let mut frame = Vec::new();
    ip.udp(40_000, TEST_PORT).write(&mut frame, &[0; 30]).unwrap();
    frame
}

#[test]
fn both_directions_are_seen_and_told_apart() {
    let Some(pair) = VethPair::create() else { return };
    let vm = udp_socket(&pair, Side::Vm, (VM_V4, TEST_PORT));
    let outside = udp_socket(&pair, Side::Outside, (OUTSIDE_V4, 40_000));
    let mut ring = open(&pair, VM_INTERFACE, small());
    let started = std::time::SystemTime::now();
    let mut buffer = [0; 100];
    for _ in 0..5 {
        outside.send_to(b"question", (VM_V4, TEST_PORT)).unwrap();
        vm.recv(&mut buffer).unwrap();
        vm.send_to(b"answer", (OUTSIDE_V4, 40_000)).unwrap();
        outside.recv(&mut buffer).unwrap();
    }
    let seen = read_until(&mut ring, 10);
    let (seen, counters) = close(&mut ring, seen);
    let ours: Vec<_> = seen.iter().filter(|it| it.is_of_this_test()).collect();
    assert_eq!(ours.len(), 10);
    assert_eq!(counters.drops, 0);
    let started = started.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    for frame in ours {
        let tuple = frame.tuple().unwrap();
        let outbound = Ports::Pair { source: TEST_PORT, destination: 40_000 };
        let direction = match tuple.ports {
            ports if ports == outbound => Direction::Outbound,
            ports if ports == outbound.reversed() => Direction::Inbound,
            other => panic!("{other:?}"),
        };
        assert_eq!(frame.direction, direction);
        let age = i128::from(frame.unix_ns) - i128::try_from(started).unwrap();
        assert!((0..10_000_000_000).contains(&age), "the kernel's time is off by {age} ns");
    }
}

#[test]
fn a_vlan_tag_that_the_kernel_took_out_is_reported() {
    let Some(pair) = VethPair::create() else { return };
    let mut ring = open(&pair, VM_INTERFACE, small());
    let frame = udp_frame(Some(42));
    let length = u32::try_from(frame.len()).unwrap();
    raw_sender(&pair, Side::Outside).send_to(&frame, None).unwrap().unwrap();
    let seen = read_until(&mut ring, 1);
    let (seen, _) = close(&mut ring, seen);
    let tagged: Vec<_> = seen.iter().filter(|it| it.is_of_this_test()).collect();
    assert_eq!(tagged.len(), 1);
    assert_eq!(tagged[0].vlan, Some(42));
    assert_eq!(tagged[0].direction, Direction::Inbound);
    assert_eq!(tagged[0].wire_length, length);
    assert_eq!(tagged[0].bytes, [&frame[..12], &frame[16..]].concat());
}

#[test]
fn a_tag_inside_an_outgoing_frame_hides_nothing() {
    let Some(pair) = VethPair::create() else { return };
    let mut ring = open(&pair, VM_INTERFACE, small());
    let frame = udp_frame(Some(42));
    raw_sender(&pair, Side::Vm).send_to(&frame, None).unwrap().unwrap();
    let seen = read_until(&mut ring, 1);
    let (seen, _) = close(&mut ring, seen);
    let sent = seen.iter().find(|it| it.is_of_this_test()).unwrap();
    assert_eq!(sent.direction, Direction::Outbound);
    assert_eq!(sent.wire_length, u32::try_from(frame.len()).unwrap());
}

#[test]
fn the_loopback_shows_each_packet_once() {
    let Some(pair) = VethPair::create() else { return };
    let receiver = udp_socket(&pair, Side::Vm, (Ipv4Addr::LOCALHOST, TEST_PORT));
    let sender = udp_socket(&pair, Side::Vm, (Ipv4Addr::LOCALHOST, 0));
    let mut ring = open(&pair, "lo", small());
    let mut buffer = [0; 10];
    for _ in 0..10 {
        sender.send_to(b"x", (Ipv4Addr::LOCALHOST, TEST_PORT)).unwrap();
        receiver.recv(&mut buffer).unwrap();
    }
    let (seen, counters) = close(&mut ring, Vec::new());
    assert_eq!(seen.iter().filter(|it| it.is_of_this_test()).count(), 10);
    assert_eq!((seen.len(), counters.packets), (10, 10));
    assert!(seen.iter().all(|it| it.direction == Direction::Inbound));
}

#[test]
fn a_long_frame_is_cut_and_keeps_its_true_length() {
    let Some(pair) = VethPair::create() else { return };
    let vm = udp_socket(&pair, Side::Vm, (VM_V4, TEST_PORT));
    let outside = udp_socket(&pair, Side::Outside, (OUTSIDE_V4, 40_000));
    let mut ring = open(&pair, VM_INTERFACE, small());
    outside.send_to(&[7; 1000], (VM_V4, TEST_PORT)).unwrap();
    vm.recv(&mut [0; 2000]).unwrap();
    let seen = read_until(&mut ring, 1);
    let (seen, _) = close(&mut ring, seen);
    let frame = seen.iter().find(|it| it.is_of_this_test()).unwrap();
    assert_eq!(frame.wire_length, 14 + 20 + 8 + 1000);
    assert_eq!(frame.bytes.len(), 128);
}

#[test]
fn a_flood_into_a_tiny_ring_is_accounted_for_to_the_frame() {
    let Some(pair) = VethPair::create() else { return };
    let settings = RingSettings { block_size: 1 << 12, block_count: 2, ..RingSettings::default() };
    let mut ring = open(&pair, VM_INTERFACE, settings);
    let mut sender = raw_sender(&pair, Side::Outside);
    let frame = udp_frame(None);
    let mut seen = Vec::new();
    for number in 0..5000 {
        sender.send_to(&frame, None).unwrap().unwrap();
        if number == 3000 {
            take_ready(&mut ring, &mut seen);
            let counters = ring.statistics().unwrap();
            assert!(counters.drops > 2500, "{counters:?}");
        }
    }
    let (seen, counters) = close(&mut ring, seen);
    assert!(counters.packets >= 5000, "{counters:?}");
    assert!(counters.drops > 4000 && counters.freezes > 0, "{counters:?}");
    assert!(!seen.is_empty());
}

#[test]
fn a_held_block_does_not_keep_the_kernel_from_filling_the_others() {
    let Some(pair) = VethPair::create() else { return };
    let settings = RingSettings { block_size: 1 << 12, block_count: 16, ..RingSettings::default() };
    let mut ring = open(&pair, VM_INTERFACE, settings);
    let mut sender = raw_sender(&pair, Side::Outside);
    let frame = udp_frame(None);
    sender.send_to(&frame, None).unwrap().unwrap();
    while ring.wait(Duration::from_secs(5)).unwrap() != Wake::Block {}
    let held = ring.next_block().unwrap();
    for _ in 0..200 {
        sender.send_to(&frame, None).unwrap().unwrap();
    }
    let in_held = held.frames().filter(|it| it.bytes.starts_with(&frame[..42])).count();
    drop(held);
    let seen = read_until(&mut ring, 201 - in_held);
    // What lay in the held block was not kept: the books are closed without `close`.
    assert_eq!(seen.iter().filter(|it| it.is_of_this_test()).count(), 201 - in_held);
    assert_eq!(ring.statistics().unwrap().drops, 0);
}

#[test]
fn an_interface_that_goes_down_is_reported_once_and_resumes_when_it_is_up() {
    let Some(pair) = VethPair::create() else { return };
    let mut ring = open(&pair, VM_INTERFACE, small());
    pair.run_in(Side::Vm, &["ip", "link", "set", VM_INTERFACE, "down"]);
    assert_eq!(next_event(&mut ring), Wake::InterfaceDown);
    assert_waits_quietly(&mut ring);

    pair.run_in(Side::Vm, &["ip", "link", "set", VM_INTERFACE, "up"]);
    let mut sender = raw_sender(&pair, Side::Outside);
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut seen = Vec::new();
    while !seen.iter().any(Seen::is_of_this_test) {
        assert!(Instant::now() < deadline, "no frame after the interface came up");
        sender.send_to(&udp_frame(None), None).unwrap().unwrap();
        ring.wait(Duration::from_millis(50)).unwrap();
        take_ready(&mut ring, &mut seen);
    }
}

#[test]
fn an_interface_that_is_removed_is_reported_once() {
    let Some(pair) = VethPair::create() else { return };
    let mut ring = open(&pair, VM_INTERFACE, small());
    pair.run_in(Side::Vm, &["ip", "link", "del", VM_INTERFACE]);
    assert_eq!(next_event(&mut ring), Wake::InterfaceDown);
    assert_waits_quietly(&mut ring);
}

#[test]
fn an_interface_that_is_down_from_the_start_is_reported_at_the_first_wait() {
    let Some(pair) = VethPair::create() else { return };
    pair.run_in(Side::Vm, &["ip", "link", "set", VM_INTERFACE, "down"]);
    let ring = open(&pair, VM_INTERFACE, small());
    assert_eq!(ring.wait(Duration::from_secs(5)).unwrap(), Wake::InterfaceDown);
    assert_eq!(ring.wait(Duration::from_millis(50)).unwrap(), Wake::TimedOut);
}

/// Returns the first wake-up that is not a block of frames.
fn next_event(ring: &mut Ring) -> Wake {
    loop {
        match ring.wait(Duration::from_secs(5)).unwrap() {
            Wake::Block => take_ready(ring, &mut Vec::new()),
            other => return other,
        }
    }
}

fn assert_waits_quietly(ring: &mut Ring) {
    // Frames that were on their way when the interface went down still come.
    while match ring.wait(ring.settle_time()).unwrap() {
        Wake::Block => true,
        other => {
            assert_eq!(other, Wake::TimedOut);
            false
        }
    } {
        take_ready(ring, &mut Vec::new());
    }
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(ring.wait(Duration::from_millis(100)).unwrap(), Wake::TimedOut);
    }
    assert!(started.elapsed() >= Duration::from_millis(290), "{:?}", started.elapsed());
}

#[test]
fn another_thread_ends_a_wait() {
    let Some(pair) = VethPair::create() else { return };
    let mut ring = open(&pair, "lo", small());
    let waker = ring.waker();
    let started = Instant::now();
    let (told, first) = mpsc::channel();
    let waiting = thread::spawn(move || {
        told.send(ring.wait(Duration::from_secs(20)).unwrap()).unwrap();
        next_event(&mut ring)
    });
    waker.wake().unwrap();
    assert_eq!(first.recv().unwrap(), Wake::Woken);
    // The first wake-up is used up, so that the second wait has one of its own to see.
    waker.wake().unwrap();
    assert_eq!(waiting.join().unwrap(), Wake::Woken);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_interface_of_the_default_route_is_found_by_either_family() {
    let Some(pair) = VethPair::create() else { return };
    let without = pair.inside(Side::Vm, link::default_route);
    assert!(matches!(without, Err(CaptureError::NoDefaultRoute)), "{without:?}");

    pair.run_in(Side::Vm, &["ip", "-6", "route", "add", "default", "via", "fd77::2"]);
    let interface = pair.inside(Side::Vm, link::default_route).unwrap();
    assert_eq!(interface.name, VM_INTERFACE);
    assert!(interface.is_up && !interface.is_loopback && interface.mac.is_some());
    assert!(interface.addresses.iter().any(|it| it.addr() == VM_V6));
    let prefixes: Vec<_> = interface.connected_prefixes().iter().map(ToString::to_string).collect();
    assert_eq!(prefixes, ["10.77.0.0/24", "fd77::/64"]);

    pair.run_in(Side::Vm, &["ip", "-6", "route", "del", "default"]);
    pair.run_in(Side::Vm, &["ip", "route", "add", "default", "via", "10.77.0.2"]);
    let interface = pair.inside(Side::Vm, link::default_route).unwrap();
    assert_eq!(interface.name, VM_INTERFACE);
}

/// Runs itself again without the capability: in that process `CHILD` is set.
#[test]
fn opening_without_the_capability_says_which_one_is_missing() {
    const CHILD: &str = "NSGWATCH_TEST_WITHOUT_CAPABILITY";
    const NAME: &str = "opening_without_the_capability_says_which_one_is_missing";
    if env::var_os(CHILD).is_some() {
        let error = Ring::open(&link::find("lo").unwrap(), &small()).unwrap_err();
        assert!(matches!(error, CaptureError::NotPermitted { .. }), "{error}");
        assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
        return;
    }
    if !netns::is_privileged() {
        return;
    }
    let output = Command::new("setpriv")
        .args(["--bounding-set=-net_raw", "--inh-caps=-net_raw"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
