//! The published list of service tags, as downloaded or as the discovery API answers.
//!
//! In come its text (4 MB, about 96,000 prefixes) and the names of the tags that rules use; out come the addresses
//! of those tags and no others. An entry that nobody wants is skipped as text and never built.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::address_field;
use super::document::{json_error_message, position_of, position_of_json_error};
use super::error::{Findings, LoadError, Refusal, Scope, shown};
use crate::nsg::AddressSet;

/// What a service tag file says of the wanted tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedTags<'a> {
    /// The addresses of the wanted tags that the file has, by name in lower case.
    pub found: BTreeMap<String, AddressSet>,
    /// The names of all tags in the file as written.
    pub names: Vec<Cow<'a, str>>,
}

/// The part of the document that is looked at. The published file's `changeNumber` is a number and the API's is a
/// text; nothing depends on it.
#[derive(Deserialize)]
struct TagDocument<'a> {
    #[serde(borrow)]
    values: Vec<TagEntry<'a>>,
}

#[derive(Deserialize)]
struct TagEntry<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    properties: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagProperties<'a> {
    #[serde(borrow)]
    address_prefixes: Vec<Cow<'a, str>>,
}

/// Reads the wanted tags. Names compare in any letter case. A wanted tag that the file lacks is no error here.
///
/// # Errors
///
/// The text is not a service tag file, or a wanted tag stands in it twice or has bad prefixes.
pub fn parse<'a>(
    file: &str,
    text: &'a str,
    wanted: &BTreeSet<String>,
) -> Result<PublishedTags<'a>, Vec<LoadError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let wanted: BTreeSet<String> = wanted.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut findings = Findings::new(file);
    let mut tags = PublishedTags { found: BTreeMap::new(), names: Vec::new() };
    match serde_json::from_str::<TagDocument<'_>>(text) {
        Err(error) => {
            let refusal = Refusal::new(json_error_message(&error))
                .hint("expected the service tag file that Azure publishes");
            let position = position_of_json_error(text, &error);
            findings.refuse(&Scope::default(), None, position, refusal);
        }
        Ok(document) => {
            for entry in document.values {
                let key = entry.name.to_ascii_lowercase();
                if wanted.contains(&key) {
                    let set = addresses(text, &entry, &mut findings);
                    if tags.found.insert(key, set).is_some() {
                        refuse_entry(text, &entry, "stands in the file twice", &mut findings);
                    }
                }
                tags.names.push(entry.name);
            }
        }
    }
    findings.finish().map(|_no_warnings| tags)
}

fn addresses(text: &str, entry: &TagEntry<'_>, findings: &mut Findings) -> AddressSet {
    let properties = match serde_json::from_str::<TagProperties<'_>>(entry.properties.get()) {
        Ok(properties) => properties,
        Err(error) => {
            refuse_entry(text, entry, &json_error_message(&error), findings);
            return AddressSet::default();
        }
    };
    let mut networks: Vec<IpNet> = Vec::with_capacity(properties.address_prefixes.len());
    for prefix in &properties.address_prefixes {
        if let Ok(network) = address_field::network(prefix) {
            networks.push(network);
        } else {
            let problem = format!("has a bad prefix `{}`", shown(prefix));
            refuse_entry(text, entry, &problem, findings);
        }
    }
    networks.into_iter().collect()
}

fn refuse_entry(text: &str, entry: &TagEntry<'_>, problem: &str, findings: &mut Findings) {
    let offset = entry.properties.get().as_ptr().addr() - text.as_ptr().addr();
    let refusal = Refusal::new(format!("service tag `{}` {problem}", shown(&entry.name)));
    findings.refuse(&Scope::default(), Some("properties"), position_of(text, offset), refusal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const FILE: &str = r#"{"changeNumber": 1, "cloud": "Public", "values": [
  {"name": "Alpha", "id": "Alpha", "properties": {"region": "", "addressPrefixes": ["192.0.2.0/25", "2001:db8::/64"], "networkFeatures": null}},
  {"name": "Beta.West", "id": "Beta.West", "properties": {"addressPrefixes": ["198.51.100.7/24", "x"]}},
  {"name": "Gamma", "id": "Gamma", "properties": {"addressPrefixes": 5}}
]}"#;

    #[test]
    fn only_the_wanted_tags_are_built() {
        let tags = parse("tags.json", FILE, &wanted(&["ALPHA", "Delta"])).unwrap();
        assert_eq!(tags.names, ["Alpha", "Beta.West", "Gamma"]);
        assert_eq!(tags.found.len(), 1);
        assert!(tags.found["alpha"].contains("192.0.2.1".parse().unwrap()));
        assert!(tags.found["alpha"].contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn the_answer_of_the_discovery_api_is_the_same_document() {
        let text = r#"{"id":"x","changeNumber":"63","cloud":"Public","nextLink":"","values":[{"name":"Alpha",
            "id":"Alpha","serviceTagChangeNumber":"7","properties":{"changeNumber":"7","state":"GA",
            "addressPrefixes":["192.0.2.0/24"]}}]}"#;
        let tags = parse("tags.json", text, &wanted(&["Alpha"])).unwrap();
        assert!(tags.found.contains_key("alpha"));
    }

    #[test]
    fn a_bad_entry_is_an_error_only_where_the_tag_is_used() {
        assert!(parse("t", FILE, &wanted(&["Alpha"])).is_ok());
        let errors = parse("t", FILE, &wanted(&["beta.west", "Gamma"])).unwrap_err();
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].starts_with("t:3:") && said[0].contains("Beta.West"), "{}", said[0]);
        assert!(said[0].contains("198.51.100.7/24") && said[1].contains("`x`"), "{said:#?}");
        assert!(said[2].starts_with("t:4:") && said[2].contains("Gamma"), "{}", said[2]);
    }

    #[test]
    fn another_document_is_refused_at_its_place() {
        for text in ["", "[]", "{\"values\": [1]}", "{\"values\": [{\"name\": \"A\"}]}", "{}"] {
            let errors = parse("t", text, &wanted(&[])).unwrap_err();
            assert_eq!((errors.len(), errors[0].place.line), (1, Some(1)), "{text}");
        }
    }
}
