//! What `benches/capture.sh` needs beside Debian's tools: a bounded sender of frames, and a wrapper that measures a
//! capture tool.
//!
//! * `send INTERFACE COUNT FLOWS RATE udp|syn`: sends frames of 60 bytes, see [`send`].
//! * `pcap FILE COUNT FLOWS`: writes the same frames to a capture file, see [`pcap`].
//! * `measure COMMAND...`: runs a capture tool until standard input says to end it, see [`measure`].
//! * `ask SOCKET CLIENTS SECONDS`: asks a running agent to verify, for `benches/verify.sh`, see [`ask`].
//!
//! Each prints one line of words for the script. Without arguments (`cargo bench`) it only names the script.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measuring program: its output is what it is for"
)]

mod ask;
mod measure;
mod pcap;
mod send;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let result = match arguments.next().as_deref() {
        Some("send") => send::run(&arguments.collect::<Vec<_>>()),
        Some("ask") => ask::run(&arguments.collect::<Vec<_>>()).map_err(Into::into),
        Some("pcap") => pcap::run(&arguments.collect::<Vec<_>>()),
        Some("measure") => measure::run(&arguments.collect::<Vec<_>>()),
        _ => {
            println!("run benches/capture.sh: it makes the network that this program needs");
            return ExitCode::SUCCESS;
        }
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
