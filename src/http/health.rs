//! Health: whether the process lives, and whether it can serve.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};

use super::lifetime::Lifetime;
use crate::{
    app::App,
    db::{Db, migrations},
    kernel::FaultKind,
    kv::Kv,
    tasks::Tasks,
};

struct Health {
    db: Db,
    kv: Kv,
    tasks: Tasks,
    lifetime: Lifetime,
    /// No migration was missing once; that does not change while the process lives.
    migrated: AtomicBool,
}

/// `/health/ready`.
pub(super) fn routes(app: &App, lifetime: &Lifetime) -> Router {
    let health = Health {
        db: app.db.clone(),
        kv: app.kv.clone(),
        tasks: app.tasks.clone(),
        lifetime: lifetime.clone(),
        migrated: AtomicBool::new(false),
    };
    Router::new().route("/health/ready", get(ready)).with_state(Arc::new(health))
}

/// 200 when requests can be served, else 503 and why. Without Redis they can, so it is only mentioned.
async fn ready(State(health): State<Arc<Health>>) -> Response {
    let (postgres, redis) = tokio::join!(health.postgres(), health.kv.ping());
    if let Err(fault) = &redis {
        tracing::debug!(fault = %fault.report(), "Redis does not answer");
    }
    let stopping = health.lifetime.stopping.is_cancelled();
    report(stopping, postgres, redis.is_ok(), health.tasks.ailing())
}

impl Health {
    /// What stands in the way of using Postgres.
    async fn postgres(&self) -> Result<(), &'static str> {
        let unreachable = "Postgres is unreachable";
        if let Err(fault) = self.db.ping().await {
            tracing::warn!(fault = %fault.report(), "Postgres does not answer");
            return Err(unreachable);
        }
        if !self.migrated.load(Ordering::Relaxed) {
            match migrations::missing(&self.db).await {
                Ok(missing) if missing.is_empty() => self.migrated.store(true, Ordering::Relaxed),
                Ok(_) => return Err("migrations are missing; run `frontrow migrate`"),
                Err(fault) => {
                    tracing::warn!(fault = %fault.report(), "migrations cannot be read");
                    return Err(match fault.kind() {
                        FaultKind::Unavailable | FaultKind::Unanswered => unreachable,
                        FaultKind::Internal
                        | FaultKind::CallerGone
                        | FaultKind::TooOften { .. } => {
                            "the migrations are not those of this program"
                        }
                    });
                }
            }
        }
        Ok(())
    }
}

fn report(
    stopping: bool,
    postgres: Result<(), &'static str>,
    redis: bool,
    dead: Option<&'static str>,
) -> Response {
    let dead = dead.map(|name| Cow::Owned(format!("a task died: {name}")));
    let reason = if stopping {
        Some(Cow::Borrowed("shutting down"))
    } else {
        postgres.err().map(Cow::Borrowed).or(dead)
    };
    let status = if reason.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = serde_json::json!({
        "status": if reason.is_some() { "unready" } else { "ready" },
        "reason": reason,
        "postgres": if postgres.is_ok() { "ok" } else { "unready" },
        "redis": if redis { "ok" } else { "away; the server goes on without it" },
    });
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_a_dead_task_and_shutdown_make_it_unready() {
        for (stopping, postgres, redis, dead, status) in [
            (false, Ok(()), true, None, StatusCode::OK),
            (false, Ok(()), false, None, StatusCode::OK),
            (true, Ok(()), true, None, StatusCode::SERVICE_UNAVAILABLE),
            (false, Err("migrations are missing"), true, None, StatusCode::SERVICE_UNAVAILABLE),
            (false, Ok(()), true, Some("rounds"), StatusCode::SERVICE_UNAVAILABLE),
        ] {
            assert_eq!(report(stopping, postgres, redis, dead).status(), status);
        }
    }
}
