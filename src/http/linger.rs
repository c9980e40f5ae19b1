//! Reads on when a client has been answered before all that it sends has arrived.
//!
//! A connection that is closed with bytes unread is reset, and the reset can overtake the answer: the client sees a broken
//! connection instead of the refusal. So what is left is read and thrown away, within limits, as nginx's `lingering_close`
//! does: what is left of a body, what follows a head that is refused, and what follows the last frame of a WebSocket.

use std::{
    io,
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
use tokio::{net::TcpStream, runtime::Handle};

use crate::tasks::Tasks;

/// At most this many bytes are read that nobody wants; then the connection is closed.
const DISCARDED_BYTES_MAX: usize = 1024 * 1024;
/// How long a client may take to send a body that nobody wants.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client may take to hang up, when we have said the last word.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much is thrown away at a time.
const PART_BYTES: usize = 8 * 1024;

/// Sees to it that the request's body is read to its end, also when the handler stops reading it.
pub(super) fn to_the_end(request: Request, tasks: &Tasks) -> Request {
    // A client that asks before it sends a body does not send it after a refusal.
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

/// Reads on until the client hangs up, or until `is_over` says of what came that it was the last; for a second at most.
pub(super) async fn until_the_client_hangs_up(
    stream: &TcpStream,
    mut is_over: impl FnMut(&[u8]) -> bool + Send,
) {
    let read = async {
        let mut discarded = 0;
        while discarded < DISCARDED_BYTES_MAX && stream.readable().await.is_ok() {
            match discard_part(stream, &mut is_over) {
                Ok(0) => return,
                Ok(bytes) => discarded += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    _ = tokio::time::timeout(FAREWELL, read).await;
}

/// Reads once; 0 bytes at the end. Apart from the loop, so that a task that waits does not keep the buffer.
fn discard_part(stream: &TcpStream, is_over: &mut impl FnMut(&[u8]) -> bool) -> io::Result<usize> {
    let mut part = [0; PART_BYTES];
    let bytes = stream.try_read(&mut part)?;
    let over = part.get(..bytes).is_some_and(is_over);
    Ok(if over { 0 } else { bytes })
}
