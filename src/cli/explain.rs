//! `nsgwatch explain`: why the rules answer a question as they do, with or without a running agent.

use std::mem;
use std::process::ExitCode;

use super::question::{Asking, Packet, sentence};
use super::terminal::Color;
use super::{OutputFormat, block_on, exit, terminal};
use crate::control::client;
use crate::control::explain::{Explained, ExplainedRule, MatchedBy, NearestAllow};
use crate::control::verify::VerifyQuery;

const AFTER_HELP: &str = "\
Every rule that was asked is shown, up to the deciding one (`=>`), with the fields that the packet \
met (`yes`) and missed (`NO`): protocol, source, source port, destination, destination port. `?` \
stands where a field names a service tag or an application security group that nobody explained, \
`?>` where the rule may decide therefore. Below the table: what the deciding rules matched by; of a \
Deny the Allow that the packet missed by one field only; how far each field may be changed alone, \
the others as asked, with the same answer; and the assumptions that the answer rests on.

Examples:
  nsgwatch explain --direction inbound --protocol tcp --local 10.0.0.4:22 --remote 203.0.113.9:50211
  nsgwatch explain --nic-nsg web.json --virtual-network 10.0.0.0/16 \\
      --direction inbound --protocol tcp --local 10.0.0.4:8443 --remote 203.0.113.9:50211

Exit codes: 0 answered, Deny included; 1 the rules are refused; 2 wrong usage; 4 no agent reachable.";

