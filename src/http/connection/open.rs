//! All open connections: how many there are, in all and by address, and the sweep over them.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    super::{client::network, limits::Limits},
    Connection, Phase,
};
use crate::telemetry::{Metrics, ReasonLabels};

/// All open connections.
pub(super) struct Connections {
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    began: Instant,
    stopping: AtomicBool,
    open: AtomicUsize,
    /// Bytes of answers that wait to be sent.
    waiting: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, Arc<Address>>>,
    /// Those that the sweep looks at; closed ones are in it until the next sweep.
    swept: Mutex<Vec<Arc<Connection>>>,
}

/// What one address has.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Changed with the map's lock only, so that an address that has none is not in the map.
    open: AtomicUsize,
    waiting: AtomicUsize,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are too many.
    Full,
    /// There are too many from that address.
    Address,
}

impl Refused {
    /// Its label in the metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
        }
    }
}

impl Connections {
    pub(super) fn new(limits: Limits, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            limits,
            metrics,
            began: Instant::now(),
            stopping: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            addresses: Mutex::default(),
            swept: Mutex::default(),
        })
    }

    /// Milliseconds on a clock of our own; never 0.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whether the server is going down.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Takes one more connection in, if the limits let it.
    ///
    /// # Errors
    /// Which limit does not.
    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Slot, Refused> {
        match self.count(peer.ip()) {
            Ok(address) => {
                let connection = Arc::new(Connection::new(peer, self.clone(), address));
                lock(&self.swept).push(connection.clone());
                self.metrics.connections.inc();
                Ok(Slot(connection))
            }
            Err(refused) => {
                let labels = ReasonLabels { reason: refused.as_str() };
                self.metrics.connections_refused.get_or_create(&labels).inc();
                Err(refused)
            }
        }
    }

    fn count(&self, peer: IpAddr) -> Result<Option<Arc<Address>>, Refused> {
        // One task accepts, so nobody counts up between the look and the step.
        if self.open.load(Relaxed) >= self.limits.connections {
            return Err(Refused::Full);
        }
        let mut counted = None;
        if !self.limits.trusted.contains(peer) {
            let mut addresses = lock(&self.addresses);
            let address = addresses.entry(network(peer)).or_default();
            if address.open.load(Relaxed) >= self.limits.connections_per_address {
                return Err(Refused::Address);
            }
            address.open.fetch_add(1, Relaxed);
            counted = Some(address.clone());
        }
        self.open.fetch_add(1, Relaxed);
        Ok(counted)
    }

    fn leave(&self, connection: &Connection) {
        if let Some(address) = &connection.address {
            let mut addresses = lock(&self.addresses);
            if address.open.fetch_sub(1, Relaxed) == 1 {
                addresses.remove(&network(connection.peer.ip()));
            }
        }
        self.open.fetch_sub(1, Relaxed);
        self.metrics.connections.dec();
    }

    /// Wakes the connections whose time is over, and all while the server stops. Closed ones are forgotten, and so are WebSockets, which keep their own
    /// time.
    pub(super) fn sweep(&self) {
        // Taken out meanwhile, so that new connections do not wait for the sweep.
        let mut swept = std::mem::take(&mut *lock(&self.swept));
        let now = self.now();
        swept.retain(|connection| {
            if self.is_stopping() || connection.overdue(now).is_some() {
                connection.nudge();
            }
            !matches!(connection.phase(), Phase::Upgraded | Phase::Closed)
        });
        let mut new = lock(&self.swept);
        swept.append(&mut new);
        *new = swept;
    }

    /// Tells all connections that the server is going down.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Relaxed);
        for connection in lock(&self.swept).iter() {
            connection.nudge();
        }
    }
}

