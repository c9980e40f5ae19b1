//! What the sandbox answers, over HTTP. Anybody may ask it anything.

use std::time::{Duration, SystemTime};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Sandbox,
    ledger::{self, Ask, Hears, Refused, Told},
    page::Page,
};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a refund's key.
const KEY_BYTES_MAX: usize = 100;
/// Payments of a page of the list.
const PAGE_MAX: usize = 1000;
/// How long trouble may last.
const TROUBLE_SECONDS_MAX: u64 = 600;

pub(super) fn router(sandbox: Sandbox) -> Router {
    let for_the_shop = Router::new()
        .route("/payments", post(begin))
        .route("/payments/{id}", get(look))
        .route("/payments/{id}/call-off", post(call_off))
        .route("/payments/{id}/refunds", post(refund))
        .route("/payments/{id}/refunds/{key}", get(look_at_refund))
        .route_layer(from_fn_with_state(sandbox.clone(), as_the_shop));
    Router::new()
        .merge(for_the_shop)
        .route("/payments", get(list))
        .route("/challenges/{key}", get(ask_the_buyer).post(hear_the_buyer))
        .route("/trouble", post(trouble))
        .route("/health", get(async || "live\n"))
        .fallback(async || error(StatusCode::NOT_FOUND, "There is nothing here."))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(sandbox)
}

fn error(status: StatusCode, message: &str) -> Response {
    answer(status, &json!({ "message": message }))
}

fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused(refused: Refused) -> Response {
    match refused {
        Refused::KeyReused => {
            error(StatusCode::UNPROCESSABLE_ENTITY, "The id was used for something else.")
        }
        Refused::Unknown => error(StatusCode::NOT_FOUND, "There is no such thing."),
        Refused::Full => error(
            StatusCode::TOO_MANY_REQUESTS,
            "The sandbox is full; a restart makes it forget everything.",
        ),
        Refused::NotCharged => failed("not_charged"),
        Refused::AmountExceedsCharge => failed("amount_exceeds_charge"),
    }
}

/// A refund that failed before it began.
fn failed(code: &str) -> Response {
    answer(StatusCode::CONFLICT, &json!({ "status": "failed", "code": code }))
}

fn knows_the_secret(sandbox: &Sandbox, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
    let digest = |text: &[u8]| Sha256::digest(text);
    // Digests, so that the time it takes tells nothing of the secret.
    given.is_some_and(|given| {
        digest(given) == digest(sandbox.0.settings.secret.expose_secret().as_bytes())
    })
}

/// Calls of the shop need the secret, and meet the trouble that somebody has made.
async fn as_the_shop(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    if !knows_the_secret(&sandbox, request.headers()) {
        return error(StatusCode::UNAUTHORIZED, "Send `Authorization: Bearer <the secret>`.");
    }
    let broken = || error(StatusCode::INTERNAL_SERVER_ERROR, "The sandbox is in trouble.");
    match sandbox.trouble() {
        Some(false) => broken(),
        Some(true) => {
            drop(next.run(request).await);
            broken()
        }
        None => next.run(request).await,
    }
}

impl Sandbox {
    /// How a payment stands, with the address of its challenge.
    fn told(&self, id: Uuid) -> Response {
        let told = self.ledger().look(id);
        match told {
            Ok(told) => {
                let page = |key| format!("{}/challenges/{key}", self.0.settings.public_url);
                let redirect_url = told.redirect_url.clone().map(page);
                answer(StatusCode::OK, &Told { redirect_url, ..told })
            }
            Err(why) => refused(why),
        }
    }
}

async fn begin(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let Some(ask) = serde_json::from_slice::<Ask>(&body).ok().filter(ledger::is_well_formed) else {
        return error(
            StatusCode::BAD_REQUEST,
            "Send paymentId (a UUID), amount (above 0), currency (three letters), cardToken, and returnUrl if you like.",
        );
    };
    let (id, challenge) = (ask.payment_id, sandbox.0.settings.challenge);
    let begun = sandbox.ledger().begin(ask, Uuid::new_v4(), SystemTime::now(), challenge);
    let (hears, done) = match begun {
        Ok(begun) => begun,
        Err(why) => return refused(why),
    };
    let later = sandbox.follow(done);
    match hears {
        Hears::Now => {}
        Hears::Later => {
            if let Some(later) = later {
                drop(later.await);
            }
        }
        Hears::Never => std::future::pending().await,
        Hears::Error => {
            return error(StatusCode::INTERNAL_SERVER_ERROR, "Charged, and told by an error.");
        }
    }
    sandbox.told(id)
}

async fn look(State(sandbox): State<Sandbox>, Path(id): Path<Uuid>) -> Response {
    sandbox.told(id)
}

