//! `POST /webhooks/<gateway>`: a card gateway says that something has happened. What it says is not believed, only looked into,
//! by a worker; so the answer is quick, and a message that comes twice changes nothing but when somebody looks.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};

use super::error;
use crate::{app::App, gateway::CardGateway, kernel::RequestCode, payment::Payments};

struct Webhooks {
    gateway: CardGateway,
    payments: Payments,
}

/// `/webhooks/<gateway>`, for the gateway that this shop has.
pub(super) fn routes(app: &App) -> Router {
    let state = Webhooks { gateway: app.card_gateway.clone(), payments: app.payments.clone() };
    Router::new().route("/webhooks/{gateway}", post(take)).with_state(Arc::new(state))
}

/// Takes a webhook: 204 once it is noted, so that the gateway need not say it again.
async fn take(
    State(webhooks): State<Arc<Webhooks>>,
    // What is no text names no gateway.
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    if webhooks.gateway.name().is_none_or(|gateway| gateway.as_str() != name) {
        return error::plain(
            StatusCode::NOT_FOUND,
            RequestCode::NotFound,
            "There is nothing here.",
        );
    }
    // The one thing that this process's clock decides here is whether a message is too old.
    let notice = match webhooks.gateway.verify(&headers, &body, SystemTime::now()) {
        Ok(notice) => notice,
        Err(refusal) => {
            tracing::warn!(gateway = %name, why = refusal.as_str(), "a webhook was not believed");
            let text = "This is no webhook of the card gateway.";
            return error::plain(StatusCode::BAD_REQUEST, RequestCode::BadRequest, text);
        }
    };
    let noted = match notice.payment_id {
        Some(id) => webhooks.payments.notice(id).await,
        None => Ok(()),
    };
    match noted {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => {
            tracing::warn!(fault = %fault.report(), "a webhook could not be noted");
            error::plain(
                StatusCode::SERVICE_UNAVAILABLE,
                RequestCode::Overloaded,
                "The service is busy; try again in a moment.",
            )
        }
    }
}
