//! What an operator should know of an answer that the rules alone do not say.
//!
//! In come the rules, the question and its verdict, out go notes in words; no note changes the verdict.

use super::{Access, AppliedRules, Verdict};
use crate::flow::{Direction, FiveTuple, Protocol};

const SMTP: u16 = 25;

/// A remark on an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Note {
    /// The rules allow mail to the internet, Azure may not.
    SmtpOutbound,
    /// A rule that might decide names what nobody knows.
    Unresolved,
}

impl Note {
    /// Returns a word that programs can tell apart; it stays the same.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::SmtpOutbound => "smtp-outbound",
            Self::Unresolved => "unresolved-name",
        }
    }

    /// Returns the remark for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::SmtpOutbound => {
                "Azure blocks outbound TCP port 25 to the internet for most subscription types, whatever the rules say"
            }
            Self::Unresolved => {
                "the named rule depends on a service tag or an application security group that nobody explained"
            }
        }
    }
}

/// Returns the remarks on the answer about a packet.
///
/// Source: Microsoft, *Network security groups overview*, platform considerations (nsg-semantics.md section 6).
#[must_use]
pub fn notes(
    rules: &AppliedRules,
    direction: Direction,
    tuple: &FiveTuple,
    verdict: &Verdict,
) -> Vec<Note> {
    let is_public = || {
        let internet = rules.service_tags.get("Internet");
        internet.is_some_and(|internet| internet.contains(tuple.destination))
    };
    let is_mail = direction == Direction::Outbound
        && tuple.protocol == Protocol::TCP
        && tuple.ports.destination() == Some(SMTP)
        && verdict.access == Access::Allow
        && is_public();
    let unresolved = verdict.access == Access::Undecided;
    let notes = [(is_mail, Note::SmtpOutbound), (unresolved, Note::Unresolved)];
    notes.into_iter().filter_map(|(applies, note)| applies.then_some(note)).collect()
}
