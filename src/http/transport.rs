//! What the handlers of both transports share.

use std::{net::IpAddr, sync::Arc};

use async_graphql::{Executor, Request, Response};
use futures_util::{future::BoxFuture, stream::BoxStream};

use super::{
    cross_origin::CrossOrigin, document::Documents, introspection::Introspection,
    lifetime::Lifetime, limits::Limits, load::Load, persisted::Persisted, places::Places,
    rate_limits::RateLimits, roots::Roots, share::Shares,
};
use crate::{account::Sessions, kernel::PersonId, tasks::Tasks, telemetry::Metrics};

/// The longest body of a request, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The schema, whatever its root types are.
pub(super) trait Engine: Send + Sync {
    /// Runs a query or a mutation.
    fn execute(&self, request: Request) -> BoxFuture<'static, Response>;
    /// Runs a subscription.
    fn stream(&self, request: Request) -> BoxStream<'static, Response>;
}

impl<E: Executor> Engine for E {
    fn execute(&self, request: Request) -> BoxFuture<'static, Response> {
        let schema = self.clone();
        Box::pin(async move { Executor::execute(&schema, request).await })
    }

    fn stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.execute_stream(request, None)
    }
}

/// The state of the GraphQL handlers.
pub(super) struct Transport {
    pub(super) engine: Box<dyn Engine>,
    pub(super) sessions: Sessions,
    /// Behind one pointer: every running subscription has it.
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: Tasks,
    pub(super) documents: Documents,
    /// Where documents are found that clients only name.
    pub(super) persisted: Persisted,
    pub(super) roots: Roots,
    pub(super) shares: Arc<Shares>,
    pub(super) load: Load,
    pub(super) rates: Arc<RateLimits>,
    pub(super) sockets_of_addresses: Arc<Places<IpAddr>>,
    pub(super) sockets_of_people: Arc<Places<PersonId>>,
    pub(super) introspection: Introspection,
    pub(super) limits: Limits,
    /// Whose pages may use this server besides its own.
    pub(super) cross_origin: CrossOrigin,
    pub(super) lifetime: Lifetime,
}

impl Transport {
    /// A transport in front of `schema`.
    pub(super) fn new(
        schema: impl Executor,
        sessions: Sessions,
        metrics: Metrics,
        limits: Limits,
        cross_origin: CrossOrigin,
        persisted: Persisted,
        lifetime: Lifetime,
    ) -> Self {
        let documents = Documents::new();
        let introspection = Introspection::new(&schema, limits.introspection);
        let roots = Roots::of(&schema);
        Self {
            engine: Box::new(schema),
            sessions,
            tasks: Tasks::new(&metrics),
            load: Load::new(&limits, &metrics),
            rates: Arc::new(RateLimits::new(limits.rates, &metrics)),
            sockets_of_addresses: Places::new(limits.sockets_per_address),
            sockets_of_people: Places::new(limits.sockets_per_person),
            metrics: Arc::new(metrics),
            documents,
            persisted,
            roots,
            shares: Shares::new(limits.patience),
            introspection,
            limits,
            cross_origin,
            lifetime,
        }
    }
}

/// Shared by every handler.
pub(super) type SharedTransport = Arc<Transport>;
