//! GraphQL over HTTP (the specification of that name): POST with JSON, one operation a request.

use std::panic::AssertUnwindSafe;

use async_graphql::Response as GraphqlResponse;
use async_graphql_axum::GraphQLResponse;
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::{
    accept::{self, Media},
    document::Kind,
    error::{self, Outcome, Refusal},
    observe::Observation,
    session,
    transport::{BODY_BYTES_MAX, Parameters, SharedTransport},
};
use crate::{
    api::{Caller, RequestId},
    kernel::RequestCode,
};

/// What is left when a request has been executed: the answer and whether the request itself was refused.
type Answer = (GraphqlResponse, Outcome);

/// Says that GraphQL is spoken by POST here.
pub(super) async fn only_post() -> Response {
    let mut answer = error::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        RequestCode::BadRequest,
        "Send GraphQL requests by POST, or open a WebSocket here.",
    );
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    answer
}

/// Answers `POST /graphql`.
pub(super) async fn post(
    State(transport): State<SharedTransport>,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Response {
    let mut observation = Observation::start(&transport.metrics, &request_id);
    let (parts, body) = request.into_parts();
    let Some(media) = accept::negotiate(&parts.headers) else {
        observation.answered(Some(RequestCode::BadRequest));
        return error::plain(
            StatusCode::NOT_ACCEPTABLE,
            RequestCode::BadRequest,
            "Answers are application/graphql-response+json or application/json.",
        );
    };
    let parameters = async {
        if !accept::is_json(&parts.headers) {
            let text = "Send the request as application/json in UTF-8, uncompressed.";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let read = tokio::time::timeout(transport.limits.body, read(body));
        let body = read
            .await
            .map_err(|_| (StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive."))??;
        Parameters::parse(&body).ok_or((StatusCode::BAD_REQUEST, MALFORMED))
    };
    match parameters.await {
        Err((status, text)) => {
            let refusal = Refusal::new(RequestCode::BadRequest, text);
            let (response, _) = finish(refusal.into(), &request_id, &mut observation);
            error::write(status, media, &response)
        }
        Ok(parameters) => {
            let caller = session::from_headers(&transport.sessions, &parts.headers);
            encode(media, run(transport, parameters, caller, request_id, observation).await)
        }
    }
}

const MALFORMED: &str = "The body must be one JSON object with query (a string) and, where they are needed, \
                         operationName (a string), variables and extensions (objects).";

async fn read(body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        // The limit's own error stands at the end of the chain; everything else is a connection that broke.
        let mut cause: &(dyn std::error::Error + 'static) = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        if cause.to_string().contains("length limit") {
            (StatusCode::PAYLOAD_TOO_LARGE, "The request is larger than 64 KiB.")
        } else {
            (StatusCode::BAD_REQUEST, "The request broke off.")
        }
    })
}

/// Everything between a well-formed HTTP request and its answer.
async fn run(
    transport: SharedTransport,
    parameters: Parameters,
    caller: Result<Caller, Refusal>,
    request_id: RequestId,
    mut observation: Observation,
) -> Answer {
    let checked = caller.and_then(|caller| {
        observation.asked_by(caller);
        let document = transport.documents.prepare(&parameters.query)?;
        let operation = document.select(parameters.operation_name())?;
        observation.runs(operation);
        if operation.kind == Kind::Subscription {
            let text = "Subscriptions run over the WebSocket at /graphql.";
            return Err(Refusal::new(RequestCode::BadRequest, text));
        }
        Ok((caller, operation.kind, document.document.clone()))
    });
    let (caller, kind, document) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return finish(refusal.into(), &request_id, &mut observation),
    };
    let limit = transport.limits.query;
    let work = transport.lifetime.work.clone();
    let request = parameters.into_request(document, caller, request_id.clone());
    let execution = AssertUnwindSafe(transport.engine.execute(request)).catch_unwind();
    if kind == Kind::Query {
        let response = match tokio::time::timeout(limit, execution).await {
            Ok(result) => result.unwrap_or_else(|_| panicked(&request_id)),
            Err(_) => {
                let text = "The query took too long. Ask for less, or try again in a moment.";
                Refusal::new(RequestCode::Overloaded, text).into()
            }
        };
        return finish(response, &request_id, &mut observation);
    }
    // A task of its own runs to its end though the client hangs up and this future is dropped.
    let id = request_id.clone();
    let task = transport.tasks.spawn_tracked(&work, "a mutation", async move {
        let response = execution.await.unwrap_or_else(|_| panicked(&id));
        finish(response, &id, &mut observation)
    });
    task.await.ok().flatten().unwrap_or_else(|| {
        let mut response = Refusal::internal().into();
        let outcome = error::complete(&mut response, &request_id);
        (response, outcome)
    })
}

/// A resolver panicked; that request has failed, and nothing else has.
pub(super) fn panicked(request_id: &RequestId) -> GraphqlResponse {
    tracing::error!(request_id = &*request_id.0, "a resolver panicked");
    Refusal::internal().into()
}

fn finish(
    mut response: GraphqlResponse,
    request_id: &RequestId,
    observation: &mut Observation,
) -> Answer {
    let outcome = error::complete(&mut response, request_id);
    observation.answered(outcome.code);
    (response, outcome)
}

fn encode(media: Media, (response, outcome): Answer) -> Response {
    if outcome.refused {
        let status = match (media, outcome.code) {
            (Media::GraphqlResponse, Some(code)) => error::status(code),
            (Media::GraphqlResponse, None) => StatusCode::BAD_REQUEST,
            (Media::Json, _) => StatusCode::OK,
        };
        return error::write(status, media, &response);
    }
    let mut answer = GraphQLResponse::from(response).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    answer
}
