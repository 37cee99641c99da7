//! The kernel's packet log (`nfnetlink_log`): each logged packet with its log prefix and its mark.
//!
//! The messages are written and read by hand, as `linux/netfilter/nfnetlink_log.h` lays them out.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::TimeVal;

/// `NFNL_SUBSYS_ULOG`, with the two messages of it.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = 4 << 8 | 1;
const REQUEST_WITH_ANSWER: u16 = 1 | 4;
const NETLINK_ERROR: u16 = 2;
/// Lengths of a netlink message's header, and of the one of netfilter behind it.
const HEADER: usize = 16;
const NETFILTER_HEADER: usize = 4;
/// What may wait to be read: more than any batch of packets takes.
const RECEIVE_BUFFER: usize = 16 << 20;
/// How long a packet may take from the sender to the log, in seconds.
const PATIENCE: i64 = 3;

/// A packet that the kernel has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) prefix: String,
    pub(crate) mark: u32,
    /// From the IP header on.
    pub(crate) packet: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct PacketLog {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl PacketLog {
    /// Opens the log group of the calling thread's network namespace.
    pub(crate) fn open(group: u16) -> Self {
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .unwrap();
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
        socket::setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).unwrap();
        let patience = TimeVal::new(PATIENCE, 0);
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &patience).unwrap();
        let mut log = Self { socket, buffer: vec![0; 1 << 16] };
        let bind = [1];
        let copy_whole_packets = [0, 0, 0xff, 0xff, 2, 0];
        let one_by_one = 1u32.to_be_bytes();
        for (kind, value) in [(1, &bind[..]), (2, &copy_whole_packets), (5, &one_by_one)] {
            log.configure(group, kind, value);
        }
        log
    }

    fn configure(&mut self, group: u16, kind: u16, value: &[u8]) {
        let attribute_length = u16::try_from(4 + value.len()).unwrap();
        let mut body = vec![0, 0];
        body.extend(group.to_be_bytes());
        body.extend(attribute_length.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut message = Vec::new();
        message.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
        message.extend(CONFIG.to_ne_bytes());
        message.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        socket::send(self.socket.as_raw_fd(), &message, MsgFlags::empty()).unwrap();
        let answers = self.receive().unwrap();
        let [(NETLINK_ERROR, answer)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(answer[..4], [0; 4], "the kernel refuses log setting {kind}");
    }

    /// Waits for packets; `None` where none has come for some seconds.
    pub(crate) fn read(&mut self) -> Option<Vec<Logged>> {
        let messages = self.receive()?;
        let packets = messages.iter().filter(|(kind, _)| *kind == PACKET);
        Some(packets.map(|(_, body)| logged(&body[NETFILTER_HEADER..])).collect())
    }

    /// Returns the messages of one datagram: type and body.
    fn receive(&mut self) -> Option<Vec<(u16, Vec<u8>)>> {
        let length =
            match socket::recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return None,
                Err(error) => panic!("the packet log can not be read: {error}"),
            };
        let mut rest = &self.buffer[..length];
        let mut messages = Vec::new();
        while rest.len() >= HEADER {
            let length =
                usize::try_from(u32::from_ne_bytes(rest[..4].try_into().unwrap())).unwrap();
            let kind = u16::from_ne_bytes(rest[4..6].try_into().unwrap());
            messages.push((kind, rest[HEADER..length].to_vec()));
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(messages)
    }
}

/// Reads the attributes of a logged packet.
fn logged(mut rest: &[u8]) -> Logged {
    let mut logged = Logged { prefix: String::new(), mark: 0, packet: vec![] };
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = &rest[4..length];
        match u16::from_ne_bytes([head[2], head[3]]) {
            2 => logged.mark = u32::from_be_bytes(value.try_into().unwrap()),
            9 => logged.packet = value.to_vec(),
            10 => {
                let text = value.strip_suffix(b"\0").unwrap_or(value);
                logged.prefix = String::from_utf8(text.to_vec()).unwrap();
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    logged
}
