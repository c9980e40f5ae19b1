//! GraphQL over HTTP (the specification of that name): POST with JSON, or GET for queries; one operation a request. Subscriptions
//! are answered by event streams.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use async_graphql::{Response as GraphqlResponse, Value, parser::types::ExecutableDocument};
use async_graphql_axum::GraphQLResponse;
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::{
    accept::{self, Media},
    connection::MustBeTold,
    document::{Kind, Operation, Work},
    edge::GRAPHQL,
    error::{self, Outcome, Refusal},
    event_stream,
    observe::Observation,
    parameters::Parameters,
    session,
    subscription::Subscription,
    trace,
    transport::{BODY_BYTES_MAX, SharedTransport},
    websocket,
};
use crate::{
    api::{Budget, Caller, Gone, Origin, Plan, RequestId},
    kernel::RequestCode,
    telemetry::{Part, Step},
    turns::deadline,
};

/// What is left when a request has been executed: the answer and whether the request itself was refused.
type Answer = (GraphqlResponse, Outcome);

/// A well-formed request.
struct Asked {
    parameters: Parameters,
    /// Whatever is asked for by GET must change nothing: browsers, caches and crawlers ask as they like.
    by_get: bool,
    /// The client takes an event stream.
    events: bool,
    origin: Origin,
    request_id: RequestId,
}

/// What is known of a request before it runs.
struct Checked {
    caller: Caller,
    /// Logs out with a token that has ended.
    gone: Option<Gone>,
    kind: Kind,
    work: Work,
    document: ExecutableDocument,
    budget: Arc<Budget>,
    /// Of a subscription.
    plan: Option<Arc<Plan>>,
}

/// Says how GraphQL is spoken here.
pub(super) async fn other_method() -> Response {
    let mut answer = error::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        RequestCode::BadRequest,
        "Send GraphQL requests by POST, queries by GET as well, or open a WebSocket here.",
    );
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    answer
}

/// Answers `GET /graphql`: a query, or the handshake of a WebSocket.
pub(super) async fn get(
    State(transport): State<SharedTransport>,
    Extension(request_id): Extension<RequestId>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        return websocket::upgrade(transport, request_id, origin, request);
    }
    ask(transport, request_id, origin, request).await
}

