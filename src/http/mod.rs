//! The edge: GraphQL over HTTP and WebSocket, GraphiQL, health and metrics.
//!
//! Everything a stranger sends arrives here first: sizes, documents, sessions and rates are checked before any resolver
//! runs. Nothing here knows what a seat is.

mod accept;
mod assets;
mod connection;
mod document;
mod edge;
mod error;
mod graphql;
mod health;
mod introspection;
mod lifetime;
mod linger;
mod observe;
mod session;
mod share;
mod transport;
mod webhooks;
mod websocket;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::get,
};
pub use connection::{Connection, Limits as ConnectionLimits, Listener};
pub use lifetime::{Lifetime, serve};
use transport::{Limits, Transport};

use crate::{api::FrontrowSchema, app::App, kernel::RequestCode, telemetry::Metrics};

/// Every route of the server.
pub fn router(app: &App, schema: FrontrowSchema, lifetime: &Lifetime) -> Router {
    let settings = &app.settings;
    let transport = Transport::new(
        schema,
        app.sessions.clone(),
        app.metrics.clone(),
        Limits {
            subscriptions: settings.subscriptions_per_socket,
            request: Duration::from_millis(settings.request_ms),
            patience: settings.database.patience() / 5,
            introspection: settings.introspection,
            ..Limits::default()
        },
        settings.allowed_origins.clone(),
        lifetime.clone(),
    );
    let pages = if settings.graphiql { graphiql() } else { Router::new() };
    let others = health::routes(app, lifetime).merge(webhooks::routes(app)).merge(pages);
    routes(transport, others)
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
    let (metrics, tasks) = (transport.metrics.clone(), transport.tasks.clone());
    let cors = edge::cors(&transport.origins);
    let graphql = get(websocket::upgrade).post(graphql::post).fallback(graphql::only_post);
    let routes = Router::new()
        .route("/graphql", graphql)
        .with_state(Arc::new(transport))
        .route("/health/live", get(async || "live\n"))
        .route("/metrics", get(async move || render(&metrics)))
        .merge(others)
        .fallback(async || {
            error::plain(StatusCode::NOT_FOUND, RequestCode::NotFound, "There is nothing here.")
        });
    edge::around(routes, cors, tasks)
}

fn render(metrics: &Metrics) -> impl IntoResponse + use<> {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, open_metrics)], metrics.render())
}
