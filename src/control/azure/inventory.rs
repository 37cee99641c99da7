//! The resources that Azure's clients look up before they ask: a network watcher, the machine, its interface, and what
//! a resource provider offers. Any name is taken; all are in one place.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::{LOCATION, Place, network, ok, policy_for, which_interface};
use crate::control::server::App;

pub(super) fn routes() -> Router<App> {
    let in_subscription = |path: &str| format!("/subscriptions/{{subscription}}/providers/{path}");
    Router::new()
        .route(&network("networkwatchers"), get(watchers))
        .route(&in_subscription("microsoft.network/networkwatchers"), get(watchers))
        .route(&network("networkwatchers/{name}"), get(watcher))
        .route(&network("networkinterfaces/{name}"), get(interface))
        .route(
            "/subscriptions/{subscription}/resourcegroups/{group}/providers/microsoft.compute/virtualmachines/{name}",
            get(machine),
        )
        .route(&in_subscription("microsoft.compute"), get(compute))
}

async fn watchers(place: Place) -> Response {
    ok(json!({ "value": [watcher_resource(&place, "nsgwatch")] }))
}

async fn watcher(place: Place) -> Response {
    ok(watcher_resource(&place, &place.name))
}

fn watcher_resource(place: &Place, name: &str) -> Value {
    json!({
        "name": name,
        "id": place.network_id("networkWatchers", name),
        "type": "Microsoft.Network/networkWatchers",
        "location": LOCATION,
        "properties": { "provisioningState": "Succeeded" },
    })
}

async fn interface(State(app): State<App>, place: Place) -> Response {
    let Some(policy) = policy_for(&app.sources, Some(&place.name)) else {
        return which_interface(&app.sources);
    };
    let group = policy.rules().nic.as_ref().map(|group| json!({ "id": place.group_id(group) }));
    ok(json!({
        "name": place.name,
        "id": place.network_id("networkInterfaces", &place.name),
        "type": "Microsoft.Network/networkInterfaces",
        "location": LOCATION,
        "properties": {
            "provisioningState": "Succeeded",
            "networkSecurityGroup": group,
            "ipConfigurations": [],
        },
    }))
}

async fn machine(place: Place) -> Response {
    let interface = place.network_id("networkInterfaces", &format!("{}-nic", place.name));
    ok(json!({
        "name": place.name,
        "id": place.id("Microsoft.Compute", "virtualMachines", &place.name),
        "type": "Microsoft.Compute/virtualMachines",
        "location": LOCATION,
        "properties": {
            "provisioningState": "Succeeded",
            "networkProfile": { "networkInterfaces": [{ "id": interface }] },
        },
    }))
}

/// The command line reads here which version of the API it may ask for a machine.
async fn compute(place: Place) -> Response {
    ok(json!({
        "id": format!("/subscriptions/{}/providers/Microsoft.Compute", place.subscription),
        "namespace": "Microsoft.Compute",
        "registrationState": "Registered",
        "resourceTypes": [{
            "resourceType": "virtualMachines",
            "locations": [LOCATION],
            "apiVersions": ["2024-07-01"],
        }],
    }))
}