/// Answers `POST /graphql`.
pub(super) async fn post(
    State(transport): State<SharedTransport>,
    Extension(request_id): Extension<RequestId>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response {
    ask(transport, request_id, origin, request).await
}

async fn ask(
    transport: SharedTransport,
    request_id: RequestId,
    origin: Origin,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let private = session::is_sent(&parts.headers);
    let span = trace::begin(&parts, GRAPHQL);
    let observation = Observation::start(&transport, &request_id, span.clone());
    let arrived = Arrived { parts, body, origin, request_id };
    let mut answer = span.run(answer(transport, arrived, observation)).await;
    trace::answered(&span, answer.status());
    if private {
        let kept = HeaderValue::from_static("private, no-store");
        answer.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
    answer
}

/// A request of which the body is on its way.
struct Arrived {
    parts: Parts,
    body: Body,
    origin: Origin,
    request_id: RequestId,
}

async fn answer(
    transport: SharedTransport,
    arrived: Arrived,
    mut observation: Observation,
) -> Response {
    let Arrived { parts, body, origin, request_id } = arrived;
    let events = accept::takes_events(&parts.headers);
    let json = accept::negotiate(&parts.headers);
    let Some(media) = json.or(events.then_some(Media::Events)) else {
        observation.answered(Some(RequestCode::BadRequest));
        return error::plain(
            StatusCode::NOT_ACCEPTABLE,
            RequestCode::BadRequest,
            "Answers are application/graphql-response+json, application/json or text/event-stream.",
        );
    };
    let by_get = parts.method != Method::POST;
    let parameters = async {
        if by_get {
            let query = parts.uri.query().unwrap_or_default();
            observation.arrived();
            return Parameters::of_address(query)
                .ok_or((StatusCode::BAD_REQUEST, MALFORMED_ADDRESS));
        }
        if !accept::is_json(&parts.headers) {
            let text = "Send the request as application/json in UTF-8, uncompressed.";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
        let read = tokio::time::timeout(transport.limits.body, read(body));
        let body = read
            .await
            .map_err(|_| (StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive."))??;
        observation.arrived();
        Parameters::parse(&body).ok_or((StatusCode::BAD_REQUEST, MALFORMED))
    };
    match parameters.await {
        Err((status, text)) => {
            let refusal = Refusal::new(RequestCode::BadRequest, text);
            let (response, _) = finish(refusal.into(), &request_id, &mut observation);
            error::write(status, json.unwrap_or(Media::Json), &response)
        }
        Ok(parameters) => {
            let asked = Asked { parameters, by_get, events, origin, request_id };
            let course = observation.course();
            course.follow(run(transport, media, asked, &parts.headers, observation)).await
        }
    }
}

const MALFORMED: &str = "The body must be one JSON object with query (or documentId, or extensions.persistedQuery) and, where they are needed, \
                         operationName (a string), variables and extensions (objects), of at most 4000 values together, and no name twice in one object.";

const MALFORMED_ADDRESS: &str = "The address must have query (or documentId, or extensions.persistedQuery) and, where they are needed, operationName, \
                                 variables and extensions (JSON objects, of at most 4000 values, and no name twice in one), each once and percent-encoded.";

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
    media: Media,
    asked: Asked,
    headers: &HeaderMap,
    mut observation: Observation,
) -> Response {
    match check(&transport, &asked, headers, &mut observation).await {
        Ok(checked) if checked.kind == Kind::Subscription => {
            subscribe(transport, asked, checked, headers, observation)
        }
        Ok(checked) => {
            let (budget, kind) = (Arc::clone(&checked.budget), checked.kind);
            let span = observation.span();
            let answer = span.run(execute(transport, asked, checked, observation)).await;
            let mut answer = write(media, answer, budget).await;
            if kind == Kind::Mutation {
                answer.extensions_mut().insert(MustBeTold);
            }
            answer
        }
        Err(refusal) => {
            let methods = refusal.methods;
            let refused = finish(refusal.into(), &asked.request_id, &mut observation);
            let media = if methods.is_some() { media.json() } else { media };
            let mut answer = encode(media, refused);
            if let Some(methods) = methods {
                *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
            }
            answer
        }
    }
}

/// Streams what a subscription tells.
fn subscribe(
    transport: SharedTransport,
    asked: Asked,
    checked: Checked,
    headers: &HeaderMap,
    mut observation: Observation,
) -> Response {
    let Asked { parameters, origin, request_id, .. } = asked;
    let Checked { caller, document, budget, plan, .. } = checked;
    // A browser asks for a stream by GET without asking first, as it opens WebSockets.
    let room = if transport.cross_origin.trusts(headers) {
        transport.room(origin, caller)
    } else {
        let text = "Pages of this origin may not subscribe here.";
        Err((StatusCode::FORBIDDEN, Refusal::new(RequestCode::Forbidden, text)))
    };
    match room {
        Ok(room) => {
            let request = parameters.into_request(document, caller, request_id.clone(), budget);
            let subscription = Subscription::start(&transport, request, plan, observation);
            event_stream::answer(transport, request_id, caller, room, subscription)
        }
        Err((status, refusal)) => {
            let (response, _) = finish(refusal.into(), &request_id, &mut observation);
            error::write(status, Media::Json, &response)
        }
    }
}

/// Finds out what is asked for, and refuses what nobody may ask for.
async fn check(
    transport: &SharedTransport,
    asked: &Asked,
    headers: &HeaderMap,
    observation: &mut Observation,
) -> Result<Checked, Refusal> {
    let Asked { parameters, origin, .. } = asked;
    // First, so that a client whose session has ended sends the document by which it logs in.
    let found = transport.persisted.find(parameters).await?;
    let (caller, gone) = match session::from_headers(&transport.sessions, headers).await {
        Ok(caller) => (caller, None),
        Err(refusal) => {
            let prepared = transport.documents.prepare(&found.text).ok();
            let operation = prepared.as_ref();
            let operation = operation.and_then(|it| it.select(parameters.operation_name()).ok());
            let mutation = operation.and_then(Operation::mutation);
            match session::excused(&transport.sessions, headers, mutation, refusal).await {
                Ok(gone) => (Caller(None), gone),
                Err(refusal) => {
                    // It is counted by what it asked for all the same.
                    operation.into_iter().for_each(|operation| observation.runs(operation));
                    return Err(refusal);
                }
            }
        }
    };
    observation.asked_by(caller);
    let prepared = transport.documents.prepare(&found.text)?;
    let operation = prepared.select(parameters.operation_name())?;
    observation.runs(operation);
    let streams = operation.kind == Kind::Subscription && asked.events;
    if asked.by_get && operation.kind != Kind::Query && !streams {
        let text = "Only queries may be asked for by GET; send this by POST.";
        return Err(Refusal::new(RequestCode::BadRequest, text).only_by("POST"));
    }
    if operation.kind == Kind::Subscription && !streams {
        let text = "Subscriptions run over the WebSocket at /graphql, or are answered as text/event-stream.";
        return Err(Refusal::new(RequestCode::BadRequest, text));
    }
    transport.introspection.check(&prepared, operation, &parameters.variables)?;
    transport.rates.operation(origin.0, caller, operation.work)?;
    transport.persisted.keep(&found).await;
    Ok(Checked {
        caller,
        gone,
        kind: operation.kind,
        work: operation.work,
        document: prepared.document.clone(),
        budget: Budget::new(operation.values()),
        plan: operation.plan.clone(),
    })
}

async fn execute(
    transport: SharedTransport,
    asked: Asked,
    checked: Checked,
    mut observation: Observation,
) -> Answer {
    let Asked { parameters, origin, request_id, .. } = asked;
    let Checked { caller, gone, kind, work: about, document, budget, .. } = checked;
    let arrived = Instant::now();
    // First among the person's own requests, so that those who wait there have nobody else's place.
    let places = async {
        let step = Step::wait(Part::Share);
        let part = step.run(transport.shares.part_of(caller, kind)).await?;
        let step = Step::wait(Part::Place);
        Ok::<_, Refusal>((part, step.run(transport.load.place(about)).await?))
    };
    let places = match places.await {
        Ok(places) => places,
        Err(refusal) => {
            let shed = refusal.code == RequestCode::Overloaded;
            let answer = finish(refusal.into(), &request_id, &mut observation);
            if shed {
                observation.shed();
            }
            return answer;
        }
    };
    let time = transport.limits.request.saturating_sub(arrived.elapsed());
    let work = transport.lifetime.work.clone();
    let request = parameters.into_request(document, caller, request_id.clone(), budget);
    let mut request = request.data(origin);
    if let Some(gone) = gone {
        request = request.data(gone);
    }
    let execution = deadline::within(time, transport.engine.execute(request));
    let execution = AssertUnwindSafe(execution).catch_unwind();
    if kind == Kind::Query {
        let mut response = match tokio::time::timeout(time, execution).await {
            Ok(result) => result.unwrap_or_else(|_| panicked(&request_id)),
            Err(_) => {
                let text = "The query took too long. Ask for less, or try again in a moment.";
                Refusal::new(RequestCode::Overloaded, text).into()
            }
        };
        // A part of an answer is of no use to anybody. But what a mutation did has to be told all the same.
        if error::is_too_complex(&response) {
            response.data = Value::Null;
        }
        return finish(response, &request_id, &mut observation);
    }
    // A task of its own runs to its end though the client hangs up and this future is dropped.
    let execution = observation.course().follow(execution);
    let (span, id) = (observation.span(), request_id.clone());
    let task = transport.tasks.spawn_tracked(&work, "a mutation", async move {
        let response = span.run(execution).await.unwrap_or_else(|_| panicked(&id));
        drop(places);
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

/// Writes an answer. A large one is written where nobody else waits, and holds its permit until it is.
async fn write(media: Media, answer: Answer, budget: Arc<Budget>) -> Response {
    if !budget.has_large_answer() {
        return encode(media, answer);
    }
    let written = tokio::task::spawn_blocking(move || {
        let written = encode(media, answer);
        drop(budget);
        written
    });
    written.await.unwrap_or_else(|_| {
        let refusal = Refusal::internal();
        error::write(StatusCode::INTERNAL_SERVER_ERROR, media.json(), &refusal.into())
    })
}

fn encode(media: Media, (response, outcome): Answer) -> Response {
    if media == Media::Events {
        return event_stream::once(&response);
    }
    if outcome.refused {
        return error::write(error::status_of(media, outcome.code), media, &response);
    }
    let retry_after = error::retry_after(&response);
    let mut answer = GraphQLResponse::from(response).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    answer.headers_mut().extend(retry_after.map(|seconds| (header::RETRY_AFTER, seconds)));
    answer
}
