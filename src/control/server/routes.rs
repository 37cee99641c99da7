//! The agent's own routes, and what all routes share: the body's limit, the deadline, errors in Azure's shape.
//!
//! In come requests, out go answers: of verify questions from the rules in force, of all others from the owner of the
//! flow table, who is asked over a channel. Changes nothing.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Query, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::{Limits, Sources, observe};
use crate::control::explain::Explained;
use crate::control::verify::{VerifyError, VerifyRequest};
use crate::control::{ErrorBody, FlowsQuery, Question, azure, openapi, page};

/// What every route has at hand.
#[derive(Debug, Clone)]
pub(in crate::control) struct App {
    pub(in crate::control) sources: Sources,
    limits: Limits,
    /// Whoever holds it may keep a core busy for a while.
    long_questions: Arc<Semaphore>,
}

impl App {
    /// Answers what takes its time: one question after the other and beside the runtime's thread, so that other
    /// clients wait for nothing.
    pub(in crate::control) async fn at_length(
        &self,
        answer: impl FnOnce() -> Response + Send + 'static,
    ) -> Response {
        let Ok(permit) = Arc::clone(&self.long_questions).acquire_owned().await else {
            return stopping();
        };
        let work = tokio::task::spawn_blocking(move || {
            let response = answer();
            drop(permit);
            response
        });
        work.await.unwrap_or_else(|_| stopping())
    }
}

/// Puts all routes together, those of Azure behind the agent's own.
pub(super) fn router(sources: Sources, limits: Limits) -> Router {
    let app = App { sources, limits, long_questions: Arc::new(Semaphore::new(1)) };
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/flows", get(flows))
        .route("/", get(page::page))
        .route("/metrics", get(metrics))
        .route("/v1/rules", get(rules))
        .route("/v1/observe", get(observe::observe))
        .route("/v1/verify", post(verify))
        .route(openapi::PATH, get(openapi::document))
        .fallback_service(azure::routes(app.clone()))
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(middleware::from_fn_with_state(app.clone(), within_deadline))
        .with_state(app)
}

async fn within_deadline(State(app): State<App>, request: Request, next: Next) -> Response {
    match timeout(app.limits.answer_deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => error(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", "the request took too long"),
    }
}

/// The body of a request; one that can not be read is refused in Azure's shape.
pub(in crate::control) struct Body(pub(in crate::control) Bytes);

impl FromRequest<App> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        Bytes::from_request(request, app).await.map(Self).map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let most = app.limits.body_bytes;
                let message = format!("the body is larger than {most} bytes");
                error(StatusCode::PAYLOAD_TOO_LARGE, "RequestContentTooLarge", &message)
            } else {
                error(rejection.status(), "InvalidRequestContent", &rejection.body_text())
            }
        })
    }
}

async fn verify(State(app): State<App>, Body(body): Body) -> Response {
    let asked = VerifyRequest::from_json(&body).and_then(|request| {
        let policy = app.sources.watched_of(&request)?.policy.load_full();
        Ok((request, policy))
    });
    match asked {
        Ok((VerifyRequest { query, explain: true, .. }, policy)) => {
            app.at_length(move || answered(Explained::answer(&query, &policy))).await
        }
        Ok((VerifyRequest { query, .. }, policy)) => answered(query.ask(&policy)),
        Err(refused) => refusal(&refused),
    }
}

fn answered(answer: Result<impl serde::Serialize, VerifyError>) -> Response {
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(refused) => refusal(&refused),
    }
}

fn refusal(refused: &VerifyError) -> Response {
    let status = match refused {
        VerifyError::NoSuchInterface { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    error(status, refused.code(), &refused.to_string())
}

async fn status(State(app): State<App>) -> Response {
    ask(&app, Question::Status).await
}

async fn rules(State(app): State<App>) -> Response {
    ask(&app, Question::Rules).await
}

async fn flows(
    State(app): State<App>,
    query: Result<Query<FlowsQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => {
            let limit = query.limit.min(FlowsQuery::MOST);
            ask(&app, |reply| Question::Flows(FlowsQuery { limit, ..query }, reply)).await
        }
        Err(rejection) => {
            let message = unusable_query(&rejection.body_text());
            error(StatusCode::BAD_REQUEST, "InvalidParameter", &message)
        }
    }
}

/// Says what is wrong with the query of a list of flows. What the framework says begins with a sentence of its own and
/// the name of the parameter.
fn unusable_query(text: &str) -> String {
    const TAKEN: &str = "/v1/flows takes `access`, `rule` and `limit`";
    let reason = text.rsplit_once("query string: ").map_or(text, |(_, reason)| reason);
    match reason.split_once(": ") {
        Some((name, reason)) if reason.starts_with("unknown field") => {
            format!("there is no parameter `{name}`; {TAKEN}")
        }
        Some((name, reason)) => format!("the parameter `{name}` can not be read: {reason}"),
        None => format!("the query can not be read: {reason}; {TAKEN}"),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match answer(&app, Question::Metrics).await {
        Ok(text) => (kind, text).into_response(),
        Err(stopping) => *stopping,
    }
}

async fn ask<T: serde::Serialize>(
    app: &App,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Response {
    match answer(app, question).await {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(stopping) => *stopping,
    }
}

/// Waits for the answer to a question, or makes the response that says why there is none.
async fn answer<T>(
    app: &App,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Box<Response>> {
    let (reply, answer) = oneshot::channel();
    let sent = app.sources.questions.send(question(reply)).await.is_ok();
    match answer.await {
        Ok(answer) if sent => Ok(answer),
        _ => Err(Box::new(stopping())),
    }
}

pub(super) fn stopping() -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "Stopping", "the agent is shutting down")
}

/// The answer to a method that a route does not take.
pub(in crate::control) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let message = format!("{method} is not possible on {}", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &message)
}

/// Makes an error in Azure's shape.
pub(in crate::control) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(ErrorBody::new(code, message))).into_response()
}