/// Columns of the screen.
const WIDTH: usize = 100;
/// The fewest columns in which an answer can be shown.
const NARROWEST: usize = 60;
/// Columns before the text of a remark.
const TITLE_WIDTH: usize = 15;
/// The longest value of a rule's field that is printed for people.
const LONGEST_VALUE: usize = 60;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(flatten)]
    packet: Packet,

    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(arguments: &Arguments, color: Color) -> anyhow::Result<ExitCode> {
    let query = match arguments.packet.query() {
        Ok(query) => query,
        Err(error) => {
            terminal::complain(&format!("error: {error}"));
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let Some(mut explained) = ask(&arguments.asking, &query)? else {
        return Ok(ExitCode::from(exit::FAILED));
    };
    explained.respell(arguments.asking.rule_names);
    terminal::answer(&match arguments.asking.output_format {
        OutputFormat::Json => serde_json::to_string_pretty(&explained)?,
        OutputFormat::Text => terminal::painted(&screen(&explained, WIDTH), color.on_stdout()),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn ask(asking: &Asking, query: &VerifyQuery) -> anyhow::Result<Option<Explained>> {
    if asking.is_offline() {
        let policy = asking.policy()?;
        return Ok(policy.map(|policy| Explained::answer(query, &policy)).transpose()?);
    }
    let body = question(asking.body(query));
    Ok(Some(block_on(client::post(&asking.socket.path, "/v1/verify", &body))?))
}

/// Makes the body of the question why out of the one of the question what.
pub(super) fn question(mut body: serde_json::Value) -> serde_json::Value {
    if let Some(body) = body.as_object_mut() {
        body.insert("explain".to_owned(), true.into());
    }
    body
}

/// Shows an answer in at most so many columns; the verdict itself is not cut.
pub(super) fn screen(explained: &Explained, width: usize) -> String {
    let width = width.max(NARROWEST);
    let mut text = format!("{}\n\n", sentence(&explained.answer));
    if !explained.layers.is_empty() {
        text.push_str(&table(explained, width));
        text.push('\n');
    }
    for (title, remark) in remarks(explained) {
        text.push_str(&beside(title, &remark, width));
    }
    text
}

/// What stands below the table, each with its title.
fn remarks(explained: &Explained) -> Vec<(&'static str, String)> {
    let rules = explained.layers.iter().flat_map(|layer| &layer.rules);
    let matched = rules.filter(|rule| rule.matched == Some(true)).map(|rule| {
        let sides = [("from", &rule.source_matched_by), ("to", &rule.destination_matched_by)];
        let sides =
            sides.iter().filter_map(|(word, by)| Some(format!(" {word} {}", met(by.as_ref()?))));
        ("matched", format!("{}:{}", rule.rule_name, sides.collect::<String>()))
    });
    let nearest = explained.nearest_allow.iter().map(|nearest| {
        let NearestAllow { rule_name, network_security_group, layer, field, .. } = nearest;
        let expected = cut(&nearest.expected, LONGEST_VALUE);
        let actual = &nearest.actual;
        let text = format!(
            "{rule_name} ({network_security_group}, {layer}): {field} is {actual}, the rule has {expected}"
        );
        ("nearest Allow", text)
    });
    let same = &explained.same_answer;
    let same = [
        ("source", &same.source_address_prefix, &same.source_port_range),
        ("destination", &same.destination_address_prefix, &same.destination_port_range),
    ]
    .map(|(side, prefix, ports)| {
        let ports = ports.as_ref().map(|ports| format!(", or {side} port {ports}"));
        ("same answer", format!("{side} {prefix}{}", ports.unwrap_or_default()))
    });
    let assumptions = explained.answer.assumptions.iter();
    let assumptions = assumptions.map(|it| ("assumed", format!("{} [{}]", it.message, it.id)));
    matched.chain(nearest).chain(same).chain(assumptions).collect()
}

/// A title, and beside it a text in lines that fit.
fn beside(title: &str, text: &str, width: usize) -> String {
    let room = width - TITLE_WIDTH;
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let word = cut(word, room);
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
            lines.push(mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    let separator = format!("\n{:TITLE_WIDTH$}", "");
    format!("{title:TITLE_WIDTH$}{}\n", lines.join(&separator))
}

fn table(explained: &Explained, width: usize) -> String {
    let titles = ["  ", "LAYER", "PRIO", "SAYS", "PROTO", "SRC", "SPORT", "DST", "DPORT", "RULE"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for layer in &explained.layers {
        rows.extend(layer.rules.iter().map(|rule| row(layer.layer.as_str(), rule)));
    }
    let table = terminal::columns(&rows);
    table.lines().map(|line| cut(line, width) + "\n").collect()
}

fn row(layer: &str, rule: &ExplainedRule) -> Vec<String> {
    let mark = |met: Option<bool>| match met {
        Some(true) => "yes".to_owned(),
        Some(false) => "NO".to_owned(),
        None => "?".to_owned(),
    };
    let pointer = match rule.matched {
        Some(true) => "=>",
        Some(false) => "",
        None => "?>",
    };
    vec![
        pointer.to_owned(),
        layer.to_owned(),
        rule.priority.to_string(),
        rule.access.to_string(),
        mark(Some(rule.protocol_matched)),
        mark(rule.source_matched),
        mark(Some(rule.source_port_matched)),
        mark(rule.destination_matched),
        mark(Some(rule.destination_port_matched)),
        rule.rule_name.clone(),
    ]
}

fn met(by: &MatchedBy) -> String {
    let value = cut(&by.value, LONGEST_VALUE);
    match &by.prefix {
        Some(prefix) => format!("{value} ({prefix})"),
        None => value,
    }
}

/// Cuts a text to so many columns, with an ellipsis where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Policy;
    use crate::nsg::{
        Access, AddressPrefix, AppliedRules, NetworkSecurityGroup, PortSet, Priority, RuleProtocol,
        SecurityRule, default_security_rules,
    };

    #[test]
    fn the_longest_names_and_values_fit_the_screen() {
        let long = SecurityRule {
            name: "n".repeat(80),
            priority: Priority(4096),
            direction: crate::flow::Direction::Inbound,
            access: Access::Allow,
            protocol: RuleProtocol::Any,
            source: (1..=200).map(|last| AddressPrefix::Network(network(last))).collect(),
            source_ports: PortSet::any(),
            destination: vec![AddressPrefix::Any],
            destination_ports: PortSet::any(),
            is_default: false,
            id: None,
        };
        let rules = [long].into_iter().chain(default_security_rules()).collect();
        let rules = AppliedRules {
            nic: Some(NetworkSecurityGroup::new("nsg", rules)),
            ..AppliedRules::default()
        };
        let query = VerifyQuery::new(
            crate::flow::Direction::Inbound,
            crate::flow::Protocol::TCP,
            "10.0.0.4:80".parse().unwrap(),
            "192.0.3.1:50000".parse().unwrap(),
        )
        .unwrap();
        let policy = Policy::compile(rules, 1).unwrap();
        let explained = Explained::answer(&query, &policy).unwrap();
        for width in [WIDTH, 78] {
            let screen = screen(&explained, width);
            assert!(screen.contains("nnn\u{2026}\n"), "{screen}");
            assert!(screen.contains("nearest Allow  securityRules/nnn"), "{screen}");
            for line in screen.lines() {
                assert!(line.chars().count() <= width, "{line}");
            }
        }
    }

    fn network(last: u8) -> ipnet::IpNet {
        std::net::IpAddr::from([192, 0, 2, last]).into()
    }

    #[test]
    fn a_text_is_broken_between_words_and_indented() {
        let text = beside("title", "word ".repeat(30).trim_end(), WIDTH);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("title          word word") && lines[0].len() <= WIDTH);
        assert!(lines[1].starts_with("               word word"), "{text}");
    }

    #[test]
    fn what_is_cut_ends_with_an_ellipsis() {
        assert_eq!(cut("abcd", 4), "abcd");
        assert_eq!(cut("abcde", 4), "abc\u{2026}");
    }
}
