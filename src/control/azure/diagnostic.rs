//! `networkWatchers/{name}/networkConfigurationDiagnostic`: what the rules do with traffic profiles, which are sets of
//! packets.
//!
//! A profile gets one result where all its packets get one access, else one result for each access, the Deny first,
//! and each of them says so. A result shows the rules as one packet of the set meets them, and names that packet.
//! Azure does not document what it does with sets.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Place, bad_request, last_segment, network, ok, policy_for, which_interface};
use crate::classifier::{LayerExplanation, PacketSet, Policy, SetVerdict};
use crate::control::server::{App, Body};
use crate::control::verify::QueryPort;
use crate::flow::{Direction, Protocol};
use crate::nsg::{Access, AddressSet, AppliedRules, Match, PortRange, PortSet, RuleProtocol};

/// The most profiles in one request.
const MOST_PROFILES: usize = 100;
/// The most kinds of packets that one request may look at, all its profiles together: a fraction of a second.
const MOST_KINDS: usize = 2_000_000;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(&network("networkwatchers/{name}/networkconfigurationdiagnostic"), post(diagnose))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct DiagnosticRequest {
    target_resource_id: String,
    #[serde(default)]
    verbosity_level: Option<String>,
    profiles: Vec<Profile>,
}

/// A traffic profile, as it came: results repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct Profile {
    direction: String,
    protocol: String,
    source: String,
    destination: String,
    destination_port: String,
}

async fn diagnose(State(app): State<App>, place: Place, Body(body): Body) -> Response {
    let Some(policy) = policy_for(&app.sources, None) else {
        return which_interface(&app.sources);
    };
    app.at_length(move || match answer(&body, &place, &policy) {
        Ok(answer) => ok(answer),
        Err((code, message)) => bad_request(code, &message),
    })
    .await
}

type Refused = (&'static str, String);

fn invalid(field: &str, reason: impl std::fmt::Display) -> Refused {
    ("InvalidParameter", format!("`{field}`: {reason}"))
}

fn answer(body: &[u8], place: &Place, policy: &Policy) -> Result<Value, Refused> {
    let request: DiagnosticRequest = serde_json::from_slice(body).map_err(|reason| {
        let message =
            format!("the body is not a network configuration diagnostic request: {reason}");
        ("InvalidRequestContent", message)
    })?;
    let level = request.verbosity_level.as_deref().unwrap_or("Normal");
    if !["Normal", "Minimum", "Full"].iter().any(|known| known.eq_ignore_ascii_case(level)) {
        return Err(invalid(
            "verbosityLevel",
            format_args!("`{level}` is not Normal, Minimum or Full"),
        ));
    }
    let count = request.profiles.len();
    if !(1..=MOST_PROFILES).contains(&count) {
        return Err(invalid(
            "profiles",
            format_args!("{count} profiles; give 1 to {MOST_PROFILES}"),
        ));
    }
    let told = Told {
        place,
        policy,
        interface: format!("{}-nic", last_segment(&request.target_resource_id)),
        with_rules: !level.eq_ignore_ascii_case("Minimum"),
    };
    let mut results = Vec::new();
    for (number, profile) in request.profiles.iter().enumerate() {
        let here = |(code, message)| (code, format!("profiles[{number}]: {message}"));
        let set = profile.packets(policy.rules()).map_err(here)?;
        let verdicts = policy
            .verdicts_of(&set, MOST_KINDS / count)
            .map_err(|many| here(("TrafficProfileTooLarge", many.to_string())))?;
        results.extend(told.results(profile, set.direction, &verdicts).map_err(here)?);
    }
    Ok(json!({ "results": results }))
}

impl Profile {
    fn packets(&self, rules: &AppliedRules) -> Result<PacketSet, Refused> {
        let protocol = match self.protocol.as_str() {
            "*" => RuleProtocol::Any,
            any if any.eq_ignore_ascii_case("any") => RuleProtocol::Any,
            word => {
                let protocol: Protocol =
                    word.parse().map_err(|error| invalid("protocol", error))?;
                RuleProtocol::Only(protocol)
            }
        };
        let destination_ports = ports(&self.destination_port)?;
        let has_ports = match protocol {
            RuleProtocol::Any => true,
            RuleProtocol::Only(only) => matches!(only, Protocol::TCP | Protocol::UDP),
        };
        if !has_ports && !destination_ports.is_any() {
            let reason = format!("{} has no ports; use `*`", self.protocol);
            return Err(invalid("destinationPort", reason));
        }
        Ok(PacketSet {
            direction: self.direction.parse().map_err(|error| invalid("direction", error))?,
            protocol,
            source: addresses("source", &self.source, rules)?,
            destination: addresses("destination", &self.destination, rules)?,
            destination_ports,
        })
    }
}

/// Reads `*`, a port or a range.
fn ports(text: &str) -> Result<PortSet, Refused> {
    let unknown = || {
        let reason =
            format!("`{text}` is not a port from 0 to 65535, a range such as 80-90, or `*`");
        invalid("destinationPort", reason)
    };
    let port = |text: &str| match text.parse() {
        Ok(QueryPort::Port(port)) => Ok(port),
        _ => Err(unknown()),
    };
    if text == "*" {
        return Ok(PortSet::any());
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    let range = (first <= last).then(|| vec![PortRange { first, last }]);
    range.and_then(PortSet::new).ok_or_else(unknown)
}

/// Reads `*`, an address, a prefix, or a service tag that the agent knows.
fn addresses(field: &str, text: &str, rules: &AppliedRules) -> Result<AddressSet, Refused> {
    if text == "*" || text.eq_ignore_ascii_case("any") {
        return Ok(AddressSet::everything());
    }
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok([ipnet::IpNet::from(address)].into_iter().collect());
    }
    if let Ok(network) = text.parse::<ipnet::IpNet>() {
        if network != network.trunc() {
            let network = network.trunc();
            let reason = format!("`{text}` has bits set beyond its prefix; write {network}");
            return Err(invalid(field, reason));
        }
        return Ok([network].into_iter().collect());
    }
    rules.service_tags.get(text).map(|set| set.as_ref().clone()).ok_or_else(|| {
        let reason = format!(
            "`{text}` is no address, prefix, `*`, nor a service tag that the agent knows: VirtualNetwork, Internet, \
             AzureLoadBalancer and those that its rules name"
        );
        invalid(field, reason)
    })
}

/// What all results of a request share.
struct Told<'a> {
    place: &'a Place,
    policy: &'a Policy,
    interface: String,
    with_rules: bool,
}

