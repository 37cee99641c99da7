//! Many questions at once: lines in, answers in the same form and order out.
//!
//! In come lines of CSV, under a header that names the fields of IP flow verify, or lines that each are a request
//! body in JSON; out go lines of the same form. A line that can not be answered becomes an answer that says so, with
//! its number; nothing stops. Opens no file.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use super::verify::{Endpoint, QueryPort, SourcePortCuts, VerifyError, VerifyQuery};
use crate::classifier::Policy;
use crate::nsg::{PlatformTraffic, RuleNameStyle, RuleProvenance, Verdict};

/// How the lines are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchFormat {
    /// Values between commas: where each field stands in a line.
    Csv(CsvHeader),
    /// One JSON object a line.
    JsonLines,
}

/// In which column each field stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvHeader {
    columns: [usize; FIELDS.len()],
    width: usize,
}

const FIELDS: [&str; 6] =
    ["direction", "protocol", "localIPAddress", "localPort", "remoteIPAddress", "remotePort"];

/// The header of the answers in CSV.
pub const ANSWER_HEADER: &str =
    "line,access,ruleName,networkSecurityGroup,layer,priority,platform,error\n";

/// The most columns that a line may have.
const MOST_COLUMNS: usize = 64;

impl CsvHeader {
    /// Reads the first line.
    ///
    /// # Errors
    /// Names the field that no column has.
    pub fn read(line: &str) -> Result<Self, VerifyError> {
        let names: Vec<&str> = line.trim_start_matches('\u{feff}').split(',').map(plain).collect();
        let mut columns = [0; FIELDS.len()];
        for (column, field) in columns.iter_mut().zip(FIELDS) {
            *column = names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(field))
                .ok_or(VerifyError::Missing(field))?;
        }
        let width = names.len();
        if width > MOST_COLUMNS {
            let reason = format!("{width} columns; at most {MOST_COLUMNS} are read");
            return Err(VerifyError::Body(reason));
        }
        Ok(Self { columns, width })
    }

    fn query(&self, line: &str) -> Result<VerifyQuery, VerifyError> {
        let mut values = [""; MOST_COLUMNS];
        let mut count = 0;
        for value in line.split(',') {
            if let Some(place) = values.get_mut(count) {
                *place = plain(value);
            }
            count += 1;
        }
        if count != self.width {
            return Err(VerifyError::Body(format!(
                "{count} values, the header has {}",
                self.width
            )));
        }
        let values = self.columns.map(|column| values.get(column).copied().unwrap_or_default());
        let [direction, protocol, local, local_port, remote, remote_port] = values;
        VerifyQuery::new(
            direction.parse().map_err(|error| VerifyError::unknown_word("direction", &error))?,
            protocol.parse().map_err(|error| VerifyError::unknown_word("protocol", &error))?,
            endpoint(("localIPAddress", local), ("localPort", local_port))?,
            endpoint(("remoteIPAddress", remote), ("remotePort", remote_port))?,
        )
    }
}

