//! The frames of one interface, live: a packet socket with a ring (`TPACKET_V3`) that the kernel fills and this
//! program reads in place, without a copy and without a system call a packet.
//!
//! An [`Interface`] comes in; [`Block`]s of [`Frame`]s go out, oldest first. The kernel fills a block, hands it
//! over when it is full or [`RingSettings::retire_after`] has passed, and gets it back when the [`Block`] is
//! dropped. While no block is free the kernel drops frames and counts them: take what you need out of a block and
//! drop it.
//!
//! The order of setting up matters: socket without protocol, filter, ring, mapping, bind. So no frame arrives
//! that the filter has not cut to its first bytes, and none of another interface.
//!
//! This is the only part of the crate with unsafe code: `socket` (system calls that no crate wraps), `memory`
//! (the ring itself) and `block` (the kernel's record headers). It never parses a frame and never writes one.

mod block;
mod memory;
mod socket;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

pub use block::{Frame, Frames};
pub use socket::PacketSocket;

use memory::RingMemory;

use super::CaptureError;
use super::link::Interface;
use crate::packet::LinkType;

/// Size and pace of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSettings {
    /// Bytes of a block; a multiple of the page size.
    pub block_size: u32,
    /// How many blocks there are.
    pub block_count: u32,
    /// After this time the kernel hands over a block that is not full, if there is a frame in it.
    pub retire_after: Duration,
    /// How many bytes of a frame are kept at most. 128 hold Ethernet, two tags, IPv6 with extension headers and
    /// TCP; more bytes cost the traffic itself, because the kernel copies them.
    pub snap_length: u32,
}

impl Default for RingSettings {
    fn default() -> Self {
        Self {
            block_size: 1 << 20,
            block_count: 8,
            retire_after: Duration::from_millis(10),
            snap_length: 128,
        }
    }
}

impl RingSettings {
    /// The smallest snap length with which a packet can be judged: Ethernet, IPv6, the flags of TCP.
    const MIN_SNAP_LENGTH: u32 = 14 + 40 + 14;

    fn check(&self) -> Result<(), CaptureError> {
        let refuse = |reason: String| Err(CaptureError::Settings { reason });
        let page = page_size();
        if self.block_size == 0 || !self.block_size.is_multiple_of(page) {
            return refuse(format!(
                "a block of {} bytes is no multiple of the page size {page}",
                self.block_size
            ));
        }
        if self.block_count < 2 {
            return refuse("fewer than two blocks: the kernel needs one to fill".to_owned());
        }
        if self.retire_milliseconds() == 0 {
            return refuse(
                "blocks are handed over after one millisecond at the earliest".to_owned(),
            );
        }
        if self.snap_length < Self::MIN_SNAP_LENGTH || self.snap_length > self.block_size / 2 {
            let longest = self.block_size / 2;
            return refuse(format!(
                "the snap length {} is not between {} and half a block, {longest}",
                self.snap_length,
                Self::MIN_SNAP_LENGTH
            ));
        }
        Ok(())
    }

    fn retire_milliseconds(&self) -> u32 {
        u32::try_from(self.retire_after.as_millis()).unwrap_or(u32::MAX)
    }
}

fn page_size() -> u32 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(4096)
}

/// What the kernel counted since the ring was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelCounters {
    /// Frames that passed the filter, dropped ones included.
    pub packets: u64,
    /// Of these, frames for which no block was free.
    pub drops: u64,
    /// How often the ring ran full.
    pub freezes: u64,
}

/// Why [`Ring::wait`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A block is ready.
    Block,
    /// A [`Waker`] was used. There need not be a block.
    Woken,
    /// The time is over.
    TimedOut,
    /// The interface went down, or away. Reported once; where it only went down, frames come again when it is
    /// up.
    InterfaceDown,
}

