//! How far a TCP connection has come, as its flags tell it. Sequence numbers are not followed.

use crate::packet::TcpFlags;

/// The stage of a TCP connection.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TcpStage {
    /// The handshake is not complete.
    Opening,
    /// Both sides talk.
    Established,
    /// One side has sent its last data.
    Closing,
    /// Both sides have, and each was acknowledged.
    Closed,
    /// One side gave the connection up.
    Reset,
}

/// What was seen of a connection, one bit each; all clear for other protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TcpProgress(u8);

impl TcpProgress {
    const SYN_FROM_INITIATOR: u8 = 1;
    const SYN_FROM_RESPONDER: u8 = 1 << 1;
    const ESTABLISHED: u8 = 1 << 2;
    const FIN_FROM_INITIATOR: u8 = 1 << 3;
    const FIN_FROM_RESPONDER: u8 = 1 << 4;
    const INITIATORS_FIN_ACKNOWLEDGED: u8 = 1 << 5;
    const RESPONDERS_FIN_ACKNOWLEDGED: u8 = 1 << 6;
    const RESET: u8 = 1 << 7;

    const BOTH_SYN: u8 = Self::SYN_FROM_INITIATOR | Self::SYN_FROM_RESPONDER;
    const ANY_FIN: u8 = Self::FIN_FROM_INITIATOR | Self::FIN_FROM_RESPONDER;
    const BOTH_ACKNOWLEDGED: u8 =
        Self::INITIATORS_FIN_ACKNOWLEDGED | Self::RESPONDERS_FIN_ACKNOWLEDGED;

    const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    /// Takes in the flags of one more segment.
    #[must_use]
    pub(super) const fn after(self, flags: TcpFlags, from_initiator: bool) -> Self {
        let (syn, fin, peers_fin, peers_fin_acknowledged) = if from_initiator {
            (
                Self::SYN_FROM_INITIATOR,
                Self::FIN_FROM_INITIATOR,
                Self::FIN_FROM_RESPONDER,
                Self::RESPONDERS_FIN_ACKNOWLEDGED,
            )
        } else {
            (
                Self::SYN_FROM_RESPONDER,
                Self::FIN_FROM_RESPONDER,
                Self::FIN_FROM_INITIATOR,
                Self::INITIATORS_FIN_ACKNOWLEDGED,
            )
        };
        let mut bits = self.0;
        if flags.contains(TcpFlags::RST) {
            bits |= Self::RESET;
        }
        if flags.contains(TcpFlags::SYN) {
            bits |= syn;
        } else if flags.contains(TcpFlags::ACK) {
            // A connection met in the middle shows no SYN at all.
            if bits & Self::BOTH_SYN == Self::BOTH_SYN || bits & Self::BOTH_SYN == 0 {
                bits |= Self::ESTABLISHED;
            }
        }
        if flags.contains(TcpFlags::ACK) && bits & peers_fin != 0 {
            bits |= peers_fin_acknowledged;
        }
        if flags.contains(TcpFlags::FIN) {
            bits |= fin;
        }
        Self(bits)
    }

    /// Returns the stage that was reached.
    pub(super) const fn stage(self) -> TcpStage {
        if self.has(Self::BOTH_ACKNOWLEDGED) {
            TcpStage::Closed
        } else if self.has(Self::RESET) {
            TcpStage::Reset
        } else if self.0 & Self::ANY_FIN != 0 {
            TcpStage::Closing
        } else if self.has(Self::ESTABLISHED) {
            TcpStage::Established
        } else {
            TcpStage::Opening
        }
    }

    /// Says whether nothing but late packets can follow.
    pub(super) const fn is_over(self) -> bool {
        matches!(self.stage(), TcpStage::Closed | TcpStage::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One segment: who sends it (`>` the initiator, `<` the responder) and its flags by first letter.
    fn after(segments: &str) -> TcpStage {
        let flag = |letter| match letter {
            'S' => TcpFlags::SYN.0,
            'A' => TcpFlags::ACK.0,
            'F' => TcpFlags::FIN.0,
            'R' => TcpFlags::RST.0,
            other => panic!("{other} is no flag"),
        };
        let mut progress = TcpProgress::default();
        for segment in segments.split_whitespace() {
            let flags = segment[1..].chars().fold(0, |bits, letter| bits | flag(letter));
            progress = progress.after(TcpFlags(flags), segment.starts_with('>'));
        }
        progress.stage()
    }

    #[test]
    fn the_stage_follows_the_flags() {
        use TcpStage::{Closed, Closing, Established, Opening, Reset};
        for (segments, stage) in [
            (">S", Opening),
            (">S >S", Opening),
            (">S <SA", Opening),
            (">S <SA >A", Established),
            // simultaneous open
            (">S <S", Opening),
            (">S <S >SA <SA >A", Established),
            // met in the middle
            (">A", Established),
            ("<SA", Opening),
            ("<SA >A", Opening),
            // orderly ends
            (">S <SA >A >FA", Closing),
            (">S <SA >A >FA <A", Closing),
            (">S <SA >A >FA <FA", Closing),
            (">S <SA >A >FA <FA >A", Closed),
            (">S <SA >A <FA >A >FA <A", Closed),
            (">S <SA >A >FA <A <A <FA >A", Closed),
            // given up
            (">S <RA", Reset),
            (">S <SA >A >R", Reset),
            (">S <SA >A >FA <R", Reset),
            (">S <SA >A >FA <FA >A <R", Closed),
        ] {
            assert_eq!(after(segments), stage, "{segments}");
        }
    }
}
