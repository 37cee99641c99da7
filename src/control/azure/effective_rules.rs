//! What is in force at the interface: `networkInterfaces/{name}/effectiveNetworkSecurityGroups`, and the older
//! `networkWatchers/{name}/securityGroupView`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Place, bad_request, groups, last_segment, network, ok, policy_for, rule, which_interface,
};
use crate::control::server::{App, Body};
use crate::flow::Direction;
use crate::nsg::{AppliedRules, Layer, NetworkSecurityGroup, RuleLayer, RuleNameStyle};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(
            &network("networkinterfaces/{name}/effectivenetworksecuritygroups"),
            post(effective_groups),
        )
        .route(&network("networkwatchers/{name}/securitygroupview"), post(view))
}

async fn effective_groups(State(app): State<App>, place: Place) -> Response {
    let Some(policy) = policy_for(&app.sources, Some(&place.name)) else {
        return which_interface(&app.sources);
    };
    app.at_length(move || ok(json!({ "value": effective(policy.rules(), &place) }))).await
}

fn effective(rules: &AppliedRules, place: &Place) -> Vec<Value> {
    let admin = rules.admin.iter().map(|collection| {
        let made = || place.network_id("networkManagers", &collection.name);
        let id = collection.id.clone().unwrap_or_else(made);
        let of = |layer: &RuleLayer<'_>| layer.layer == Layer::Admin;
        let mut effective = rules_where(rules, RuleNameStyle::Azure, of);
        let names: Vec<&str> = collection.rules.iter().map(|rule| rule.name.as_str()).collect();
        effective.retain(|rule| rule["name"].as_str().is_some_and(|name| names.contains(&name)));
        json!({
            "networkSecurityGroup": { "id": id },
            "association": { "networkManager": { "id": id } },
            "effectiveSecurityRules": effective,
            "tagMap": {},
        })
    });
    let of_groups = groups(rules).map(|(layer, group)| {
        let bound = json!({ "id": place.bound_to(layer, &place.name) });
        let bound = match layer {
            Layer::Nic => json!({ "networkInterface": bound }),
            Layer::Subnet | Layer::Admin => json!({ "subnet": bound }),
        };
        json!({
            "networkSecurityGroup": { "id": place.group_id(group) },
            "association": bound,
            "effectiveSecurityRules":
                rules_where(rules, RuleNameStyle::Azure, |of| of.layer == layer),
            "tagMap": {},
        })
    });
    admin.chain(of_groups).collect()
}

/// Writes the rules of some layers, of both directions.
fn rules_where(
    rules: &AppliedRules,
    style: RuleNameStyle,
    wanted: impl Fn(&RuleLayer<'_>) -> bool,
) -> Vec<Value> {
    let mut written = Vec::new();
    for direction in Direction::ALL {
        for layer in rules.layers(direction).iter().filter(|layer| wanted(layer)) {
            let write = |one| rule::effective(one, direction.as_str(), style, rules);
            written.extend(layer.rules.iter().map(write));
        }
    }
    written
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct ViewRequest {
    target_resource_id: String,
}

async fn view(State(app): State<App>, place: Place, Body(body): Body) -> Response {
    let request: ViewRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(reason) => {
            let message = format!("the body is not a security group view request: {reason}");
            return bad_request("InvalidRequestContent", &message);
        }
    };
    let Some(policy) = policy_for(&app.sources, None) else {
        return which_interface(&app.sources);
    };
    let interface = format!("{}-nic", last_segment(&request.target_resource_id));
    app.at_length(move || ok(view_of(policy.rules(), &place, &interface))).await
}

fn view_of(rules: &AppliedRules, place: &Place, interface: &str) -> Value {
    let association = |layer: Layer, group: &Option<NetworkSecurityGroup>| {
        let group = group.as_ref()?;
        let id = place.group_id(group);
        let own = group.rules.iter().filter(|rule| !rule.is_default);
        Some(json!({
            "id": place.bound_to(layer, interface),
            "securityRules": own.map(|one| rule::resource(one, &id)).collect::<Vec<_>>(),
        }))
    };
    let defaults = groups(rules).next().map(|(_, group)| {
        let id = place.group_id(group);
        let defaults = group.rules.iter().filter(|rule| rule.is_default);
        defaults.map(|one| rule::resource(one, &id)).collect::<Vec<_>>()
    });
    json!({ "networkInterfaces": [{
        "id": place.network_id("networkInterfaces", interface),
        "securityRuleAssociations": {
            "networkInterfaceAssociation": association(Layer::Nic, &rules.nic),
            "subnetAssociation": association(Layer::Subnet, &rules.subnet),
            "defaultSecurityRules": defaults.unwrap_or_default(),
            "effectiveSecurityRules": rules_where(rules, RuleNameStyle::Diagnostics, |_| true),
        },
    }]})
}
