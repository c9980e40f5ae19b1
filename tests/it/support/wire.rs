//! A network that can be hurt: a forwarder between an instance and a store.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What the wire does with what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    /// Nothing comes through, and nobody is told: no reset, no end.
    silent: bool,
    /// Connections of earlier generations carry nothing any more, as after a router has forgotten them.
    generation: u64,
    /// Replies of connections of this generation are swallowed: requests arrive.
    swallows: bool,
    target: SocketAddr,
}

/// A forwarder on a port of its own.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    task: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// Leads to a server.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let weather = Weather { silent: false, generation: 0, swallows: false, target };
        let weather = Arc::new(watch::Sender::new(weather));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(accept(listener, weather.clone()));
        Self { address, weather, task }
    }

    /// Leads to the server of a URL; returns the URL that leads through the wire.
    pub(crate) async fn to_url(url: &str) -> (Self, String) {
        let (head, rest) = url.split_once("://").expect("a URL");
        let authority = rest.split('/').next().expect("a host");
        let (user, place) = authority.rsplit_once('@').map_or(("", authority), |(u, p)| (u, p));
        let target = tokio::net::lookup_host(place).await.expect("a host").next();
        let wire = Self::to(target.expect("an address")).await;
        let at = if user.is_empty() { "" } else { "@" };
        let url = format!("{head}://{user}{at}{}{}", wire.address, &rest[authority.len()..]);
        (wire, url)
    }

    /// Lets nothing through, and tells nobody.
    pub(crate) fn fall_silent(&self) {
        self.weather.send_modify(|weather| weather.silent = true);
    }

    /// Carries again what was said meanwhile.
    pub(crate) fn speak(&self) {
        self.weather.send_modify(|weather| weather.silent = false);
    }

    /// Forgets all connections: they stay open and carry nothing. New ones work.
    pub(crate) fn forget(&self) {
        self.weather.send_modify(|weather| weather.generation += 1);
    }

    /// Requests arrive, replies do not; until [`Wire::forget`] or [`Wire::reply`].
    pub(crate) fn swallow_replies(&self) {
        self.weather.send_modify(|weather| weather.swallows = true);
    }

    /// Replies arrive again, on new connections; those that lost some carry nothing any more.
    pub(crate) fn reply(&self) {
        self.weather.send_modify(|weather| {
            weather.swallows = false;
            weather.generation += 1;
        });
    }

    /// Leads new connections elsewhere.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.weather.send_modify(|weather| weather.target = target);
    }
}

async fn accept(listener: TcpListener, weather: Arc<watch::Sender<Weather>>) {
    while let Ok((near, _)) = listener.accept().await {
        let weather = weather.subscribe();
        tokio::spawn(async move {
            let now = *weather.borrow();
            let Ok(far) = TcpStream::connect(now.target).await else { return };
            let (from_near, to_near) = near.into_split();
            let (from_far, to_far) = far.into_split();
            tokio::select! {
                () = carry(from_near, to_far, weather.clone(), now.generation, false) => {}
                () = carry(from_far, to_near, weather, now.generation, true) => {}
            }
        });
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    generation: u64,
    replies: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match from.read(&mut buffer).await {
            Ok(read) if read > 0 => read,
            Ok(_) | Err(_) => 0,
        };
        let open = |weather: &Weather| !weather.silent && weather.generation == generation;
        if weather.wait_for(open).await.is_err() {
            return;
        }
        if read == 0 {
            return;
        }
        let swallowed = replies && weather.borrow().swallows;
        if !swallowed && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Longer than any answer is waited for, a round's 5 s among them.
pub(crate) const OUTAGE: Duration = Duration::from_secs(6);