/// Takes off blanks and quotes.
fn plain(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

fn endpoint(
    (address_field, address): (&'static str, &str),
    (port_field, port): (&'static str, &str),
) -> Result<Endpoint, VerifyError> {
    let address: IpAddr = address.parse().map_err(|_| VerifyError::Invalid {
        field: address_field,
        reason: format!("`{address}` is not an IPv4 or IPv6 address"),
    })?;
    let port = match port {
        "" => QueryPort::Any,
        port => port.parse().map_err(|error| VerifyError::unknown_word(port_field, &error))?,
    };
    Ok(Endpoint { address, port })
}

/// Answers lines. Keeps what repeats, so that a line costs no allocation.
#[derive(Debug)]
pub struct Batch<'a> {
    policy: &'a Policy,
    format: &'a BatchFormat,
    names: RuleNameStyle,
    cuts: SourcePortCuts,
    /// What an answer says of a rule, by the address of its provenance, which the policy keeps alive.
    rules: HashMap<usize, Box<str>>,
}

impl<'a> Batch<'a> {
    /// Makes an answerer.
    #[must_use]
    pub fn new(policy: &'a Policy, format: &'a BatchFormat, names: RuleNameStyle) -> Self {
        Self { policy, format, names, cuts: SourcePortCuts::of(policy), rules: HashMap::new() }
    }

    /// Appends the answers to whole lines, the first of which has this number. Empty lines have no answer. Returns
    /// how many could not be answered.
    pub fn answer(&mut self, lines: &[u8], first_line: u64, out: &mut Vec<u8>) -> u64 {
        let mut failed = 0;
        for (line, number) in lines.split(|&byte| byte == b'\n').zip(first_line..) {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match self.verdict(line) {
                Ok((query, verdict)) => self.push_answer(out, number, &query, &verdict),
                Err(error) => {
                    failed += 1;
                    self.push_error(out, number, &error);
                }
            }
        }
        failed
    }

    fn verdict(&self, line: &[u8]) -> Result<(VerifyQuery, Verdict), VerifyError> {
        let query = match self.format {
            BatchFormat::JsonLines => VerifyQuery::from_json(line)?,
            BatchFormat::Csv(header) => {
                let line = str::from_utf8(line)
                    .map_err(|_| VerifyError::Body("the line is not UTF-8".to_owned()))?;
                header.query(line)?
            }
        };
        let verdict = query.verdict(self.policy, &self.cuts)?;
        Ok((query, verdict))
    }

    fn push_answer(
        &mut self,
        out: &mut Vec<u8>,
        number: u64,
        query: &VerifyQuery,
        verdict: &Verdict,
    ) {
        let is_json = *self.format == BatchFormat::JsonLines;
        let rule = verdict.rule.as_ref();
        let platform =
            PlatformTraffic::of(query.direction(), &query.packet(), rule.map(AsRef::as_ref));
        out.extend_from_slice(if is_json { b"{\"line\":" } else { b"" });
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        out.extend_from_slice(if is_json { b",\"access\":\"" } else { b"," });
        out.extend_from_slice(verdict.access.as_str().as_bytes());
        out.extend_from_slice(if is_json { b"\"" } else { b"," });
        match rule {
            Some(rule) => {
                let name = || rule.name_in(self.names);
                let render =
                    || if is_json { json_rule(rule, &name()) } else { csv_rule(rule, &name()) };
                let text = self.rules.entry(Arc::as_ptr(rule).addr()).or_insert_with(render);
                out.extend_from_slice(text.as_bytes());
            }
            None if is_json => {}
            None => out.extend_from_slice(b",,,"),
        }
        match platform {
            Some(traffic) if is_json => {
                // Writing to memory can not fail, here and below.
                _ = write!(
                    out,
                    ",\"platform\":{{\"traffic\":\"{traffic}\",\"effect\":\"{}\"}}",
                    traffic.effect()
                );
            }
            Some(traffic) => _ = write!(out, ",{traffic} {}", traffic.effect()),
            None if is_json => {}
            None => out.push(b','),
        }
        out.extend_from_slice(if is_json { b"}\n" } else { b",\n" });
    }

    fn push_error(&self, out: &mut Vec<u8>, number: u64, error: &VerifyError) {
        let (code, message) = (error.code(), error.to_string());
        _ = match self.format {
            BatchFormat::JsonLines => {
                let error = serde_json::json!({ "code": code, "message": message });
                writeln!(out, "{{\"line\":{number},\"error\":{error}}}")
            }
            BatchFormat::Csv(_) => {
                writeln!(out, "{number},,,,,,,{}", quoted(&format!("{code}: {message}")))
            }
        };
    }
}

fn json_rule(rule: &RuleProvenance, name: &str) -> Box<str> {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    format!(
        ",\"ruleName\":{},\"networkSecurityGroup\":{},\"layer\":\"{}\",\"priority\":{}",
        text(name),
        text(&rule.ruleset),
        rule.layer,
        rule.priority
    )
    .into()
}

fn csv_rule(rule: &RuleProvenance, name: &str) -> Box<str> {
    let group = quoted(&rule.ruleset);
    format!("{},{group},{},{}", quoted(name), rule.layer, rule.priority).into()
}

/// Quotes a value of CSV where it must be; line ends become blanks, so that an answer is one line.
fn quoted(value: &str) -> String {
    if !value.contains([',', '"', '\n', '\r']) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('"', "\"\"").replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nsg::{AppliedRules, NetworkSecurityGroup, ServiceTags};

    fn policy() -> Policy {
        let rules = AppliedRules {
            nic: Some(NetworkSecurityGroup::with_defaults_only("nsg")),
            service_tags: ServiceTags::new(["10.0.0.0/16".parse().unwrap()]),
            ..AppliedRules::default()
        };
        Policy::compile(rules, 1).unwrap()
    }

    fn answers(format: &BatchFormat, lines: &str, first_line: u64) -> (String, u64) {
        let policy = policy();
        let mut out = Vec::new();
        let mut batch = Batch::new(&policy, format, RuleNameStyle::Azure);
        let failed = batch.answer(lines.as_bytes(), first_line, &mut out);
        (String::from_utf8(out).unwrap(), failed)
    }

    #[test]
    fn lines_of_csv_are_answered_in_order_and_a_bad_one_by_its_number() {
        let header = CsvHeader::read(
            "id,remotePort,direction,Protocol,localipaddress,localPort,remoteIPAddress\r",
        );
        let lines = "a,50000,Inbound,tcp,10.0.0.4,22,203.0.113.9\r\n\
            b,53,outbound,UDP,10.0.0.4,*,168.63.129.16\n\
            \n\
            c,80,inbound,tcp,10.0.0,443,10.0.0.5\n\
            d,80\n\
            e,,inbound,icmp,10.0.0.4,,10.0.0.5";
        let expected = "2,Deny,defaultSecurityRules/DenyAllInBound,nsg,nic,65500,,\n\
            3,Allow,defaultSecurityRules/AllowVnetOutBound,nsg,nic,65000,dns exempt,\n\
            5,,,,,,,InvalidParameter: `localIPAddress`: `10.0.0` is not an IPv4 or IPv6 address\n\
            6,,,,,,,\"InvalidRequestContent: the body is not an IP flow verify request: 2 values, the header has 7\"\n\
            7,Allow,defaultSecurityRules/AllowVnetInBound,nsg,nic,65000,,\n";
        let (text, failed) = answers(&BatchFormat::Csv(header.unwrap()), lines, 2);
        assert_eq!((text.as_str(), failed), (expected, 2));
        for line in expected.lines().filter(|line| !line.contains('"')) {
            assert_eq!(line.split(',').count(), ANSWER_HEADER.split(',').count(), "{line}");
        }
    }

    #[test]
    fn lines_of_json_are_answered_in_json() {
        let lines = concat!(
            r#"{"direction":"Outbound","protocol":"TCP","localPort":"80","remotePort":80,"#,
            r#""localIPAddress":"10.0.0.4","remoteIPAddress":"168.63.129.16"}"#,
            "\n{}\n"
        );
        let (text, failed) = answers(&BatchFormat::JsonLines, lines, 1);
        let expected = concat!(
            r#"{"line":1,"access":"Allow","ruleName":"defaultSecurityRules/AllowVnetOutBound","#,
            r#""networkSecurityGroup":"nsg","layer":"nic","priority":65000,"#,
            r#""platform":{"traffic":"wire_server","effect":"exempt"}}"#,
            "\n",
            r#"{"line":2,"error":{"code":"MissingParameter","message":""#,
        );
        assert!(text.starts_with(expected), "{text}");
        assert_eq!((text.lines().count(), failed), (2, 1));
    }

    #[test]
    fn a_header_without_a_field_is_refused() {
        let error = CsvHeader::read("direction,protocol,localIPAddress,localPort").unwrap_err();
        assert!(error.to_string().starts_with("`remoteIPAddress` is missing"), "{error}");
    }
}
