//! How long one frame takes to read: `cargo bench --bench packet`.

#![expect(clippy::unwrap_used, reason = "frames that can not be built end the benchmark")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use etherparse::PacketBuilder;
use nsgwatch::packet::{LinkType, parse};

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// As many frames as a short burst, each at its own place in memory.
const BURST: usize = 64;

fn main() {
    divan::main();
}

fn tcp_ipv4() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv4([10, 0, 0, 4], [203, 0, 113, 9], 64)
        .tcp(50_000, 443, 1, 1024)
        .ack(7)
        .write(&mut frame, &[0; 40])
        .unwrap();
    frame
}

fn udp_ipv6() -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv6([1; 16], [2; 16], 64)
        .udp(50_000, 53)
        .write(&mut frame, &[0; 40])
        .unwrap();
    frame
}

/// The longest way: a tag, then ICMP that quotes a packet.
fn icmp_error_behind_a_tag() -> Vec<u8> {
    use etherparse::icmpv4::DestUnreachableHeader;
    use etherparse::{Icmpv4Type, VlanId};
    let quoted = tcp_ipv4().split_off(14);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .single_vlan(VlanId::try_new(42).unwrap())
        .ipv4([203, 0, 113, 9], [10, 0, 0, 4], 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host))
        .write(&mut frame, &quoted)
        .unwrap();
    frame
}

fn first_fragment() -> Vec<u8> {
    let mut frame = tcp_ipv4();
    // The more-fragments flag.
    if let Some(flags) = frame.get_mut(20) {
        *flags |= 0x20;
    }
    frame
}

fn read(bencher: Bencher, frame: Vec<u8>) {
    let frames = vec![frame; BURST];
    bencher.counter(ItemsCount::new(BURST)).bench_local(|| {
        for frame in &frames {
            let _ = black_box(parse(LinkType::Ethernet, black_box(frame), 1514));
        }
    });
}

#[divan::bench]
fn plain_tcp_over_ipv4(bencher: Bencher) {
    read(bencher, tcp_ipv4());
}

#[divan::bench]
fn plain_udp_over_ipv6(bencher: Bencher) {
    read(bencher, udp_ipv6());
}

#[divan::bench]
fn first_fragment_of_tcp(bencher: Bencher) {
    read(bencher, first_fragment());
}

#[divan::bench]
fn icmp_error(bencher: Bencher) {
    read(bencher, icmp_error_behind_a_tag());
}
