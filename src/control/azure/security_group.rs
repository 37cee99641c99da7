//! `networkSecurityGroups`: the groups in force, as resources.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::{LOCATION, Place, groups, network, not_found, ok, rule};
use crate::control::server::{App, Sources};
use crate::nsg::{NetworkSecurityGroup, SecurityRule};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(&network("networksecuritygroups"), get(list))
        .route(&network("networksecuritygroups/{name}"), get(one))
        .route(
            "/subscriptions/{subscription}/providers/microsoft.network/networksecuritygroups",
            get(list),
        )
}

async fn one(State(app): State<App>, place: Place) -> Response {
    let sources = app.sources.clone();
    let answer = move || {
        let is_asked = |group: &Value| {
            group["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&place.name))
        };
        match all(&sources, &place).into_iter().find(is_asked) {
            Some(group) => ok(group),
            None => not_found("networkSecurityGroups", &place),
        }
    };
    app.at_length(answer).await
}

async fn list(State(app): State<App>, place: Place) -> Response {
    let sources = app.sources.clone();
    app.at_length(move || ok(json!({ "value": all(&sources, &place) }))).await
}

/// The groups of all interfaces; one that is bound to several places is one resource.
fn all(sources: &Sources, place: &Place) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for watched in &*sources.watched {
        for (_, group) in groups(watched.policy.load().rules()) {
            let group = resource(group, place);
            if !all.contains(&group) {
                all.push(group);
            }
        }
    }
    all
}

fn resource(group: &NetworkSecurityGroup, place: &Place) -> Value {
    let id = place.group_id(group);
    let rules = |wanted: fn(&SecurityRule) -> bool| -> Vec<Value> {
        let rules = group.rules.iter().filter(|rule| wanted(rule));
        rules.map(|rule| rule::resource(rule, &id)).collect()
    };
    json!({
        "name": group.name,
        "id": id,
        "type": "Microsoft.Network/networkSecurityGroups",
        "location": LOCATION,
        "properties": {
            "provisioningState": "Succeeded",
            "flushConnection": group.flush_connection,
            "securityRules": rules(|rule| !rule.is_default),
            "defaultSecurityRules": rules(|rule| rule.is_default),
        },
    })
}
