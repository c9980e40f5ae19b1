//! Reads on when a request has been answered before its body has arrived.
//!
//! A connection that is closed with bytes unread is reset, and the reset can overtake the answer: the client sees a broken
//! connection instead of the refusal. So what is left of the body is read and thrown away, within limits, as nginx's
//! `lingering_close` does.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    http::header,
};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;

use crate::tasks::Tasks;

/// Of a body that nobody wants so many bytes are read at most; then the connection is closed.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;
/// How long a client may take to send them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sees to it that the request's body is read to its end, whoever stops reading it.
pub(super) fn to_the_end(request: Request, tasks: &Tasks) -> Request {
    // Who asks before sending a body does not send it after a refusal.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return request;
    }
    request.map(|body| {
        Body::from_stream(Lingering { rest: Some(body.into_data_stream()), tasks: tasks.clone() })
    })
}

/// A body, until it has been read to its end.
struct Lingering {
    rest: Option<BodyDataStream>,
    tasks: Tasks,
}

impl Stream for Lingering {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.rest else { return Poll::Ready(None) };
        let part = ready!(body.poll_next_unpin(context));
        if !matches!(part, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(part)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.rest.take().filter(|rest| !rest.is_end_stream());
        if let Some((rest, _)) = rest.zip(Handle::try_current().ok()) {
            let discarded = tokio::time::timeout(PATIENCE, discard(rest));
            self.tasks.spawn("discarding a body", discarded);
        }
    }
}

async fn discard(mut rest: BodyDataStream) {
    let mut discarded = 0;
    while let Some(Ok(part)) = rest.next().await {
        discarded += part.len();
        if discarded > DISCARDED_BYTES_MAX {
            return;
        }
    }
}