/// Ends a [`Ring::wait`] of another thread.
#[derive(Debug, Clone)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// Makes the present or else the next wait return. Many calls may be seen as one.
    ///
    /// # Errors
    ///
    /// What the system says of the write.
    pub fn wake(&self) -> io::Result<()> {
        match self.0.write(1) {
            // The counter is full of wake-ups that were not seen yet.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A ring bound to one interface.
#[derive(Debug)]
pub struct Ring {
    memory: RingMemory,
    socket: PacketSocket,
    link: LinkType,
    retire_after: Duration,
    /// The block that is read next.
    current: usize,
    counters: KernelCounters,
    waker: Arc<EventFd>,
}

impl Ring {
    /// Opens a ring on the interface, as [`Ring::bind`] does on one that is open already.
    ///
    /// # Errors
    ///
    /// Settings that can not be, a missing capability, or a system call that failed.
    pub fn open(interface: &Interface, settings: &RingSettings) -> Result<Self, CaptureError> {
        settings.check()?;
        let mut ring = Self::unbound(PacketSocket::open()?, settings)?;
        ring.bind(interface)?;
        Ok(ring)
    }

    /// Makes a ring of a socket; no frame comes to it before it is bound. Takes no capability.
    ///
    /// # Errors
    ///
    /// Settings that can not be, or a system call that failed.
    pub fn unbound(socket: PacketSocket, settings: &RingSettings) -> Result<Self, CaptureError> {
        settings.check()?;
        socket.keep_at_most(settings.snap_length)?;
        socket.create_ring(settings)?;
        let memory = RingMemory::map(
            socket.as_fd(),
            settings.block_size as usize,
            settings.block_count as usize,
        )?;
        let waker = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| CaptureError::from_errno("create an event descriptor", errno))?;
        Ok(Self {
            memory,
            socket,
            link: LinkType::Ethernet,
            retire_after: settings.retire_after,
            current: 0,
            counters: KernelCounters::default(),
            waker: Arc::new(waker),
        })
    }

    /// Binds to the interface, or again to one that took the place of the last: a deleted interface is never heard of
    /// again, not even when another has its name. Takes no capability. Frames that are in the ring stay there; where
    /// the link type differs, they must have been read before. On the loopback only arriving frames are taken, so
    /// that each is seen once.
    ///
    /// An interface that is down is no error: the next [`Ring::wait`] says so.
    ///
    /// # Errors
    ///
    /// The interface is gone, or another system call failed.
    pub fn bind(&mut self, interface: &Interface) -> Result<(), CaptureError> {
        if interface.is_loopback {
            self.socket.ignore_outgoing()?;
        }
        // What is still to be told of the last interface would be taken for news of this one.
        let _told_too_late = self.socket.take_error();
        self.link = interface.link;
        self.socket.bind(interface)
    }

    /// Returns what its frames begin with.
    #[must_use]
    pub const fn link(&self) -> LinkType {
        self.link
    }

    /// Returns a handle with which another thread ends a wait.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.waker))
    }

    /// Waits until a block is ready, but not longer than `timeout` (rounded up to milliseconds). A ready block
    /// costs no system call, and is told before a wake-up: a busy reader looks at its messages between two blocks.
    /// May return [`Wake::Woken`] without a reason.
    ///
    /// # Errors
    ///
    /// A socket error other than an interface that went down.
    pub fn wait(&self, timeout: Duration) -> io::Result<Wake> {
        if self.memory.is_ready(self.current) {
            return Ok(Wake::Block);
        }
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        let mut descriptors = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.waker.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut descriptors, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Wake::Woken),
            Err(errno) => return Err(errno.into()),
        }
        let [socket, waker] = descriptors.map(|it| it.revents().unwrap_or(PollFlags::empty()));
        if socket.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL) {
            return self.socket_failure();
        }
        if !waker.is_empty() {
            // Cannot block: this end is the only reader, and the descriptor does not wait.
            self.waker.read()?;
            return Ok(Wake::Woken);
        }
        Ok(if self.memory.is_ready(self.current) { Wake::Block } else { Wake::TimedOut })
    }

    /// Says what a socket that signals an error suffers from. Asking for it is also what ends the signal.
    fn socket_failure(&self) -> io::Result<Wake> {
        match self.socket.take_error()? {
            Some(Errno::ENETDOWN) => Ok(Wake::InterfaceDown),
            Some(errno) => Err(errno.into()),
            None => Err(io::Error::other("the packet socket signals an error without a reason")),
        }
    }

    /// Returns the oldest block that the kernel has handed over, or `None` while it fills one.
    pub fn next_block(&mut self) -> Option<Block<'_>> {
        self.memory.is_ready(self.current).then(|| Block { ring: self })
    }

    /// Returns what the kernel counted since the ring was opened.
    ///
    /// # Errors
    ///
    /// What the system says of the query.
    pub fn statistics(&mut self) -> io::Result<KernelCounters> {
        let since_last = self.socket.take_statistics()?;
        self.counters.packets += u64::from(since_last.tp_packets);
        self.counters.drops += u64::from(since_last.tp_drops);
        self.counters.freezes += u64::from(since_last.tp_freeze_q_cnt);
        Ok(self.counters)
    }

    /// Lets no further frame in, so that the books can be closed: after a wait of [`Ring::settle_time`] that
    /// times out, with all blocks read, [`KernelCounters::packets`] equals the frames read plus the drops.
    ///
    /// # Errors
    ///
    /// What the system says of the filter.
    pub fn stop_intake(&self) -> Result<(), CaptureError> {
        self.socket.keep_nothing()
    }

    /// Returns how long it takes at most until the kernel hands over what it has: the block it was filling, and
    /// the frames it was handling on another CPU.
    #[must_use]
    pub fn settle_time(&self) -> Duration {
        self.retire_after * 2 + Duration::from_millis(20)
    }
}

/// A block of frames, lent by the kernel until it is dropped.
#[derive(Debug)]
pub struct Block<'ring> {
    ring: &'ring mut Ring,
}

impl Block<'_> {
    /// Returns the frames, oldest first.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(self.ring.memory.block(self.ring.current), self.ring.link)
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.ring.memory.give_back(self.ring.current);
        self.ring.current = (self.ring.current + 1) % self.ring.memory.block_count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_the_kernel_would_refuse_are_refused_with_a_reason() {
        let good = RingSettings::default();
        assert!(good.check().is_ok());
        let cases = [
            (RingSettings { block_size: 0, ..good }, "page size"),
            (RingSettings { block_size: 1000, ..good }, "page size"),
            (RingSettings { block_count: 1, ..good }, "two blocks"),
            (RingSettings { retire_after: Duration::from_micros(999), ..good }, "one millisecond"),
            (RingSettings { snap_length: 67, ..good }, "snap length 67"),
            (RingSettings { snap_length: 1 << 20, ..good }, "half a block"),
        ];
        for (settings, part) in cases {
            let text = settings.check().unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
