//! The description of the agent's own routes: an `OpenAPI` 3.1 document.
//!
//! The shapes of the answers are taken from the types that are written, so that they can not differ; the routes and the
//! shapes of the questions are put down here.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::explain::Explained;
use super::rules::RulesAnswer;
use super::status::Status;
use super::verify::VerifyAnswer;
use super::{ErrorBody, FlowsAnswer, FlowsQuery};

/// Where the document is.
pub(super) const PATH: &str = "/v1/openapi.json";

/// Answers with the document.
pub(super) async fn document() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| describe().to_string().into());
    ([(CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut shapes = settings.for_serialize().into_generator();
    let paths = paths(&mut Shapes(&mut shapes));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "nsgwatch",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Says which network security rule allows or denies each flow. Over the Unix socket no \
                token is asked for. Beside these routes the agent answers those of Azure Resource Manager that Network \
                Watcher's clients use; the README names them.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "security": [{ "token": [] }, {}],
        "components": {
            "schemas": shapes.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn paths(of: &mut Shapes<'_>) -> Value {
    json!({
        "/v1/status": { "get": {
            "operationId": "status",
            "summary": "How the agent is doing",
            "responses": of.responses(&of_type::<Status>, &[]),
        }},
        "/v1/flows": { "get": {
            "operationId": "flows",
            "summary": "Live flows, the latest seen first",
            "parameters": flows_parameters(),
            "responses": of.responses(&of_type::<FlowsAnswer>, &[400]),
        }},
        "/v1/rules": { "get": {
            "operationId": "rules",
            "summary": "The rules in force, what they resolved to, and the flows each has decided",
            "responses": of.responses(&of_type::<RulesAnswer>, &[]),
        }},
        "/v1/observe": { "get": {
            "operationId": "observe",
            "summary": "Records of flows, one JSON object a line, remembered ones and those that come",
            "parameters": observe_parameters(),
            "responses": of.stream(),
        }},
        "/v1/verify": { "post": {
            "operationId": "verify",
            "summary": "What the rules say of a packet that nobody sent: Azure's IP flow verify",
            "requestBody": {
                "required": true,
                "content": { "application/json": { "schema": verify_request() } },
            },
            "responses": of.responses(&verify_answer, &[400, 404, 413]),
        }},
        "/v1/openapi.json": { "get": {
            "operationId": "openapi",
            "summary": "This document",
            "responses": of.responses(&|_| json!({ "type": "object" }), &[]),
        }},
    })
}

type ShapeOf<'a> = &'a dyn Fn(&mut SchemaGenerator) -> Value;

fn of_type<T: JsonSchema>(shapes: &mut SchemaGenerator) -> Value {
    shapes.subschema_for::<T>().to_value()
}

fn verify_answer(shapes: &mut SchemaGenerator) -> Value {
    json!({ "anyOf": [of_type::<VerifyAnswer>(shapes), of_type::<Explained>(shapes)] })
}

struct Shapes<'a>(&'a mut SchemaGenerator);

impl Shapes<'_> {
    /// Describes the answers of a route: the good one, these errors, and those that every route may give.
    fn responses(&mut self, good: ShapeOf<'_>, errors: &[u16]) -> Value {
        self.responses_as("application/json", good, errors)
    }

    fn responses_as(&mut self, media: &str, good: ShapeOf<'_>, errors: &[u16]) -> Value {
        let with = |shape: Value, description: &str| json!({ "description": description, "content": { "application/json": { "schema": shape } } });
        let mut responses = Map::new();
        let answer = json!({ "description": "The answer", "content": { media: { "schema": good(self.0) } } });
        responses.insert("200".to_owned(), answer);
        for code in errors.iter().chain(&[401, 408, 421, 503]) {
            let meaning = match code {
                400 => "The question is not understood or has no one answer",
                401 => "Over the loopback listener: the token is missing or wrong",
                404 => "The interface that is named is not watched",
                408 => "The answer took too long",
                413 => "The body is too large",
                421 => "Over the loopback listener: the Host header names another host",
                _ => "Too many clients, or the agent is shutting down",
            };
            responses.insert(code.to_string(), with(of_type::<ErrorBody>(self.0), meaning));
        }
        responses.into()
    }

    /// Describes the answers of a route whose good one has no end.
    fn stream(&mut self) -> Value {
        self.responses_as("application/x-ndjson", &|_| json!({ "type": "string" }), &[400])
    }
}

fn parameter(name: &str, description: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
}

/// Allow, Deny and Undecided in any letter case.
const ACCESS: &str =
    "^([Aa][Ll][Ll][Oo][Ww]|[Dd][Ee][Nn][Yy]|[Uu][Nn][Dd][Ee][Cc][Ii][Dd][Ee][Dd])$";

fn observe_parameters() -> Value {
    let moment = || json!({ "type": "string", "format": "date-time" });
    let mut parameters = vec![
        parameter("follow", "Go on with the records that come", &json!({ "type": "boolean" })),
        parameter(
            "last",
            "The newest remembered records come first, so many",
            &json!({ "type": "integer", "minimum": 0 }),
        ),
        parameter("since", "Only records from this moment on, RFC 3339", &moment()),
        parameter("until", "Only records up to this moment; then the stream ends", &moment()),
    ];
    let any_text = || json!({ "type": "string" });
    for (name, shape) in [
        ("access", json!({ "type": "string", "pattern": ACCESS })),
        ("direction", json!({ "enum": ["Inbound", "Outbound"] })),
        ("protocol", any_text()),
        ("ip", any_text()),
        ("port", json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX })),
        ("rule", any_text()),
        ("nsg", any_text()),
    ] {
        let wanted = format!("Only records with this {name}; may stand more than once");
        parameters.push(parameter(name, &wanted, &shape));
        let unwanted = format!("No record with this {name}");
        parameters.push(parameter(&format!("not_{name}"), &unwanted, &shape));
    }
    parameters.into()
}

