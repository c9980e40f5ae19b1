//! Answers on their way out: in pieces, and counted for as long as a byte of them is kept.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{
    Connection,
    sizes::{PIECE_BYTES, UNCOUNTED_BYTES},
};

/// Marks an answer whose bytes are part of the program: to keep them costs nothing.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct InProgram;

/// Marks an answer that tells what was changed: it is never replaced by one that says to try again. Its size is bounded by
/// its budget.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct MustBeTold;

/// A request that is being answered, until the last byte of its answer has been handed to the system.
pub(super) struct Answering {
    connection: Arc<Connection>,
    held: usize,
}

impl Answering {
    /// A request has come.
    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        connection.asked();
        Self { connection: connection.clone(), held: 0 }
    }

    /// Counts an answer of this many bytes; whether there is room for it.
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        if bytes <= UNCOUNTED_BYTES {
            return true;
        }
        let fits = self.connection.hold(bytes);
        if fits {
            self.held += bytes;
        }
        fits
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.held > 0 {
            self.connection.release(self.held);
        }
        self.connection.answered();
    }
}

/// The body of an answer, in pieces that are small.
pub(super) struct Answer {
    body: Body,
    /// What has come out of the body and is not handed on yet.
    rest: Bytes,
    /// Leaves with the last piece.
    answering: Option<Answering>,
}

impl Answer {
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        Self { body, rest: Bytes::new(), answering: Some(answering) }
    }
}

impl HttpBody for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.answering = None;
                    return Poll::Ready(None);
                }
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other.map_data(Piece::plain)))),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let bytes = self.rest.split_to(length);
        let last = if self.is_end_stream() { self.answering.take() } else { None };
        Poll::Ready(Some(Ok(Frame::data(Piece { bytes, _last: last }))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before the first piece.
        self.body.size_hint()
    }
}

/// A piece of an answer. The last one ends the answer when it has been written: a piece keeps the whole answer in memory, so
/// until then all of it counts.
pub(super) struct Piece {
    bytes: Bytes,
    _last: Option<Answering>,
}

impl Piece {
    const fn plain(bytes: Bytes) -> Self {
        Self { bytes, _last: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
