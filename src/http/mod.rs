//! The edge: GraphQL over HTTP and WebSocket, GraphiQL, health and metrics.
//!
//! Everything a stranger sends arrives here first: sizes, documents, sessions and rates are checked before any resolver
//! runs. Nothing here knows what a seat is.

mod accept;
mod assets;
mod client;
mod connection;
mod cross_origin;
mod document;
mod edge;
mod error;
mod event_stream;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod graphql;
mod health;
mod introspection;
mod lifetime;
mod limits;
mod linger;
mod load;
mod observe;
mod parameters;
mod persisted;
mod places;
mod rate_limits;
mod roots;
mod session;
mod share;
mod stay;
mod strict;
mod subscription;
mod trace;
mod transport;
mod webhooks;
mod websocket;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
pub use connection::{Connection, Listener};
use cross_origin::CrossOrigin;
pub use lifetime::{Lifetime, serve};
pub use limits::Limits;
use persisted::Persisted;
use rate_limits::RateLimits;
pub use rate_limits::RateSettings;
use transport::Transport;

use crate::{api::FrontrowSchema, app::App, kernel::RequestCode, telemetry::Metrics};

/// Every route of the server.
pub fn router(app: &App, schema: FrontrowSchema, lifetime: &Lifetime, limits: Limits) -> Router {
    let settings = &app.settings;
    let transport = Transport::new(
        schema,
        app.sessions.clone(),
        app.metrics.clone(),
        limits,
        CrossOrigin::of(settings.allowed_origins.as_slice()),
        persisted(app),
        lifetime.clone(),
    );
    let pages = if settings.graphiql { graphiql() } else { Router::new() };
    let mut others = health::routes(app, lifetime).merge(webhooks::routes(app)).merge(pages);
    // With a listener of their own, metrics are nobody else's to see.
    if settings.metrics_listen.is_none() {
        others = others.merge(metrics(&app.metrics));
    }
    routes(transport, others)
}

/// How documents are found that clients only name.
fn persisted(app: &App) -> Persisted {
    let settings = &app.settings.documents;
    match &settings.trusted_documents {
        Some(documents) => Persisted::listed(documents),
        None if settings.persisted_documents => Persisted::agreed(app.kv.clone()),
        None => Persisted::Off,
    }
}

/// The routes of the listener for metrics: these, and health.
pub fn metrics_router(app: &App, lifetime: &Lifetime) -> Router {
    let routes = metrics(&app.metrics).merge(health::routes(app, lifetime)).merge(living());
    let unlimited = Arc::new(RateLimits::new(RateSettings::default(), &app.metrics));
    edge::around(routes.fallback(nothing), CrossOrigin::default(), unlimited, app.tasks.clone())
}

/// `/metrics`.
fn metrics(metrics: &Metrics) -> Router {
    let metrics = metrics.clone();
    Router::new().route("/metrics", get(async move || render(&metrics)))
}

/// `/health/live`, which needs nothing.
fn living() -> Router {
    Router::new().route("/health/live", get(async || "live\n"))
}

async fn nothing() -> Response {
    error::plain(StatusCode::NOT_FOUND, RequestCode::NotFound, "There is nothing here.")
}

/// GraphiQL, and the way to it.
fn graphiql() -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("/graphiql")))
        .route("/graphiql", get(assets::index))
        .route("/graphiql/", get(assets::index))
        .route("/graphiql/{name}", get(assets::file))
}

/// The routes around those of GraphQL; all but `others` need neither Postgres nor Redis.
fn routes(transport: Transport, others: Router) -> Router {
    let (rates, tasks) = (transport.rates.clone(), transport.tasks.clone());
    let cross_origin = transport.cross_origin.clone();
    let graphql = get(graphql::get).post(graphql::post).fallback(graphql::other_method);
    let routes = Router::new()
        .route(edge::GRAPHQL, graphql)
        .with_state(Arc::new(transport))
        .merge(living())
        .merge(others)
        .fallback(nothing);
    edge::around(routes, cross_origin, rates, tasks)
}

fn render(metrics: &Metrics) -> impl IntoResponse + use<> {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, open_metrics)], metrics.render())
}
