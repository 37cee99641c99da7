//! The port fields of a rule: `*`, one port, or a range, alone or in a list.

use super::error::{Refusal, shown};
use crate::nsg::PortRange;

const INVALID: &str = "SecurityRuleInvalidPortRange";
const INVALID_IN_LIST: &str = "SecurityRuleParameterContainsInvalidPortRanges";

/// Reads the value of a singular field.
pub(super) fn single(text: &str) -> Result<PortRange, Refusal> {
    if super::is_any(text) {
        return Ok(PortRange::ANY);
    }
    range(text).ok_or_else(|| {
        let refusal = Refusal::new(format!("`{}` is not a port or a range of ports", shown(text)));
        refusal.arm(INVALID).hint(if text.contains(',') {
            "this field takes one value: give a list in the plural field"
        } else {
            "give `*`, a number from 0 to 65535, or a range like 8000-8100"
        })
    })
}

/// Reads one element of a plural field, where Azure takes no `*`.
pub(super) fn listed(text: &str) -> Result<PortRange, Refusal> {
    if super::is_any(text) {
        let refusal = Refusal::new("`*` can not stand in a list of ports");
        return Err(refusal.arm(INVALID_IN_LIST).hint("give `*` alone in the singular field"));
    }
    single(text)
}

fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(PortRange { first, last })
}

fn port(text: &str) -> Option<u16> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_field_takes_a_star_a_port_or_a_range() {
        for (text, expected) in [
            ("*", Some((0, 65_535))),
            ("any", Some((0, 65_535))),
            ("0", Some((0, 0))),
            ("65535", Some((65_535, 65_535))),
            ("80-90", Some((80, 90))),
            ("0-65535", Some((0, 65_535))),
            ("65536", None),
            ("90-80", None),
            ("80,443", None),
            ("-80", None),
            ("80-", None),
            ("1-2-3", None),
            ("+80", None),
            (" 80", None),
            ("1e3", None),
            ("", None),
            ("-", None),
        ] {
            let expected = expected.map(|(first, last)| PortRange { first, last });
            assert_eq!(single(text).ok(), expected, "{text:?}");
        }
        assert!(listed("*").is_err() && listed("Any").is_err() && listed("80-90").is_ok());
    }
}