impl Told<'_> {
    /// Writes the results of one profile: one for each access, Deny first.
    fn results(
        &self,
        profile: &Profile,
        direction: Direction,
        verdicts: &[SetVerdict],
    ) -> Result<Vec<Value>, Refused> {
        let with = |access| {
            verdicts.iter().filter(move |each| each.verdict.access == access).collect::<Vec<_>>()
        };
        let by_access =
            [Access::Deny, Access::Undecided, Access::Allow].map(|access| (access, with(access)));
        let met: Vec<_> = by_access.iter().filter(|(_, found)| !found.is_empty()).collect();
        if met.is_empty() {
            let reason =
                "there is no such packet: source and destination have no address family in common";
            return Err(invalid("source", reason));
        }
        let words: Vec<&str> = met.iter().map(|(access, _)| access.as_str()).collect();
        let note = if met.len() == 1 {
            format!("all packets of this profile: {}", words.concat())
        } else {
            format!(
                "the packets of this profile do not all get one answer: some get {}; there is one result for each",
                words.join(", others ")
            )
        };
        let result = |(access, found): &&(Access, Vec<&SetVerdict>)| {
            let example = found.first().map(|first| first.example)?;
            let rules = found.iter().map(|each| {
                let rule = each.verdict.rule.as_deref();
                json!({
                    "ruleName": rule.map(crate::nsg::RuleProvenance::diagnostics_name),
                    "networkSecurityGroupName": rule.map(|rule| rule.ruleset.as_str()),
                    "examplePacket": each.example.to_string(),
                })
            });
            let explanation = self.policy.explain(direction, &example);
            let groups = explanation.layers.iter().filter_map(|layer| self.evaluated(layer));
            Some(json!({
                "profile": profile,
                "networkSecurityGroupResult": {
                    "securityRuleAccessResult": access,
                    "evaluatedNetworkSecurityGroups": groups.collect::<Vec<_>>(),
                },
                "allPackets": met.len() == 1,
                "note": note,
                "decidingRules": rules.collect::<Vec<_>>(),
            }))
        };
        Ok(met.iter().filter_map(result).collect())
    }

    /// Writes what one layer did with the example; a layer without rules has nothing to say.
    fn evaluated(&self, layer: &LayerExplanation) -> Option<Value> {
        let last = layer.rules.last()?;
        let kind = match layer.layer {
            crate::nsg::Layer::Admin => "networkManagers",
            _ => "networkSecurityGroups",
        };
        let made = || self.place.network_id(kind, &last.rule.ruleset);
        let matched = (last.matched() == Match::Yes).then(
            || json!({ "ruleName": last.rule.diagnostics_name(), "action": last.access.as_str() }),
        );
        let rules = layer.rules.iter().map(|rule| {
            json!({
                "name": rule.rule.diagnostics_name(),
                "protocolMatched": rule.met.protocol,
                "sourceMatched": known(rule.met.source),
                "sourcePortMatched": rule.met.source_port,
                "destinationMatched": known(rule.met.destination),
                "destinationPortMatched": rule.met.destination_port,
            })
        });
        let rules: Vec<Value> = if self.with_rules { rules.collect() } else { Vec::new() };
        Some(json!({
            "networkSecurityGroupId": last.rule.ruleset_id.clone().unwrap_or_else(made),
            "appliedTo": self.place.bound_to(layer.layer, &self.interface),
            "matchedRule": matched,
            "rulesEvaluationResult": rules,
        }))
    }
}

/// Null where it depends on a name that nobody knows.
fn known(met: Match) -> Option<bool> {
    match met {
        Match::Yes => Some(true),
        Match::No => Some(false),
        Match::Unknown => None,
    }
}
