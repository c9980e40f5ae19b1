//! GraphQL over WebSocket: the protocol `graphql-transport-ws`, for subscriptions only.
//!
//! A loop of our own, because the limits, time-outs and close codes that a public server needs have no place in the
//! ready-made one. One task per socket; an idle subscription costs little more than the schema's own state.

mod frames;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod handshake;
mod message;
mod running;
mod socket;

use std::net::IpAddr;

use axum::{extract::Request, http::StatusCode, response::Response};
use frames::Frames;
use handshake::Handshake;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socket::Socket;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};

use super::{connection::Wire, error, places::Place, session, transport::SharedTransport};
use crate::{
    api::{Origin, RequestId},
    kernel::RequestCode,
};

/// The only protocol that is spoken.
const PROTOCOL: &str = "graphql-transport-ws";
/// tungstenite allocates this for every socket at once; its default is 128 KiB. It grows with the first longer message, and
/// what fans send over a socket is hardly ever longer.
const READ_BUFFER_BYTES: usize = 1024;
/// Larger frames, and larger messages, close the socket before they are read.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// No answer is larger. One at a time is buffered, because every message is flushed before the next one.
const WRITE_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Answers a handshake at `/graphql`.
pub(super) fn upgrade(
    transport: SharedTransport,
    request_id: RequestId,
    origin: Origin,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    if !transport.cross_origin.trusts(&parts.headers) {
        return error::plain(
            StatusCode::FORBIDDEN,
            RequestCode::Forbidden,
            "Pages of this origin may not open WebSockets here.",
        );
    }
    if transport.lifetime.stopping.is_cancelled() {
        return error::plain(
            StatusCode::SERVICE_UNAVAILABLE,
            RequestCode::Overloaded,
            "The server is shutting down; connect again.",
        );
    }
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let Some((handshake, upgrade)) = Handshake::read(&parts, PROTOCOL).zip(upgrade) else {
        return error::plain(
            StatusCode::BAD_REQUEST,
            RequestCode::BadRequest,
            "This is no WebSocket handshake of version 13.",
        );
    };
    // It is looked at with `connection_init`, whose own comes first.
    let Ok(credentials) = session::of_handshake(&parts.headers) else {
        return error::plain(
            StatusCode::BAD_REQUEST,
            RequestCode::BadRequest,
            "A handshake may bring one session only.",
        );
    };
    let Ok(place) = transport.place_at(origin) else {
        return error::plain(
            StatusCode::TOO_MANY_REQUESTS,
            RequestCode::RateLimited,
            "Too many WebSockets are open from your network; close some of them first.",
        );
    };
    let agreed = handshake.agreed;
    // Shutdown waits for the socket.
    let (tasks, work) = (transport.tasks.clone(), transport.lifetime.work.clone());
    tasks.spawn_tracked(&work, "serving a socket", async move {
        // What is needed at the beginning only is in a box of its own, which is gone when the socket talks.
        let opened = Box::pin(open(upgrade, transport, request_id, origin, place)).await;
        let Some(socket) = opened else { return };
        socket.with(credentials).run(agreed).await;
    });
    handshake.answer(PROTOCOL)
}

/// Takes the socket over from HTTP, out of its wrappings, which would be memory and a step more for every read. It comes in
/// a box, because a task keeps room for every place that a value has passed.
async fn open(
    upgrade: OnUpgrade,
    transport: SharedTransport,
    request_id: RequestId,
    origin: Origin,
    place: Option<Place<IpAddr>>,
) -> Option<Box<Socket>> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Wire>>().ok()?;
    let limit = transport.limits.frames_per_minute;
    let frames = Frames::new(parts.io.into_inner(), &parts.read_buf, limit);
    let begun = parts.read_buf.to_vec();
    let wire =
        WebSocketStream::from_partially_read(frames, begun, Role::Server, Some(config())).await;
    Some(Box::new(Socket::new(transport, wire, request_id, origin, place)))
}

/// How much of what comes and goes is kept.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
}
