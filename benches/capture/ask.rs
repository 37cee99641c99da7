//! Asks a running agent to verify, over and over, on connections that are kept.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

/// Takes SOCKET CLIENTS SECONDS; each client sends its next question when it has the answer to the last one.
pub(super) fn run(arguments: &[String]) -> io::Result<String> {
    let [socket, clients, seconds] = arguments else {
        return Err(io::Error::other("ask SOCKET CLIENTS SECONDS"));
    };
    let number = |text: &String| text.parse::<u64>().map_err(io::Error::other);
    let (clients, time) = (number(clients)?, Duration::from_secs(number(seconds)?));
    let end = Instant::now() + time;
    let threads: Vec<_> = (0..clients)
        .map(|client| {
            let socket = socket.clone();
            thread::spawn(move || ask(&socket, client, end))
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().map_err(|_| io::Error::other("a client panicked"))??);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 1000).copied().unwrap_or_default();
    Ok(format!(
        "asked {} rate {} p50_us {} p99_us {} p999_us {} max_us {}",
        times.len(),
        times.len() as u128 * 1000 / time.as_millis().max(1),
        at(500).as_micros(),
        at(990).as_micros(),
        at(999).as_micros(),
        times.last().copied().unwrap_or_default().as_micros(),
    ))
}

fn ask(socket: &str, client: u64, end: Instant) -> io::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(1 << 20);
    let mut stream = BufReader::new(UnixStream::connect(socket)?);
    let mut body = vec![0; 64 * 1024];
    for number in 0u64.. {
        let question = format!(
            "{{\"direction\":\"Inbound\",\"protocol\":\"TCP\",\"localPort\":\"{}\",\"remotePort\":\"40000\",\
             \"localIPAddress\":\"10.2.0.1\",\"remoteIPAddress\":\"198.51.{client}.{}\"}}",
            number % 60_000,
            number % 250,
        );
        let request = format!(
            "POST /v1/verify HTTP/1.1\r\nhost: agent\r\ncontent-length: {}\r\n\r\n{question}",
            question.len()
        );
        let start = Instant::now();
        if start >= end {
            break;
        }
        stream.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if line.starts_with("HTTP/") && !line.contains(" 200 ") {
                return Err(io::Error::other(line.to_owned()));
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().map_err(io::Error::other)?;
            }
        }
        let answer = body.get_mut(..length).ok_or_else(|| io::Error::other("a long answer"))?;
        stream.read_exact(answer)?;
        times.push(start.elapsed());
    }
    Ok(times)
}
