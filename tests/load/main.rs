//! The loaders as a caller meets them: what is read, what is refused and where, and that nothing makes them panic.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly, like the tests themselves"
)]

mod admin;
mod arm_template;
mod azure_files;
mod diagnostics;
mod effective;
mod joining;
mod membership;
mod properties;
mod refusals;
mod shapes;
mod terraform;

use nsgwatch::flow::{FiveTuple, Ports, Protocol};
use nsgwatch::nsg::NetworkSecurityGroup;
use nsgwatch::nsg::load::{Format, LoadError, parse_groups};

/// Loads a text that must hold one group.
fn one_group(text: &str, format: Format) -> NetworkSecurityGroup {
    let parsed =
        parse_groups("x", text, format).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    assert_eq!(parsed.groups.len(), 1);
    parsed.groups.into_iter().next().unwrap().group
}

/// Loads a text that must be refused.
fn refused(text: &str, format: Format) -> Vec<LoadError> {
    let outcome = parse_groups("x", text, format);
    outcome.err().unwrap_or_else(|| panic!("loaded: {text}"))
}

/// Reads `tcp 10.0.0.4:1 [2001:db8::1]:2`: protocol, source, destination.
fn tuple(text: &str) -> FiveTuple {
    let mut words = text.split(' ');
    let protocol: Protocol = words.next().unwrap().parse().unwrap();
    let mut end = || words.next().unwrap().parse::<std::net::SocketAddr>().unwrap();
    let (source, destination) = (end(), end());
    let ports = Ports::Pair { source: source.port(), destination: destination.port() };
    FiveTuple { protocol, source: source.ip(), destination: destination.ip(), ports }
}

/// Where an error stands: line, column, rule, field, code.
type Where<'a> = (u32, u32, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn places(errors: &[LoadError]) -> Vec<Where<'_>> {
    errors
        .iter()
        .map(|error| {
            let place = &error.place;
            let (line, column) = (place.line.unwrap_or(0), place.column.unwrap_or(0));
            (line, column, place.rule.as_deref(), place.field.as_deref(), error.code)
        })
        .collect()
}
