//! Where the agent's messages go: to the journal where standard error leads there, else to standard error.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tracing_subscriber::filter::{Directive, FilterExt, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::terminal::Color;
use crate::report::journal::{self, Room};

/// Starts to listen to messages, for the whole life of the program. Whatever is wrong in `RUST_LOG` is said on standard
/// error, and left out.
pub(super) fn start(color: Color) {
    let journal = is_on_the_journal().then(|| {
        let room = Room::at(Path::new(journal::SOCKET))?;
        Ok::<_, io::Error>(journal::layers::<Registry>()?.with_filter(filter().and(room)))
    });
    let journal = match journal {
        Some(Ok(layers)) => return tracing_subscriber::registry().with(layers).init(),
        Some(Err(error)) => Some(error),
        None => None,
    };
    let filter = match format!("{}=off", journal::VERDICT).parse::<Directive>() {
        // The records say it already.
        Ok(no_verdicts) => filter().add_directive(no_verdicts),
        Err(_) => filter(),
    };
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(color.on_stderr());
    tracing_subscriber::registry().with(lines.with_target(false).with_filter(filter)).init();
    if let Some(error) = journal {
        tracing::warn!(%error, "can not reach the journal's socket: messages have no fields");
    }
}

fn filter() -> EnvFilter {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy()
}

fn is_on_the_journal() -> bool {
    let stderr = || File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok();
    env::var("JOURNAL_STREAM")
        .ok()
        .zip(stderr())
        .is_some_and(|(stream, stderr)| journal::is_journal(&stream, stderr.dev(), stderr.ino()))
}
