//! Many WebSockets over loopback that only listen, and count what they are told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stampede::net::{Sources, Target, socket::Socket};
use tokio::{task::JoinSet, time::sleep};

use crate::Result;

/// Sockets being opened at once.
const AT_ONCE: usize = 64;
/// Ports of one source address that are used; loopback has many addresses.
const PORTS: usize = 20_000;

/// What all of them were told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Text messages.
    pub(crate) messages: AtomicUsize,
    /// The size of the last one, in bytes.
    pub(crate) bytes: AtomicUsize,
}

impl Heard {
    /// Waits until this many messages have come.
    pub(crate) async fn reach(&self, count: usize) -> Result<()> {
        let begun = Instant::now();
        while self.messages.load(Ordering::Relaxed) < count {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("the messages did not come".into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Open sockets; closed when dropped.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) heard: Arc<Heard>,
    _listening: JoinSet<()>,
}

/// Opens a socket for each of these; what stands there is said after the handshake, a text message each.
pub(crate) async fn open(address: SocketAddr, says: Vec<Vec<String>>) -> Result<Sockets> {
    let heard = Arc::new(Heard::default());
    let target = Target::parse(&format!("http://{address}"), false)?;
    let sources = Arc::new(Sources::new(u32::try_from(says.len().div_ceil(PORTS))?));
    let mut listening = JoinSet::new();
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for says in says {
        let permit = permits.clone().acquire_owned().await?;
        let (target, sources) = (target.clone(), sources.clone());
        opening.spawn(async move {
            let socket = connect(&target, &sources, &says).await;
            drop(permit);
            socket
        });
        while let Some(opened) = opening.try_join_next() {
            listening.spawn(listen(opened??, heard.clone()));
        }
    }
    while let Some(opened) = opening.join_next().await {
        listening.spawn(listen(opened??, heard.clone()));
    }
    Ok(Sockets { heard, _listening: listening })
}

async fn connect(target: &Target, sources: &Sources, says: &[String]) -> Result<Socket> {
    let mut socket = Socket::connect(target, sources).await?;
    for text in says {
        socket.send(text).await?;
    }
    Ok(socket)
}

async fn listen(mut socket: Socket, heard: Arc<Heard>) {
    while let Ok(text) = socket.next_text().await {
        heard.bytes.store(text.len(), Ordering::Relaxed);
        heard.messages.fetch_add(1, Ordering::Relaxed);
    }
}
