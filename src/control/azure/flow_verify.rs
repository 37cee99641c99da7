//! `networkWatchers/{name}/ipFlowVerify`: Azure's question about one packet, as Azure answers it.
//!
//! The same question and the same code as `POST /v1/verify`; the answer has Azure's three fields alone.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::json;

use super::{Place, bad_request, network, ok};
use crate::control::server::{App, Body};
use crate::control::verify::{VerifyError, VerifyRequest};

pub(super) fn routes() -> Router<App> {
    Router::new().route(&network("networkwatchers/{name}/ipflowverify"), post(verify))
}

async fn verify(State(app): State<App>, _place: Place, Body(body): Body) -> Response {
    let answer = VerifyRequest::from_json(&body).and_then(|request| {
        if request.explain {
            let reason = "`explain` is not Azure's; ask POST /v1/verify";
            return Err(VerifyError::Body(reason.to_owned()));
        }
        let policy = app.sources.watched_of(&request)?.policy.load();
        request.query.ask(&policy)
    });
    match answer {
        Ok(answer) => ok(json!({
            "access": answer.access,
            "ruleName": answer.rule_name,
            "ruleId": answer.rule_id,
        })),
        Err(refused) => bad_request(refused.code(), &refused.to_string()),
    }
}
