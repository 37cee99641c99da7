//! The routes of Azure Resource Manager that Network Watcher's clients use, answered by this machine.
//!
//! In come Azure's requests as its software development kits and its command line send them, out go Azure's answers:
//! 200 with the result at once, errors as `{"error":{"code","message"}}`. The fixed words of a path stand in any letter
//! case, any `api-version` is taken, and subscriptions, resource groups and machines may have any name: the agent knows
//! one machine. Nothing is changed and nothing is asked of Azure. One file a family of routes.

mod diagnostic;
mod effective_rules;
mod flow_verify;
mod inventory;
mod rule;
mod security_group;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use serde::Deserialize;

use super::server::{App, Sources, error, no_such_method};
use crate::classifier::Policy;
use crate::flow::Direction;
use crate::nsg::{AppliedRules, Layer, NetworkSecurityGroup};

/// Where everything is said to be: the clients compare places and never look into one.
const LOCATION: &str = "local";

/// Returns the routes; what is none of them gets Azure's answer for it.
pub(super) fn routes(app: App) -> Router {
    let routes = Router::new()
        .merge(flow_verify::routes())
        .merge(diagnostic::routes())
        .merge(effective_rules::routes())
        .merge(security_group::routes())
        .merge(inventory::routes())
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app);
    // Middleware runs behind the routing of its own router: the outer one has no route, so the path is still to be
    // matched when its fixed words are in lower case.
    Router::new().fallback_service(routes).layer(middleware::from_fn(with_words_in_lower_case))
}

/// Completes a path below the resource group's `Microsoft.Network`; the words in lower case.
fn network(path: &str) -> String {
    format!(
        "/subscriptions/{{subscription}}/resourcegroups/{{group}}/providers/microsoft.network/{path}"
    )
}

async fn no_such_route(method: Method, Extension(asked): Extension<AskedPath>) -> Response {
    let message = format!(
        "there is no {method} {}; GET /v1/openapi.json describes the agent's own routes, the README those of Azure",
        asked.0
    );
    error(StatusCode::NOT_FOUND, "InvalidResourceType", &message)
}

/// The path as the client wrote it.
#[derive(Clone)]
struct AskedPath(String);