fn flows_parameters() -> Value {
    json!([
        parameter(
            "access",
            "Only flows with this access; any letter case",
            &json!({
                "type": "string", "pattern": ACCESS,
            })
        ),
        parameter(
            "rule",
            "Only flows that this rule decided about; any of Azure's spellings",
            &json!({
                "type": "string",
            })
        ),
        parameter(
            "limit",
            "The most flows to return; what is more than 10000 counts as that",
            &json!({
                "type": "integer", "minimum": 0, "maximum": u64::MAX, "default": FlowsQuery::default().limit,
            })
        ),
    ])
}

/// Describes the question: addresses of one family, and ports where the protocol has them; only the source's may
/// be open.
fn verify_request() -> Value {
    const PORT: &str = "([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3})";
    /// 0 to 255 without 6 and 17, which are TCP and UDP.
    const NUMBER: &str = "^([0-57-9]|1[0-689]|[2-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])$";
    let number = json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX });
    let port_or = |words: &str| json!({ "anyOf": [{ "type": "string", "pattern": format!("^({words}{PORT})$") }, number] });
    let (port, open_port) = (port_or(""), port_or("\\*|"));
    let no_port = json!({ "enum": ["*", null] });
    let with_ports = json!({ "enum": ["TCP", "UDP", "6", "17", 6, 17] });
    let without_ports = json!({ "anyOf": [
        { "enum": ["ICMP", "ICMPv6", "ESP", "AH"] },
        { "type": "string", "pattern": NUMBER },
        { "type": "integer", "minimum": 0, "maximum": 255, "not": { "enum": [6, 17] } },
    ] });
    let mut kinds = Vec::new();
    for family in ["ipv4", "ipv6"] {
        for (direction, protocols, local, remote) in [
            (json!({ "const": "Inbound" }), &with_ports, &port, &open_port),
            (json!({ "const": "Outbound" }), &with_ports, &open_port, &port),
            (json!({ "enum": ["Inbound", "Outbound"] }), &without_ports, &no_port, &no_port),
        ] {
            let mut required = vec!["direction", "protocol", "localIPAddress", "remoteIPAddress"];
            if *local != no_port {
                required.extend(["localPort", "remotePort"]);
            }
            kinds.push(json!({
                "type": "object",
                "additionalProperties": false,
                "required": required,
                "properties": {
                    "direction": direction,
                    "protocol": protocols,
                    "localPort": local,
                    "remotePort": remote,
                    "localIPAddress": { "type": "string", "format": family },
                    "remoteIPAddress": { "type": "string", "format": family },
                    "targetResourceId": { "type": ["string", "null"], "description": "Azure's; means nothing here" },
                    "targetNicResourceId": { "type": ["string", "null"], "description": "Azure's; its last segment may name one of the interfaces that are watched" },
                    "interface": { "type": ["string", "null"], "description": "The interface whose rules are asked; else the one that has the local address, else the only one" },
                    "explain": { "type": "boolean", "default": false, "description": "Answer with the reasons" },
                },
            }));
        }
    }
    json!({ "description": "Words stand in any letter case; numbers may be texts.", "anyOf": kinds })
}
