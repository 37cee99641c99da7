//! Lines of JSON in, lines as they are printed out.

use std::fmt::Write;

use anyhow::Context;

use super::RecordFormat;
use crate::cli::colour;
use crate::cli::record::Record;

/// Titles and widths of the table's columns; the last one is not padded. A longer cell pushes its neighbours.
const COLUMNS: [(&str, usize); 10] = [
    ("TIME", 12),
    ("EVENT", 5),
    ("ACCESS", 9),
    ("DIRECTION", 9),
    ("PROTO", 6),
    ("SOURCE", 21),
    ("DESTINATION", 21),
    ("RULE", 28),
    ("NSG", 20),
    ("INTERFACE", 0),
];

/// Prints records in one form.
#[derive(Debug)]
pub(super) struct Lines {
    format: RecordFormat,
    colour: bool,
    /// The header has not been printed yet.
    headless: bool,
}

impl Lines {
    pub(super) fn new(format: RecordFormat, colour: bool) -> Self {
        Self { format, colour, headless: format == RecordFormat::Table }
    }

    /// Renders whole lines.
    pub(super) fn render(&mut self, lines: &str) -> anyhow::Result<String> {
        if self.format == RecordFormat::Json {
            return Ok(lines.to_owned());
        }
        let mut out = String::with_capacity(lines.len());
        if std::mem::take(&mut self.headless) {
            push_row(&mut out, &COLUMNS.map(|(title, _)| title.to_owned()), ("", ""));
        }
        for line in lines.lines() {
            let record: Record =
                serde_json::from_str(line).context("the agent sent what is no record")?;
            if record.is_lost() {
                // Writing to a string can not fail.
                _ = writeln!(
                    out,
                    "({} records passed unseen: this reader is too slow)",
                    record.count
                );
                continue;
            }
            let codes = if self.colour { colour::codes(record.access) } else { ("", "") };
            match self.format {
                RecordFormat::Table => push_row(&mut out, &cells(&record), codes),
                RecordFormat::Compact | RecordFormat::Json => {
                    push_compact(&mut out, &record, codes);
                }
            }
        }
        Ok(out)
    }
}

fn push_compact(out: &mut String, record: &Record, (on, off): (&str, &str)) {
    let access = record.access_word();
    let direction = if record.is_inbound() { "in" } else { "out" };
    let ends = format!("{} -> {}", record.source(), record.destination());
    let line = format!(
        "{} {:5} {on}{access:5}{off} {direction:3} {:6} {ends:45} {} {}",
        record.time_of_day(),
        record.event_word(),
        record.transport,
        record.rule_and_place(),
        record.ending(),
    );
    out.push_str(line.trim_end());
    out.push('\n');
}

fn cells(record: &Record) -> [String; 10] {
    [
        record.time_of_day().to_owned(),
        record.event_word().to_owned(),
        record.access_word().to_owned(),
        record.direction.clone(),
        record.transport.clone(),
        record.source(),
        record.destination(),
        record.rule(),
        record.nsg(),
        crate::cli::record::plain(&record.interface),
    ]
}

fn push_row(out: &mut String, cells: &[String; 10], (on, off): (&str, &str)) {
    for (index, (cell, (title, width))) in cells.iter().zip(COLUMNS).enumerate() {
        if index > 0 {
            out.push_str("  ");
        }
        let (on, off) = if title == "ACCESS" { (on, off) } else { ("", "") };
        // Writing to a string can not fail.
        _ = write!(out, "{on}{cell:width$}{off}");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"timestamp":"2026-11-23T08:08:46.135859462Z","event":"flow_start","access":"Deny","direction":"Inbound","security_rule.name":"DenyAll\u001bInBound","security_rule.ruleset.name":"web-nsg","security_rule.layer":"nic","security_rule.priority":65500,"security_rule.default":true,"network.transport":"tcp","network.type":"ipv4","network.interface.name":"eth0","source.address":"203.0.113.9","source.port":47861,"destination.address":"10.0.1.4","destination.port":22}"#;
    const END: &str = r#"{"timestamp":"2026-11-23T08:08:47.000000000Z","event":"flow_end","access":"Allow","direction":"Outbound","network.transport":"icmpv6","network.type":"ipv6","network.interface.name":"eth0","source.address":"fd00::1","destination.address":"fd00::2","packets.to_destination":4,"packets.to_source":3,"bytes.to_destination":273,"bytes.to_source":206,"duration_ms":1042,"midstream":false,"end_reason":"idle"}"#;
    const LOST: &str = r#"{"event":"lost","count":17}"#;

    fn render(format: RecordFormat, colour: bool) -> String {
        Lines::new(format, colour).render(&format!("{START}\n{END}\n{LOST}\n")).unwrap()
    }

    #[test]
    fn json_is_passed_on_as_it_is() {
        assert_eq!(render(RecordFormat::Json, true), format!("{START}\n{END}\n{LOST}\n"));
    }

    #[test]
    fn compact_has_a_line_a_record_and_no_name_commands_the_terminal() {
        assert_eq!(
            render(RecordFormat::Compact, false),
            "08:08:46.135 start Deny  in  tcp    203.0.113.9:47861 -> 10.0.1.4:22              DenyAll\\u001bInBound (web-nsg, nic, 65500)\n\
             08:08:47.000 end   Allow out icmpv6 fd00::1 -> fd00::2                            no rule packets 4/3, bytes 273/206, 1.042 s, idle\n\
             (17 records passed unseen: this reader is too slow)\n"
        );
        assert!(render(RecordFormat::Compact, true).contains("start \x1b[31mDeny \x1b[0m in"));
    }

    #[test]
    fn a_table_has_one_header_over_all_its_pieces() {
        let mut lines = Lines::new(RecordFormat::Table, false);
        let first = lines.render(&format!("{START}\n")).unwrap();
        let (header, row) = first.split_once('\n').unwrap();
        assert!(header.starts_with("TIME          EVENT  ACCESS     DIRECTION  PROTO"), "{header}");
        assert!(row.starts_with("08:08:46.135  start  Deny       Inbound    tcp"), "{row}");
        assert_eq!(header.find("INTERFACE"), row.find("eth0"), "{first}");
        assert!(lines.render(&format!("{END}\n")).unwrap().starts_with("08:08:47.000  end"));
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        assert!(Lines::new(RecordFormat::Compact, false).render("nonsense\n").is_err());
    }
}
