//! One connection from the first byte to the last.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use axum::{
    Router,
    http::{HeaderValue, Request, Response, header},
};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpStream;

use super::{
    super::{edge, linger},
    Connection, InProgram, MustBeTold, Overdue, Slot, Told, Wire,
    answer::{Answer, Answering},
    asked::Asked,
    sizes::HEAD_BYTES_MAX,
};
use crate::telemetry::ReasonLabels;

/// What a client is told whose head did not come in time. RFC 9110 asks for the words.
const TIMED_OUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How a connection's time as HTTP ended.
enum End {
    /// As hyper ends it, which may be by handing the socket on.
    Http(hyper::Result<()>),
    /// Its time was over.
    Overdue(Overdue),
    /// The server stops.
    Left,
}

/// Serves a connection until one side ends it, or until it is a WebSocket.
pub(super) async fn serve(stream: TcpStream, slot: Slot, router: Router) {
    let connection = slot.0.clone();
    // hyper makes its buffers at once; a client that says nothing yet has none.
    match first_byte(&connection, &stream).await {
        Ok(()) => {}
        Err(Some(overdue)) => return ended(&connection, overdue),
        Err(None) => return,
    }
    let service = {
        let connection = connection.clone();
        service_fn(move |request| answer(router.clone(), connection.clone(), request))
    };
    let mut http = http1::Builder::new()
        .half_close(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(Wire { stream, slot }), service)
        .with_upgrades();
    let end = poll_fn(|context| {
        match connection.poll_told(context) {
            Poll::Ready(Told::Overdue(overdue)) => return Poll::Ready(End::Overdue(overdue)),
            Poll::Ready(Told::Leave) => return Poll::Ready(End::Left),
            Poll::Ready(Told::Finish) => Pin::new(&mut http).graceful_shutdown(),
            Poll::Pending => {}
        }
        Pin::new(&mut http).poll(context).map(End::Http)
    })
    .await;
    // A WebSocket took it.
    let Some(parts) = http.into_parts() else { return };
    let wire = parts.io.into_inner();
    match end {
        End::Http(Err(error)) if error.is_parse() => {
            linger::until_the_client_hangs_up(&wire.stream, |_| false).await;
        }
        End::Http(_) | End::Left => {}
        End::Overdue(overdue) => {
            match overdue {
                Overdue::Head => drop(wire.stream.try_write(TIMED_OUT)),
                // What the system still has for this client would stay in memory for minutes.
                Overdue::Write => drop(wire.stream.set_zero_linger()),
                Overdue::FirstByte | Overdue::Idle => {}
            }
            ended(&connection, overdue);
        }
    }
}

/// Waits for the first byte.
///
/// # Errors
/// When the connection ends before; because its time is over, or because the server stops.
async fn first_byte(connection: &Connection, stream: &TcpStream) -> Result<(), Option<Overdue>> {
    poll_fn(|context| match connection.poll_told(context) {
        Poll::Ready(Told::Overdue(overdue)) => Poll::Ready(Err(Some(overdue))),
        Poll::Ready(Told::Leave | Told::Finish) => Poll::Ready(Err(None)),
        // An error is one for hyper to find.
        Poll::Pending => stream.poll_read_ready(context).map(|_| Ok(())),
    })
    .await
}

fn ended(connection: &Connection, overdue: Overdue) {
    tracing::debug!(peer = %connection.peer(), reason = overdue.as_str(), "a connection's time was over");
    let labels = ReasonLabels { reason: overdue.as_str() };
    connection.all.metrics.connections_ended.get_or_create(&labels).inc();
}

/// Answers a request, if there is room for the answer to wait in.
async fn answer(
    router: Router,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let mut answering = Answering::begin(&connection);
    let mut request = request.map(|body| Asked::new(body, &connection));
    request.extensions_mut().insert(connection.clone());
    let mut response = TowerToHyperService::new(router).call(request).await?;
    let counts = response.extensions().get::<InProgram>().is_none()
        && response.extensions().get::<MustBeTold>().is_none();
    if counts {
        let bytes = response.body().size_hint();
        let bytes = bytes.upper().unwrap_or(bytes.lower());
        if !answering.hold(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            connection.all.metrics.answers_refused.inc();
            response = edge::overloaded(&response);
        }
    }
    if connection.all.is_stopping() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answer::new(body, answering)))
}
