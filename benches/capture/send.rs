//! A bounded sender: a stated number of small Ethernet frames of a stated number of flows, each flow in turn, as
//! fast as one core can or at a stated rate.
//!
//! The frames go to a hardware address that nobody has, so the receiver's IP stack drops them early and answers
//! none; a capture sees them all the same.

use std::error::Error;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg, socket,
};
use nix::sys::time::TimeValLike;

/// No call sends more.
pub(super) const MOST_FRAMES: u64 = 50_000_000;
pub(super) const FRAME: usize = 60;
/// Frames a system call.
const BATCH: usize = 256;
/// Pause between two batches of a paced sender.
const PACE: Duration = Duration::from_micros(200);

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: u8 = 17;
const TCP: u8 = 6;
const PORTS: [u16; 8] = [80, 443, 53, 22, 3306, 8080, 123, 8443];

/// Sends as the arguments say; returns `sent N pps N cpu SECONDS`.
pub(super) fn run(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    let [interface, count, flows, rate, protocol] = arguments else {
        return Err("send INTERFACE COUNT FLOWS RATE udp|syn (rate 0: as fast as possible)".into());
    };
    let (count, flows): (u64, u32) = (count.parse()?, flows.parse()?);
    let rate: u32 = rate.parse()?;
    if count > MOST_FRAMES || flows == 0 {
        return Err(format!("at most {MOST_FRAMES} frames, and at least one flow").into());
    }
    let address = link_address(interface)?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &address)?;

    let mut frames = vec![frame(protocol)?; BATCH];
    let mut headers = MultiHeaders::<LinkAddr>::preallocate(BATCH, None);
    let no_addresses = [None; BATCH];
    let mut numbers = (0..flows).cycle();
    let start = Instant::now();
    let mut sent = 0_u64;
    while sent < count {
        let most = batch_size(rate).min(usize::try_from(count - sent)?);
        for (frame, number) in frames.iter_mut().take(most).zip(&mut numbers) {
            put_flow(frame, number);
        }
        let slices: Vec<_> = frames.iter().take(most).map(|it| [IoSlice::new(it)]).collect();
        let mut rest = slices.as_slice();
        while !rest.is_empty() {
            let flags = MsgFlags::empty();
            let result = sendmmsg(socket.as_raw_fd(), &mut headers, rest, no_addresses, [], flags);
            match result.map(Iterator::count) {
                Ok(done) => rest = rest.get(done..).unwrap_or_default(),
                Err(Errno::ENOBUFS | Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        sent += most as u64;
        if rate > 0 {
            let due = start + Duration::from_nanos(sent * 1_000_000_000 / u64::from(rate));
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let cpu_us = (usage.user_time() + usage.system_time()).num_microseconds();
    let cpu = Duration::from_micros(cpu_us.try_into()?).as_secs_f64();
    let pps = sent * 1_000_000 / u64::try_from(start.elapsed().as_micros().max(1))?;
    Ok(format!("sent {sent} pps {pps} cpu {cpu:.4} seconds {seconds:.3}"))
}

fn batch_size(rate: u32) -> usize {
    if rate == 0 {
        return BATCH;
    }
    let in_one_pause = u128::from(rate) * PACE.as_micros() / 1_000_000;
    usize::try_from(in_one_pause).unwrap_or(BATCH).clamp(1, BATCH)
}

/// The interface's own link-layer address, which also says its index.
fn link_address(interface: &str) -> Result<LinkAddr, Box<dyn Error>> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| format!("no interface `{interface}`").into())
}

/// A frame without its flow.
pub(super) fn frame(protocol: &str) -> Result<[u8; FRAME], Box<dyn Error>> {
    let mut frame = [0; FRAME];
    let (ethernet, ip) = frame.split_at_mut(ETHERNET);
    ethernet.copy_from_slice(&[2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 0, 0x11, 8, 0]);
    let length = u8::try_from(ip.len())?;
    let (header, transport) = ip.split_at_mut(IPV4);
    header.copy_from_slice(&[
        0x45, 0, 0, length, 0, 0, 0x40, 0, 64, UDP, 0, 0, 10, 1, 0, 0, 10, 2, 0, 1,
    ]);
    match protocol {
        "udp" => put(transport, 4, &(u16::from(length) - 20).to_be_bytes()),
        "syn" => {
            put(header, 9, &[TCP]);
            put(transport, 12, &[0x50, 0x02, 0xff, 0xff]);
        }
        other => return Err(format!("`{other}` is not udp or syn").into()),
    }
    Ok(frame)
}

/// Makes a frame one of a flow: source address from the lower 16 bits, source port from the upper ones.
#[expect(clippy::cast_possible_truncation, reason = "halves of the flow's number")]
pub(super) fn put_flow(frame: &mut [u8; FRAME], number: u32) {
    let (low, high) = (number as u16, (number >> 16) as u16);
    let source_port = 1024 + high.wrapping_mul(4096).wrapping_add(low.wrapping_mul(7)) % 60_000;
    let port = PORTS.get(usize::from(low) % PORTS.len()).copied().unwrap_or(80);
    put(frame, ETHERNET + 14, &low.to_be_bytes());
    put(frame, ETHERNET + 16, &[10, 2, (high >> 4) as u8, 1]);
    put(frame, ETHERNET + IPV4, &source_port.to_be_bytes());
    put(frame, ETHERNET + IPV4 + 2, &port.to_be_bytes());
    put(frame, ETHERNET + 10, &[0, 0]);
    let checksum = ipv4_checksum(frame.get(ETHERNET..ETHERNET + IPV4).unwrap_or_default());
    put(frame, ETHERNET + 10, &checksum.to_be_bytes());
}

/// RFC 1071.
#[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
fn ipv4_checksum(header: &[u8]) -> u16 {
    let (words, _) = header.as_chunks::<2>();
    let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
