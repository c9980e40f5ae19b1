//! The accept loop.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Interval, MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::limits::Limits,
    open::{Connections, Refused},
    serve::serve,
    sizes::SWEEP,
};
use crate::{app::App, tasks::Tasks, telemetry::Metrics};

/// What somebody is told for whom there is no room. It is written without waiting, and may be lost.
const REFUSED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
                         content-length: 0\r\n\r\n";
/// How long accepting pauses when the system has no more open files or memory. What has not been accepted waits with the
/// system, and one connection that closes makes room for the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the server listens, and what its connections may cost.
pub struct Listener {
    listener: TcpListener,
    limits: Limits,
    metrics: Metrics,
    tasks: Tasks,
}

impl Listener {
    /// A listener of the server.
    pub fn new(listener: TcpListener, app: &App, limits: Limits) -> Self {
        Self { listener, limits, metrics: app.metrics.clone(), tasks: app.tasks.clone() }
    }

    /// A listener of something else.
    pub fn with(listener: TcpListener, limits: Limits, metrics: Metrics) -> Self {
        let tasks = Tasks::new(&metrics);
        Self { listener, limits, metrics, tasks }
    }

    /// Accepts and serves until `stopping` is cancelled, and then until every connection has answered what it was asked.
    ///
    /// # Errors
    /// When the listener itself is broken.
    pub(in super::super) async fn run(
        self,
        router: Router,
        stopping: CancellationToken,
    ) -> io::Result<()> {
        let all = Connections::new(self.limits, self.metrics);
        let served =
            Served { all: all.clone(), router, tasks: self.tasks, open: TaskTracker::new() };
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let accepted = accept(&self.listener, &served, &stopping, &mut sweep).await;
        take_what_waits(self.listener, &served);
        all.stop();
        served.open.close();
        loop {
            tokio::select! {
                () = served.open.wait() => return accepted,
                _ = sweep.tick() => all.sweep(),
            }
        }
    }
}

/// What every connection is served with.
struct Served {
    all: Arc<Connections>,
    router: Router,
    tasks: Tasks,
    /// Those that shutdown waits for.
    open: TaskTracker,
}

async fn accept(
    listener: &TcpListener,
    served: &Served,
    stopping: &CancellationToken,
    sweep: &mut Interval,
) -> io::Result<()> {
    let mut was_told = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopping.cancelled() => return Ok(()),
            _ = sweep.tick() => {
                served.all.sweep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                was_told = false;
                served.admit(stream, peer);
            }
            // The listener is none.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut was_told, true) {
                    tracing::warn!(%error, "no connections can be accepted for now");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Takes the connections that the system has accepted for us, and stops listening. The system would reset them, and whatever was
/// sent on them would be lost. It is asked itself, because tokio may not have heard of them yet.
fn take_what_waits(listener: TcpListener, served: &Served) {
    let Ok(listener) = listener.into_std() else { return };
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                let taken = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = taken {
                    served.admit(stream, peer);
                }
            }
            Err(error) if is_of_the_client(&error) => {}
            Err(_) => return,
        }
    }
}

impl Served {
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        match self.all.admit(peer) {
            Ok(slot) => {
                prepare(&stream, self.all.limits.silence);
                let serving = serve(stream, slot, self.router.clone());
                drop(self.tasks.spawn_tracked(&self.open, "serving a connection", serving));
            }
            Err(refused) => {
                tracing::debug!(%peer, ?refused, "a connection was refused");
                refuse(stream, refused);
            }
        }
    }
}

/// Answers are written in one go, so Nagle's algorithm would only hold them back.
fn prepare(stream: &TcpStream, silence: Duration) {
    let set = stream.set_nodelay(true).and_then(|()| limit_unsent(stream, silence));
    if let Err(error) = set {
        tracing::debug!(%error, "a socket's options could not be set");
    }
}

/// And how long what was sent may go unheard. The system by itself takes a quarter of an hour to find that a peer is gone without a
/// word, which matters where it is only listened to: to an event stream.
#[cfg(target_os = "linux")]
fn limit_unsent(stream: &TcpStream, silence: Duration) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(silence))?;
    socket.set_tcp_notsent_lowat(super::sizes::UNSENT_BYTES)
}

/// Elsewhere the system takes as much as its buffers hold.
#[cfg(not(target_os = "linux"))]
const fn limit_unsent(_: &TcpStream, _: Duration) -> io::Result<()> {
    Ok(())
}

fn refuse(stream: TcpStream, refused: Refused) {
    // A client with too many connections is not talked to.
    if refused == Refused::Full
        && let Ok(mut stream) = stream.into_std()
    {
        _ = stream.write(REFUSED);
    }
}

/// Whether a connection broke before it was accepted, which is nothing to wait for.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
