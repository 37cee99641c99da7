//! Runs a capture tool and says what it and all its descendants used: processor time and the largest resident set.
//!
//! The tool is told to end (SIGINT, then SIGTERM, then SIGKILL) when standard input is closed or holds a line.

use std::error::Error;
use std::io;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::sys::wait::wait;
use nix::unistd::Pid;

/// How long the tool is given after each signal.
const PATIENCE: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(10)),
    (Signal::SIGTERM, Duration::from_secs(5)),
    (Signal::SIGKILL, Duration::from_secs(1)),
];

/// Runs a command; returns `cpu SECONDS user SECONDS rss KIB`.
pub(super) fn run(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    let (program, rest) = arguments.split_first().ok_or("measure COMMAND...")?;
    // What a tool leaves behind (plugins, helpers) is waited for too, and so counted.
    prctl::set_child_subreaper(true)?;
    let mut tool = Command::new(program).args(rest).spawn()?;
    io::stdin().read_line(&mut String::new())?;
    end(&mut tool)?;
    while !matches!(wait(), Err(Errno::ECHILD)) {}
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |us: i64| -> Result<f64, Box<dyn Error>> {
        Ok(Duration::from_micros(us.try_into()?).as_secs_f64())
    };
    let user = seconds(usage.user_time().num_microseconds())?;
    let system = seconds(usage.system_time().num_microseconds())?;
    Ok(format!("cpu {:.4} user {user:.4} rss {}", user + system, usage.max_rss()))
}

fn end(tool: &mut Child) -> Result<(), Box<dyn Error>> {
    let pid = Pid::from_raw(tool.id().try_into()?);
    for (signal, patience) in PATIENCE {
        if tool.try_wait()?.is_some() {
            break;
        }
        kill(pid, signal)?;
        let deadline = Instant::now() + patience;
        while tool.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}