impl Connection {
    /// Counts bytes of an answer that waits to be sent, if there is room for them, in all and for this address.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let limits = &self.all.limits;
        if !add_below(&self.all.waiting, bytes, limits.waiting_bytes) {
            return false;
        }
        let fits = self.address.as_ref().is_none_or(|address| {
            add_below(&address.waiting, bytes, limits.waiting_bytes_per_address)
        });
        if !fits {
            self.all.waiting.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    /// They do not wait any more.
    pub(super) fn release(&self, bytes: usize) {
        self.all.waiting.fetch_sub(bytes, Relaxed);
        if let Some(address) = &self.address {
            address.waiting.fetch_sub(bytes, Relaxed);
        }
    }
}

fn add_below(count: &AtomicUsize, more: usize, limit: usize) -> bool {
    let sum = |now: usize| now.checked_add(more).filter(|sum| *sum <= limit);
    count.fetch_update(Relaxed, Relaxed, sum).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of an open connection; when it is dropped, with the socket, the connection counts as closed.
pub(in super::super) struct Slot(pub(super) Arc<Connection>);

impl Slot {
    /// It is a WebSocket now.
    pub(in super::super) fn upgraded(&self) {
        self.0.enter(Phase::Upgraded);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.enter(Phase::Closed);
        self.0.all.leave(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Overdue, *};

    fn connections(limits: Limits) -> Arc<Connections> {
        Connections::new(limits, Metrics::new())
    }

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    #[test]
    fn connections_are_limited_in_all_and_by_address() {
        let limits = Limits {
            connections: 5,
            connections_per_address: 2,
            trusted: "10.0.0.0/8".parse().unwrap(),
            ..Limits::default()
        };
        let all = connections(limits);
        let admit = |address: &str| all.admit(peer(address)).map_err(Refused::as_str);
        let (one, two) = (admit("192.0.2.1").unwrap(), admit("::ffff:192.0.2.1").unwrap());
        assert_eq!(admit("192.0.2.1").err(), Some("address"));
        drop(one);
        let _three = admit("192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").err(), Some("address"), "one place was free");
        let proxied: Vec<Slot> = (0..3).map(|_| admit("10.1.2.3").unwrap()).collect();
        assert_eq!(admit("10.1.2.3").err(), Some("full"));
        drop((two, proxied));
        let _four = admit("2001:db8::1").unwrap();
        let _five = admit("2001:db8::2").unwrap();
        assert_eq!(admit("2001:db8:0:0:1::3").err(), Some("address"), "one network");
        assert!(admit("2001:db8:0:1::1").is_ok());
        assert_eq!(all.metrics.connections.get(), 3);
    }

    #[test]
    fn addresses_are_forgotten_with_their_connections() {
        let all = connections(Limits::default());
        let slots: Vec<Slot> =
            (0..100).map(|n| all.admit(peer(&format!("192.0.2.{n}"))).unwrap()).collect();
        all.sweep();
        assert_eq!((lock(&all.addresses).len(), lock(&all.swept).len()), (100, 100));
        drop(slots);
        all.sweep();
        assert_eq!((lock(&all.addresses).len(), lock(&all.swept).len()), (0, 0));
        assert_eq!((all.open.load(Relaxed), all.metrics.connections.get()), (0, 0));
    }

    #[test]
    fn bytes_that_wait_are_limited_in_all_and_by_address() {
        let limits =
            Limits { waiting_bytes: 100, waiting_bytes_per_address: 60, ..Limits::default() };
        let all = connections(limits);
        let [one, same, other] = ["192.0.2.1", "192.0.2.1", "192.0.2.2"]
            .map(|address| all.admit(peer(address)).unwrap());
        assert!(one.0.hold(50) && !same.0.hold(11) && same.0.hold(10));
        assert!(!other.0.hold(41) && other.0.hold(40));
        one.0.release(50);
        assert!(same.0.hold(50) && !other.0.hold(1));
        same.0.release(60);
        other.0.release(40);
        assert_eq!(all.waiting.load(Relaxed), 0);
    }

    #[test]
    fn each_phase_has_its_own_time() {
        let ms = Duration::from_millis;
        let limits = Limits {
            first_byte: ms(1_000),
            head: ms(2_000),
            idle: ms(3_000),
            write: ms(4_000),
            ..Limits::default()
        };
        let all = connections(limits);
        let slot = all.admit(peer("192.0.2.1")).unwrap();
        let connection = &slot.0;
        let after = |ms: u64| connection.overdue(all.now() + ms).map(Overdue::as_str);
        assert_eq!((after(900), after(1_100)), (None, Some("first_byte")));
        connection.heard();
        assert_eq!((after(1_900), after(2_100)), (None, Some("head")));
        connection.asked();
        assert_eq!(after(1_000_000), None, "however long an answer takes");
        connection.is_blocked();
        assert_eq!((after(3_900), after(4_100)), (None, Some("write")));
        connection.wrote(1);
        assert_eq!(after(4_100), Some("write"), "a trickle is no progress");
        connection.flushed();
        assert_eq!(after(4_100), None);
        connection.answered();
        assert_eq!((after(2_900), after(3_100)), (None, Some("idle")));
        slot.upgraded();
        assert_eq!(after(1_000_000), None);
    }

    #[test]
    fn a_second_request_that_came_before_the_first_answer_had_gone_is_not_idle() {
        let all = connections(Limits::default());
        let slot = all.admit(peer("192.0.2.1")).unwrap();
        for step in [Connection::asked, Connection::asked, Connection::answered] {
            step(&slot.0);
            assert_eq!(slot.0.phase(), Phase::Busy);
        }
        slot.0.answered();
        assert_eq!(slot.0.phase(), Phase::Idle);
    }
}
