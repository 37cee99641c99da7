//! The ring's memory, shared with the kernel, block by block.
//!
//! Each block begins with a status word that says whose it is. The kernel writes to a block only while it is the
//! kernel's; this program reads one only while it is the program's.

#![expect(unsafe_code, reason = "the ring is memory that the kernel shares")]

use std::ffi::c_void;
use std::mem::offset_of;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{TP_STATUS_KERNEL, TP_STATUS_USER, tpacket_block_desc, tpacket_hdr_v1};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::capture::CaptureError;

/// Where the status word lies in a block.
const STATUS_OFFSET: usize =
    offset_of!(tpacket_block_desc, hdr) + offset_of!(tpacket_hdr_v1, block_status);

/// The mapped ring.
#[derive(Debug)]
pub(super) struct RingMemory {
    start: NonNull<c_void>,
    block_size: usize,
    block_count: usize,
}

// SAFETY: the mapping belongs to the process and not to a thread, and this value is its only owner.
unsafe impl Send for RingMemory {}

impl RingMemory {
    /// Maps the ring of a socket, which has `block_count` blocks of `block_size` bytes, a multiple of the page size.
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        block_size: usize,
        block_count: usize,
    ) -> Result<Self, CaptureError> {
        let failed = |errno| CaptureError::from_errno("map the ring", errno);
        let length = block_size.checked_mul(block_count).and_then(NonZeroUsize::new);
        let length = length.ok_or_else(|| failed(Errno::EINVAL))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of this program.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, socket, 0) }
            .map_err(failed)?;
        Ok(Self { start, block_size, block_count })
    }

    pub(super) const fn block_count(&self) -> usize {
        self.block_count
    }

    /// Says whether the kernel has handed the block over.
    pub(super) fn is_ready(&self, index: usize) -> bool {
        // Acquire: what the kernel wrote to the block before it changed the word is seen by the reads that follow.
        self.status(index).load(Ordering::Acquire) & TP_STATUS_USER != 0
    }

    /// Returns the bytes of a block that [is ready](Self::is_ready); of any other block, no bytes.
    pub(super) fn block(&self, index: usize) -> &[u8] {
        if !self.is_ready(index) {
            return &[];
        }
        let start = self.block_start(index);
        // SAFETY: the block lies within the mapping and all its bytes are initialised (the kernel maps zeroed
        // pages). It is this program's: the kernel leaves it alone until `give_back`, which takes `&mut self` and
        // so comes after the last use of this slice.
        unsafe { slice::from_raw_parts(start.as_ptr(), self.block_size) }
    }

    /// Returns a block to the kernel.
    pub(super) fn give_back(&mut self, index: usize) {
        // Release: the reads of the block are done before the kernel may write to it again.
        self.status(index).store(TP_STATUS_KERNEL, Ordering::Release);
    }

    fn status(&self, index: usize) -> &AtomicU32 {
        let start = self.block_start(index);
        // SAFETY: the word lies within the block, and a block starts at a page boundary, so it is aligned; kernel and
        // program both access it atomically only, and the mapping lives as long as `self`.
        unsafe { AtomicU32::from_ptr(start.add(STATUS_OFFSET).cast().as_ptr()) }
    }

    fn block_start(&self, index: usize) -> NonNull<u8> {
        let index = index % self.block_count;
        // SAFETY: the index is below the block count, so the block lies within the mapping.
        unsafe { self.start.cast::<u8>().add(index * self.block_size) }
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping made in `map`, and no borrow of it outlives `self`.
        let unmapped = unsafe { munmap(self.start, self.block_size * self.block_count) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
