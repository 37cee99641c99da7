//! The packet socket: the system calls behind the ring that no crate wraps.
//!
//! In come settings and an interface, out comes a bound socket whose frames land in the ring. Reads no frame.

#![expect(unsafe_code, reason = "packet socket options and addresses have no safe wrapper")]

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::ptr;

use libc::{c_int, sock_filter, sock_fprog, sockaddr_ll, socklen_t, tpacket_stats_v3};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket, sockopt};

use super::RingSettings;
use crate::capture::CaptureError;
use crate::capture::link::Interface;

/// What the kernel calls the frame size. With `TPACKET_V3` frames lie one behind the other and it only has to
/// divide the block, as every page size can.
const FRAME_SIZE: u32 = 2048;

/// "Return the constant": the whole of a filter program that keeps the first bytes of every frame.
const BPF_RETURN: u16 = 0x06;

#[expect(
    clippy::cast_possible_truncation,
    reason = "17; libc has it in another type than the field"
)]
const FAMILY: libc::sa_family_t = libc::AF_PACKET as libc::sa_family_t;

/// In network byte order, as the kernel wants it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "3; libc has it in another type than the field"
)]
const EVERY_PROTOCOL: u16 = (libc::ETH_P_ALL as u16).to_be();

/// A packet socket. To open one takes a capability; to make a ring of it and to bind it does not.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket that receives nothing before it is bound.
    ///
    /// # Errors
    ///
    /// A missing capability, or what else the system says.
    pub fn open() -> Result<Self, CaptureError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .map(Self)
            .map_err(|errno| CaptureError::from_errno("open a packet socket", errno))
    }

    /// Lets the socket stay open in the program that this process becomes, under the number that is returned.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn hand_over(&self) -> Result<RawFd, CaptureError> {
        self.close_when_a_program_starts(FdFlag::empty())
            .map_err(|errno| CaptureError::from_errno("hand a packet socket over", errno))?;
        Ok(self.0.as_raw_fd())
    }

    /// Takes a socket that [`Self::hand_over`] left open for this program.
    ///
    /// # Errors
    ///
    /// The number is none of a packet socket.
    pub fn handed_over(number: RawFd) -> Result<Self, CaptureError> {
        let failed = |errno| {
            CaptureError::from_errno(format!("take over the packet socket {number}"), errno)
        };
        let is_socket = fs::metadata(format!("/proc/self/fd/{number}"))
            .is_ok_and(|file| file.file_type().is_socket());
        if !is_socket {
            return Err(failed(Errno::ENOTSOCK));
        }
        // SAFETY: a socket is open under this number. It was left open for this program to own, and the caller takes
        // each number once.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(number) });
        if getsockopt(&socket.0, sockopt::SockType).map_err(failed)? != SockType::Raw {
            return Err(failed(Errno::ESOCKTNOSUPPORT));
        }
        socket.close_when_a_program_starts(FdFlag::FD_CLOEXEC).map_err(failed)?;
        Ok(socket)
    }

    fn close_when_a_program_starts(&self, flag: FdFlag) -> Result<(), Errno> {
        fcntl(&self.0, FcntlArg::F_SETFD(flag)).map(drop)
    }

    /// Makes the kernel keep only the first bytes of each frame.
    pub(super) fn keep_at_most(&self, bytes: u32) -> Result<(), CaptureError> {
        self.attach_filter(bytes)
    }

    /// Makes the kernel keep no frame.
    pub(super) fn keep_nothing(&self) -> Result<(), CaptureError> {
        self.attach_filter(0)
    }

    fn attach_filter(&self, kept_bytes: u32) -> Result<(), CaptureError> {
        let mut program = [sock_filter { code: BPF_RETURN, jt: 0, jf: 0, k: kept_bytes }];
        let program = sock_fprog { len: 1, filter: program.as_mut_ptr() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
            .map_err(|errno| CaptureError::from_errno("attach the capture filter", errno))
    }

    /// Leaves out what the interface sends.
    pub(super) fn ignore_outgoing(&self) -> Result<(), CaptureError> {
        let yes: c_int = 1;
        self.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &yes)
            .map_err(|errno| CaptureError::from_errno("leave out outgoing frames", errno))
    }

    /// Makes the kernel allocate the ring.
    pub(super) fn create_ring(&self, settings: &RingSettings) -> Result<(), CaptureError> {
        let version = libc::tpacket_versions::TPACKET_V3 as c_int;
        self.set(libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .map_err(|errno| CaptureError::from_errno("choose TPACKET_V3", errno))?;
        let RingSettings { block_size, block_count, .. } = *settings;
        let request = libc::tpacket_req3 {
            tp_block_size: block_size,
            tp_block_nr: block_count,
            tp_frame_size: FRAME_SIZE,
            tp_frame_nr: (block_size / FRAME_SIZE).saturating_mul(block_count),
            tp_retire_blk_tov: settings.retire_milliseconds(),
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        self.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request).map_err(|errno| {
            let operation = format!("create a ring of {block_count} blocks of {block_size} bytes");
            CaptureError::from_errno(operation, errno)
        })
    }

    /// Binds to the interface; from here on frames arrive.
    pub(super) fn bind(&self, interface: &Interface) -> Result<(), CaptureError> {
        let failed = |errno| {
            CaptureError::from_errno(format!("bind to the interface `{}`", interface.name), errno)
        };
        let address = sockaddr_ll {
            sll_family: FAMILY,
            sll_protocol: EVERY_PROTOCOL,
            sll_ifindex: c_int::try_from(interface.index).map_err(|_| failed(Errno::ENODEV))?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the pointer is to a whole `sockaddr_ll` that lives through the call, and the length is its own.
        let result = unsafe {
            libc::bind(self.0.as_raw_fd(), ptr::from_ref(&address).cast(), length_of(&address))
        };
        Errno::result(result).map(drop).map_err(failed)
    }

    /// Returns what was counted since the last call: the kernel starts again from zero.
    pub(super) fn take_statistics(&self) -> Result<tpacket_stats_v3, Errno> {
        let mut counters = tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut length = length_of(&counters);
        // SAFETY: the kernel writes at most `length` bytes, which is the size of the structure they go to; any bytes
        // are valid for its integers.
        let result = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                ptr::from_mut(&mut counters).cast(),
                &raw mut length,
            )
        };
        Errno::result(result).map(|_| counters)
    }

    /// Returns the pending error of the socket and forgets it.
    pub(super) fn take_error(&self) -> Result<Option<Errno>, Errno> {
        let code = getsockopt(&self.0, sockopt::SocketError)?;
        Ok((code != 0).then(|| Errno::from_raw(code)))
    }

    /// Sets an option whose value is a plain structure of the kernel's interface.
    fn set<T>(&self, level: c_int, option: c_int, value: &T) -> Result<(), Errno> {
        // SAFETY: the pointer is to a whole `T` that lives through the call, and the length is its own. The kernel
        // only reads it, and reads through the pointer in `sock_fprog` only while it copies the program.
        let result = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                option,
                ptr::from_ref(value).cast(),
                length_of(value),
            )
        };
        Errno::result(result).map(drop)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the kernel's structures are a few dozen bytes"
)]
fn length_of<T>(value: &T) -> socklen_t {
    size_of_val(value) as socklen_t
}
