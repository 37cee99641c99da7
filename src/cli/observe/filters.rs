//! The filters on the command line, in the order in which they stand there: `--not` negates the one behind it.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::control::observe::{EventFilter, FilterError};

/// Option, what its value is called, and what it means.
const FILTERS: [(&str, &str, &str); 7] = [
    ("access", "ACCESS", "Only flows with this answer: allow, deny or undecided"),
    ("direction", "DIRECTION", "Only inbound or only outbound flows"),
    ("protocol", "PROTOCOL", "Only flows of tcp, udp, icmp, icmpv6, esp, ah or a protocol number"),
    ("ip", "PREFIX", "Only flows with this address, or one of this prefix, on either side"),
    ("port", "PORT", "Only flows with this port on either side"),
    (
        "rule",
        "RULE",
        "Only flows that this rule decided about: NAME, `securityRules/NAME`, `UserRule_NAME`, ...",
    ),
    ("nsg", "NAME", "Only flows that a rule of this network security group decided about"),
];

/// Parameters of the query, such as `access=deny` and `not_port=53`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Filters(pub(super) Vec<(String, String)>);

impl Args for Filters {
    fn augment_args(command: Command) -> Command {
        let filter = |&(name, value, help): &(&'static str, &'static str, &'static str)| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .action(ArgAction::Append)
                .value_parser(move |text: &str| checked(name, text))
                .help_heading(HEADING)
        };
        let not = Arg::new("not")
            .long("not")
            .help("Turn the filter behind it around: `--not --port 53`")
            .action(ArgAction::Append)
            .num_args(0)
            .default_missing_value("true")
            .help_heading(HEADING);
        command.args(FILTERS.iter().map(filter)).arg(not)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

const HEADING: &str = "Filters (a flow must meet all of them; one that is given more than once, by any of its values)";

impl FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut places = Vec::new();
        for (name, ..) in FILTERS {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            let indices = matches.indices_of(name).into_iter().flatten();
            places.extend(indices.zip(values).map(|(index, value)| (index, Some((name, value)))));
        }
        // Of a default value there is an index, too.
        if matches.value_source("not") == Some(clap::parser::ValueSource::CommandLine) {
            places.extend(matches.indices_of("not").into_iter().flatten().map(|it| (it, None)));
        }
        places.sort_by_key(|(index, _)| *index);
        let (mut filters, mut not) = (Vec::new(), false);
        for (_, filter) in places {
            match filter {
                None if not => return Err(usage("--not stands twice in a row")),
                None => not = true,
                Some((name, value)) => {
                    let prefix = if std::mem::take(&mut not) { "not_" } else { "" };
                    filters.push((format!("{prefix}{name}"), value.clone()));
                }
            }
        }
        if not {
            return Err(usage("--not needs a filter behind it, as in `--not --port 53`"));
        }
        let mut all = EventFilter::default();
        for (name, value) in &filters {
            all.add(name, value).map_err(|error| usage(&error.to_string()))?;
        }
        Ok(Self(filters))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Takes a value that the agent would take, and says what the option takes where it is none.
fn checked(name: &str, value: &str) -> Result<String, String> {
    match EventFilter::default().add(name, value) {
        Ok(()) => Ok(value.to_owned()),
        Err(FilterError::Value { expected, .. }) => Err(format!("it takes {expected}")),
        Err(error) => Err(error.to_string()),
    }
}

fn usage(message: &str) -> Error {
    Error::raw(ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(line: &str) -> Result<Vec<String>, String> {
        let command = Filters::augment_args(Command::new("observe").no_binary_name(true));
        let matches = command.try_get_matches_from(line.split_whitespace());
        let filters = matches.and_then(|matches| Filters::from_arg_matches(&matches));
        let words = |(name, value)| format!("{name}={value}");
        filters
            .map(|filters| filters.0.into_iter().map(words).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn not_turns_around_the_filter_behind_it_and_no_other() {
        for (line, expected) in [
            ("", vec![]),
            ("--port 22 --access deny", vec!["port=22", "access=deny"]),
            ("--not --port 22 --access deny", vec!["not_port=22", "access=deny"]),
            ("--port 22 --not --access deny", vec!["port=22", "not_access=deny"]),
            ("--not --ip 10.0.0.0/8 --not --ip ::1", vec!["not_ip=10.0.0.0/8", "not_ip=::1"]),
            ("--ip 10.0.0.1 --not --ip 10.0.0.2", vec!["ip=10.0.0.1", "not_ip=10.0.0.2"]),
        ] {
            assert_eq!(filters(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_wrong_usage() {
        for (line, words) in [
            ("--port 22 --not", "--not needs a filter"),
            ("--not --not --port 22", "--not stands twice"),
            ("--port http", "'http' for '--port <PORT>': it takes a port from 0 to 65535"),
            ("--not --ip 10.0.0.0/33", "it takes an address or a prefix"),
            (&"--port 1 ".repeat(65), "more than 64 filters"),
            ("--colour red", "unexpected argument"),
        ] {
            let error = filters(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