async fn call_off(State(sandbox): State<Sandbox>, Path(id): Path<Uuid>) -> Response {
    let done = sandbox.ledger().call_off(id);
    match done {
        Ok(done) => {
            sandbox.follow(done);
            sandbox.told(id)
        }
        Err(why) => refused(why),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefundAsk {
    refund_id: String,
    amount: i64,
}

async fn refund(State(sandbox): State<Sandbox>, Path(id): Path<Uuid>, body: Bytes) -> Response {
    let ask = serde_json::from_slice::<RefundAsk>(&body).ok();
    let Some(ask) = ask.filter(|ask| (1..=KEY_BYTES_MAX).contains(&ask.refund_id.len())) else {
        return error(StatusCode::BAD_REQUEST, "Send refundId (1 to 100 bytes) and amount.");
    };
    let refund = sandbox.ledger().refund(id, &ask.refund_id, ask.amount);
    match refund {
        Ok((told, done)) => {
            sandbox.follow(done);
            answer(StatusCode::OK, &told)
        }
        Err(why) => refused(why),
    }
}

async fn look_at_refund(
    State(sandbox): State<Sandbox>,
    Path((id, key)): Path<(Uuid, String)>,
) -> Response {
    let told = sandbox.ledger().look_at_refund(id, &key);
    told.map_or_else(refused, |told| answer(StatusCode::OK, &told))
}

/// The list: a line for each payment; or a page of it, where `limit` is given.
async fn list(State(sandbox): State<Sandbox>, uri: Uri) -> Response {
    let parameter = |name: &str| {
        let pairs = uri.query().unwrap_or_default().split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)
    };
    let limit = parameter("limit").map(|(_, text)| text.parse::<usize>());
    let after = parameter("after").map(|(_, text)| Uuid::try_parse(text));
    match (limit, after.transpose()) {
        (None, Ok(None)) => {
            let lines = sandbox.ledger().list(None, usize::MAX);
            let lines = lines.iter().filter_map(|line| serde_json::to_string(line).ok());
            let text: String = lines.map(|line| line + "\n").collect();
            ([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response()
        }
        (Some(Ok(limit @ 1..=PAGE_MAX)), Ok(after)) => {
            let payments = sandbox.ledger().list(after, limit);
            let full = payments.len() == limit;
            let next = payments.last().filter(|_| full).map(|line| line.payment_id);
            answer(StatusCode::OK, &json!({ "payments": payments, "next": next }))
        }
        _ => error(StatusCode::BAD_REQUEST, "limit is 1 to 1000, and after a paymentId."),
    }
}

fn page(status: StatusCode, page: &Page<'_>) -> Response {
    // No form-action: browsers hold it against the way back to the shop, too.
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, page.html()).into_response()
}

async fn ask_the_buyer(State(sandbox): State<Sandbox>, Path(key): Path<String>) -> Response {
    let found = Uuid::try_parse(&key).map_err(|_| Refused::Unknown);
    let found = found.and_then(|key| sandbox.ledger().challenge(key));
    match found {
        Ok((told, currency, return_url)) => match told.status {
            "action" => {
                page(StatusCode::OK, &Page::Question { amount: told.amount, currency: &currency })
            }
            status => page(
                StatusCode::OK,
                &Page::Decided { charged: status == "charged", return_url: return_url.as_deref() },
            ),
        },
        Err(_) => page(StatusCode::NOT_FOUND, &Page::Unknown),
    }
}

async fn hear_the_buyer(
    State(sandbox): State<Sandbox>,
    Path(key): Path<String>,
    body: Bytes,
) -> Response {
    let Ok(key) = Uuid::try_parse(&key) else {
        return page(StatusCode::NOT_FOUND, &Page::Unknown);
    };
    let mut fields = body.split(|byte| *byte == b'&');
    let passed = fields.find_map(|field| match field {
        b"outcome=pass" => Some(true),
        b"outcome=fail" => Some(false),
        _ => None,
    });
    let Some(passed) = passed else {
        return page(StatusCode::BAD_REQUEST, &Page::Neither);
    };
    let event = sandbox.ledger().answer(key, passed, SystemTime::now());
    if let Some(event) = event {
        sandbox.0.webhooks.send(event);
    }
    let found = sandbox.ledger().challenge(key);
    match found {
        Ok((_, _, Some(return_url))) => {
            // Written anew, so that it is plain ASCII.
            let url = reqwest::Url::parse(&return_url).map(String::from).unwrap_or_default();
            (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response()
        }
        Ok((told, _, None)) => {
            let charged = told.status == "charged";
            page(StatusCode::OK, &Page::Decided { charged, return_url: None })
        }
        Err(_) => page(StatusCode::NOT_FOUND, &Page::Unknown),
    }
}

#[derive(Deserialize)]
struct TroubleAsk {
    seconds: u64,
    #[serde(default)]
    does: bool,
}

/// For this many seconds every call of the shop is answered with 500, whether it is done or not; 0 ends the trouble.
async fn trouble(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !knows_the_secret(&sandbox, &headers) {
        return error(StatusCode::UNAUTHORIZED, "Send `Authorization: Bearer <the secret>`.");
    }
    let ask = serde_json::from_slice::<TroubleAsk>(&body).ok();
    let Some(ask) = ask.filter(|ask| ask.seconds <= TROUBLE_SECONDS_MAX) else {
        return error(StatusCode::BAD_REQUEST, "Send seconds (0 to 600), and does if you like.");
    };
    sandbox.make_trouble(Duration::from_secs(ask.seconds), ask.does);
    StatusCode::NO_CONTENT.into_response()
}
