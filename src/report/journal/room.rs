//! Whether the journal takes one more message now.
//!
//! A journal that hangs lets its socket's queue fill up, and whoever sends then waits for as long as it hangs. So each
//! message is held against the room that there is, and where there is none it is left out and counted. Sends nothing.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Where the journal takes messages.
pub const SOCKET: &str = "/run/systemd/journal/socket";

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Returns how many messages were left out since the start.
#[must_use]
pub fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

/// Lets messages pass as long as there is room for them.
#[derive(Debug)]
pub struct Room {
    /// Connected, and never sent on: for such a one the kernel tells whether the other side's queue is full.
    probe: UnixDatagram,
}

impl Room {
    /// Finds the journal.
    ///
    /// # Errors
    /// It is not there.
    pub fn at(socket: &Path) -> io::Result<Self> {
        let probe = UnixDatagram::unbound()?;
        probe.connect(socket)?;
        Ok(Self { probe })
    }

    /// Where the journal is gone a message fails at once, and nobody waits.
    fn is_there(&self) -> bool {
        let mut asked = [PollFd::new(self.probe.as_fd(), PollFlags::POLLOUT)];
        poll(&mut asked, PollTimeout::ZERO) != Ok(0)
    }
}

impl<S> Filter<S> for Room {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, _: &Event<'_>, _: &Context<'_, S>) -> bool {
        let is_there = self.is_there();
        if !is_there {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Sends every message and waits for room, as the journal's own layer does.
    struct Sender(UnixDatagram);

    impl<S: tracing::Subscriber> Layer<S> for Sender {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.send(b"message").unwrap();
        }
    }

    #[test]
    fn a_journal_that_hangs_holds_nobody_up_and_what_is_left_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(&path).unwrap();
        let layer = Sender(socket).with_filter(Room::at(&path).unwrap());
        let messages = tracing_subscriber::registry().with(layer);
        let said = 10_000;
        thread::spawn(move || {
            tracing::subscriber::with_default(messages, || {
                (0..said).for_each(|number| tracing::info!(number, "said"));
            });
        })
        .join()
        .unwrap();
        journal.set_nonblocking(true).unwrap();
        let mut taken = 0;
        while journal.recv(&mut [0; 64]).is_ok() {
            taken += 1;
        }
        assert!(taken > 0);
        assert_eq!(taken + left_out(), said);
    }
}
