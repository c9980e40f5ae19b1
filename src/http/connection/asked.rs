//! Bodies on their way in: while one comes, the connection is not idle, whether it has been answered or not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::Connection;

/// The body of a request. What comes of it after the answer is no head of another request.
pub(super) struct Asked {
    body: Incoming,
    receiving: Option<Receiving>,
}

struct Receiving(Arc<Connection>);

impl Asked {
    pub(super) fn new(body: Incoming, connection: &Arc<Connection>) -> Self {
        let receiving = (!body.is_end_stream()).then(|| {
            connection.asked();
            Receiving(connection.clone())
        });
        Self { body, receiving }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let over = !matches!(frame, Poll::Pending | Poll::Ready(Some(Ok(_))));
        if over || self.body.is_end_stream() {
            self.receiving = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