async fn with_words_in_lower_case(mut request: Request, next: Next) -> Response {
    let asked = AskedPath(request.uri().path().to_owned());
    request.extensions_mut().insert(asked);
    let uri = request.uri();
    let path = words_in_lower_case(uri.path());
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(target) = target.parse::<PathAndQuery>() {
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}

/// Writes the fixed words of a path in lower case and leaves the names alone: words and names take turns, and behind
/// `providers` the namespace is one word more.
fn words_in_lower_case(path: &str) -> String {
    let mut behind_providers: Option<usize> = None;
    let segments = path.split('/').enumerate().map(|(place, segment)| {
        let is_word = behind_providers.map_or(place % 2 == 1, |count| count == 0 || count % 2 == 1);
        behind_providers = match behind_providers {
            Some(count) => Some(count + 1),
            None => (is_word && segment.eq_ignore_ascii_case("providers")).then_some(0),
        };
        if is_word { segment.to_ascii_lowercase() } else { segment.to_owned() }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Where a resource is asked for: the names in the path.
#[derive(Debug, Deserialize)]
struct Place {
    subscription: String,
    /// Missing where a whole subscription is asked.
    #[serde(default = "Place::default_group")]
    group: String,
    /// The resource that the request is for; empty where it is for all.
    #[serde(default)]
    name: String,
}

impl Place {
    fn default_group() -> String {
        "nsgwatch".to_owned()
    }

    /// Makes the id of a resource of this resource group.
    fn id(&self, namespace: &str, kind: &str, name: &str) -> String {
        let Self { subscription, group, .. } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/{namespace}/{kind}/{name}"
        )
    }

    /// Makes the id of a network resource.
    fn network_id(&self, kind: &str, name: &str) -> String {
        self.id("Microsoft.Network", kind, name)
    }

    /// Returns the id of a group: its own where the rules have it.
    fn group_id(&self, group: &NetworkSecurityGroup) -> String {
        let made = || self.network_id("networkSecurityGroups", &group.name);
        group.id.clone().unwrap_or_else(made)
    }

    /// Returns the id of what a layer's rules are bound to. The agent is not told the name of its subnet, nor of the
    /// virtual network.
    fn bound_to(&self, layer: Layer, interface: &str) -> String {
        let network = || self.network_id("virtualNetworks", "unknown");
        match layer {
            Layer::Admin => network(),
            Layer::Subnet => format!("{}/subnets/unknown", network()),
            Layer::Nic => self.network_id("networkInterfaces", interface),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let place = Path::<Self>::from_request_parts(parts, state).await;
        place.map(|Path(place)| place).map_err(|rejection| {
            error(rejection.status(), "InvalidResourceName", &rejection.body_text())
        })
    }
}

/// Returns the rules of the interface of this name, else of the only one that is watched.
fn policy_for(sources: &Sources, interface: Option<&str>) -> Option<Arc<Policy>> {
    let of_name = |name: &str| {
        sources.watched.iter().find(|watched| watched.interface.eq_ignore_ascii_case(name))
    };
    let only = match &*sources.watched {
        [only] => Some(only),
        _ => None,
    };
    interface.and_then(of_name).or(only).map(|watched| watched.policy.load_full())
}

/// The answer where several interfaces are watched and none of them is named.
fn which_interface(sources: &Sources) -> Response {
    let names: Vec<&str> = sources.watched.iter().map(|it| it.interface.as_str()).collect();
    let names = names.join(", ");
    let message = format!(
        "several interfaces are watched, each with its own rules: {names}; name one of them as the network interface, or ask IP flow verify, which goes by the local address"
    );
    bad_request("AmbiguousNetworkInterface", &message)
}

/// Returns the groups in force, each once for each place where it is bound.
fn groups(rules: &AppliedRules) -> impl Iterator<Item = (Layer, &NetworkSecurityGroup)> {
    rules.groups(Direction::Inbound)
}

/// Returns the last segment of a resource id: the resource's name.
fn last_segment(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// The answer to a body that is not what it should be.
fn bad_request(code: &str, message: &str) -> Response {
    error(StatusCode::BAD_REQUEST, code, message)
}

/// The answer to a request for a resource that is not there.
fn not_found(kind: &str, place: &Place) -> Response {
    let Place { name, group, .. } = place;
    let message = format!(
        "The Resource 'Microsoft.Network/{kind}/{name}' under resource group '{group}' was not found; \
         the agent knows the groups of its own rules"
    );
    error(StatusCode::NOT_FOUND, "ResourceNotFound", &message)
}

fn ok(value: serde_json::Value) -> Response {
    axum::Json(value).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_path_lose_their_case_and_its_names_keep_it() {
        for (path, expected) in [
            (
                "/Subscriptions/S-1/RESOURCEGROUPS/Rg/Providers/Microsoft.Network/networkWatchers/NW/ipFlowVerify",
                "/subscriptions/S-1/resourcegroups/Rg/providers/microsoft.network/networkwatchers/NW/ipflowverify",
            ),
            (
                "/subscriptions/S/providers/Microsoft.Network/networkWatchers",
                "/subscriptions/S/providers/microsoft.network/networkwatchers",
            ),
            (
                "/subscriptions/S/resourceGroups/Providers/providers/Microsoft.Compute/virtualMachines/Providers",
                "/subscriptions/S/resourcegroups/Providers/providers/microsoft.compute/virtualmachines/Providers",
            ),
            ("/", "/"),
        ] {
            assert_eq!(words_in_lower_case(path), expected);
        }
    }

    #[test]
    fn the_name_of_a_resource_is_the_end_of_its_id() {
        assert_eq!(last_segment("/subscriptions/s/networkInterfaces/eth0"), "eth0");
        assert_eq!(last_segment("eth0"), "eth0");
    }
}
