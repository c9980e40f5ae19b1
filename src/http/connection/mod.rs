//! Connections: who may open one, how long each step may take, and what may wait to be sent.
//!
//! An accept loop of our own, because axum's has none of these limits, and hyper's own time limit for heads ends connections
//! that are kept alive as well. A connection notes in a few numbers what it is doing and since when. One sweep looks at all
//! of them every quarter of a second and wakes those whose time is over, so that a connection costs no timer.

mod answer;
mod asked;
mod listen;
mod open;
mod serve;
mod sizes;
mod wire;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

pub(super) use answer::{InProgram, MustBeTold};
use axum::http::HeaderMap;
use futures_util::task::AtomicWaker;
pub use listen::Listener;
pub(super) use open::Slot;
use open::{Address, Connections};
pub(super) use wire::Wire;

use super::client;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// Nothing has come yet.
    Fresh,
    /// A head has begun to arrive.
    Head,
    /// A request is being answered.
    Busy,
    /// Answered, and kept alive.
    Idle,
    /// A WebSocket now, which has limits of its own.
    Upgraded,
    /// Closed.
    Closed,
}

/// Why we end a connection that the client did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    /// Nothing came.
    FirstByte,
    /// A head did not come to its end.
    Head,
    /// No further request came.
    Idle,
    /// The client does not read.
    Write,
}

impl Overdue {
    /// Its label in the metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Write => "write",
        }
    }
}

/// What a connection's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Its time is over.
    Overdue(Overdue),
    /// The server stops, and nothing is lost with this connection.
    Leave,
    /// The server stops: answer what was asked, and leave then.
    Finish,
}

/// One connection, as everybody sees it: its own task, the sweep, and the handlers, who find it in a request's extensions.
pub struct Connection {
    peer: SocketAddr,
    all: Arc<Connections>,
    /// What is counted for the peer's address; nothing is for proxies.
    address: Option<Arc<Address>>,
    phase: AtomicU8,
    /// When the phase began, in milliseconds of [`Connections::now`].
    since: AtomicU64,
    /// Requests of which the answer has not been sent, or the body has not come. There may be two for a moment: a client
    /// need not wait for one answer before it sends the next request.
    answering: AtomicU32,
    /// Since when something waits to be sent, in the same milliseconds; 0 when nothing does.
    blocked: AtomicU64,
    /// How much has gone out since then.
    written: AtomicUsize,
    /// The sweep, or the end of the server, wants the task to look at its time.
    nudged: AtomicBool,
    task: AtomicWaker,
}

impl Connection {
    fn new(peer: SocketAddr, all: Arc<Connections>, address: Option<Arc<Address>>) -> Self {
        Self {
            peer,
            address,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since: AtomicU64::new(all.now()),
            all,
            answering: AtomicU32::new(0),
            blocked: AtomicU64::new(0),
            written: AtomicUsize::new(0),
            nudged: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// The other end: the client, or the proxy in front.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where a request with these headers comes from, if that is known: the peer, or whom a trusted proxy speaks for. With IPv6,
    /// the network.
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        client::address(self.peer.ip(), headers, &self.all.limits.trusted)
    }

    /// Whether the other end is a trusted proxy.
    pub(super) fn is_trusted(&self) -> bool {
        self.all.limits.trusted.contains(self.peer.ip())
    }

    // Phases change in the connection's own task only. The sweep reads them from outside and may see a phase with the time
    // of the one before: it only wakes the task, which looks again.

    fn phase(&self) -> Phase {
        let phase = self.phase.load(Ordering::Relaxed);
        let all = [Phase::Fresh, Phase::Head, Phase::Busy, Phase::Idle, Phase::Upgraded];
        all.into_iter().find(|known| *known as u8 == phase).unwrap_or(Phase::Closed)
    }

    fn enter(&self, phase: Phase) {
        self.since.store(self.all.now(), Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Bytes have come.
    fn heard(&self) {
        if matches!(self.phase(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// A request has come.
    fn asked(&self) {
        self.answering.fetch_add(1, Ordering::Relaxed);
        self.enter(Phase::Busy);
    }

    /// An answer has been sent, or will not be.
    fn answered(&self) {
        if self.answering.fetch_sub(1, Ordering::Relaxed) == 1 && self.phase() == Phase::Busy {
            self.enter(Phase::Idle);
        }
    }

    /// The system takes nothing more for now.
    fn is_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.written.store(0, Ordering::Relaxed);
            self.blocked.store(self.all.now(), Ordering::Relaxed);
        }
    }

    /// The system took bytes.
    fn wrote(&self, bytes: usize) {
        if self.blocked.load(Ordering::Relaxed) != 0
            && self.written.fetch_add(bytes, Ordering::Relaxed) + bytes >= sizes::WRITTEN_BYTES_MIN
        {
            self.written.store(0, Ordering::Relaxed);
            self.blocked.store(self.all.now(), Ordering::Relaxed);
        }
    }

    /// Nothing waits to be sent.
    fn flushed(&self) {
        self.blocked.store(0, Ordering::Relaxed);
    }

    /// Which limit of time it has passed, if any.
    fn overdue(&self, now: u64) -> Option<Overdue> {
        let limits = &self.all.limits;
        let (limit, overdue) = match self.phase() {
            Phase::Fresh => (Some(limits.first_byte), Overdue::FirstByte),
            Phase::Head => (Some(limits.head), Overdue::Head),
            Phase::Idle => (Some(limits.idle), Overdue::Idle),
            Phase::Busy => (None, Overdue::Write),
            Phase::Upgraded | Phase::Closed => return None,
        };
        let is_over =
            |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) > limit.as_millis();
        let blocked = self.blocked.load(Ordering::Relaxed);
        if blocked != 0 && is_over(blocked, limits.write) {
            return Some(Overdue::Write);
        }
        limit
            .is_some_and(|limit| is_over(self.since.load(Ordering::Relaxed), limit))
            .then_some(overdue)
    }

    /// Makes the task look at its time.
    fn nudge(&self) {
        self.nudged.store(true, Ordering::Release);
        self.task.wake();
    }

    /// What the connection's task has to do now, besides its work. Asked by that task only.
    fn poll_told(&self, context: &Context<'_>) -> Poll<Told> {
        self.task.register(context.waker());
        let nudged = self.nudged.swap(false, Ordering::Acquire);
        if nudged && let Some(overdue) = self.overdue(self.all.now()) {
            return Poll::Ready(Told::Overdue(overdue));
        }
        if !self.all.is_stopping() {
            return Poll::Pending;
        }
        match self.phase() {
            Phase::Fresh | Phase::Head | Phase::Idle if self.is_left(self.all.now()) => {
                Poll::Ready(Told::Leave)
            }
            Phase::Busy => Poll::Ready(Told::Finish),
            Phase::Fresh | Phase::Head | Phase::Idle | Phase::Upgraded | Phase::Closed => {
                Poll::Pending
            }
        }
    }

    /// Whether the server, which stops, has waited long enough for a request on a connection that has none. A proxy may have
    /// sent one before it knew.
    fn is_left(&self, now: u64) -> bool {
        let quiet = now.saturating_sub(self.since.load(Ordering::Relaxed));
        u128::from(quiet) > self.all.limits.goodbye.as_millis()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("phase", &self.phase())
            .finish()
    }
}
