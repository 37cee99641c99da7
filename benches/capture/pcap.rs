//! Writes a capture file of the frames that [`send`](super::send) sends: a stated number of them, of a stated number of
//! flows, each flow in turn, a microsecond apart.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

use super::send::{FRAME, MOST_FRAMES, frame, put_flow};

const MICROSECONDS: u64 = 1_000_000;
/// 2026-01-01.
const FIRST_SECOND: u32 = 1_767_225_600;

/// Takes FILE COUNT FLOWS; returns `wrote N`.
pub(super) fn run(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    let [path, count, flows] = arguments else { return Err("pcap FILE COUNT FLOWS".into()) };
    let (count, flows): (u64, u32) = (count.parse()?, flows.parse()?);
    if count > MOST_FRAMES || flows == 0 {
        return Err(format!("at most {MOST_FRAMES} frames, and at least one flow").into());
    }
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    // Microseconds in this machine's byte order, version 2.4, frames up to 65535 bytes, Ethernet.
    file.write_all(&0xa1b2_c3d4_u32.to_ne_bytes())?;
    for half in [2_u16, 4] {
        file.write_all(&half.to_ne_bytes())?;
    }
    for word in [0_u32, 0, 65_535, 1] {
        file.write_all(&word.to_ne_bytes())?;
    }
    let length = u32::try_from(FRAME)?;
    let mut frame = frame("udp")?;
    for (number, flow) in (0..count).zip((0..flows).cycle()) {
        put_flow(&mut frame, flow);
        let second = FIRST_SECOND + u32::try_from(number / MICROSECONDS)?;
        for word in [second, u32::try_from(number % MICROSECONDS)?, length, length] {
            file.write_all(&word.to_ne_bytes())?;
        }
        file.write_all(&frame)?;
    }
    file.flush()?;
    Ok(format!("wrote {count}"))
}
