//! Connections that ask for nothing and do not go: sockets without a session, heads that never end, readers who have stopped.
//! They come from many addresses, so that no limit per address helps, and a new one comes for each that the server closes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::Result;

/// Connections of one address.
const PER_ADDRESS: usize = 250;
/// How often a slow client sends a byte more, and how often a stopped reader looks whether it is still connected.
const BYTE: Duration = Duration::from_secs(1);
/// Longer than any limit of the server that ends such connections.
const AT_MOST: Duration = Duration::from_secs(90);

/// What such a connection does.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// Opens a WebSocket, and never says `connection_init`.
    WithoutInit,
    /// Sends the head of a request, a byte a second.
    SlowHead,
    /// Asks for this, and reads nothing of the answer.
    StoppedReader(Vec<u8>),
}

/// Connections that stand until told otherwise.
#[derive(Debug)]
pub(crate) struct Crowd {
    ending: Arc<AtomicBool>,
    standing: JoinSet<Duration>,
}

impl Crowd {
    /// Lets this many stand at once.
    pub(crate) fn gather(address: SocketAddr, count: usize, what: &Standing) -> Self {
        let (ending, mut standing) = (Arc::<AtomicBool>::default(), JoinSet::new());
        let what = Arc::new(what.clone());
        for n in 0..count {
            let (ending, what) = (ending.clone(), what.clone());
            standing.spawn(async move {
                let mut longest = Duration::ZERO;
                while !ending.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    if timeout(AT_MOST, stand(address, source(n / PER_ADDRESS), &what))
                        .await
                        .is_err()
                    {
                        return AT_MOST;
                    }
                    longest = longest.max(begun.elapsed());
                    // One that is refused at once comes back, and not in a tight loop.
                    sleep(Duration::from_millis(100)).await;
                }
                longest
            });
        }
        Self { ending, standing }
    }

    /// Lets nobody new stand, and waits until the server has closed all; how long the most patient one stood.
    pub(crate) async fn end(self) -> Duration {
        self.ending.store(true, Ordering::Relaxed);
        self.standing.join_all().await.into_iter().max().unwrap_or_default()
    }
}

/// The n-th address of loopback that nobody else comes from.
pub(crate) fn source(n: usize) -> Ipv4Addr {
    let n = u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
    Ipv4Addr::new(127, 1, n[0], n[1].saturating_add(1))
}

/// Connects from one of loopback's addresses.
pub(crate) async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    Ok(socket.connect(address).await?)
}

/// Ends when the server has closed the connection.
async fn stand(address: SocketAddr, from: Ipv4Addr, what: &Standing) -> Result<()> {
    let mut stream = connect_from(from, address).await?;
    match what {
        Standing::WithoutInit => {
            let upgrade = format!(
                "GET /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
            );
            stream.write_all(upgrade.as_bytes()).await?;
            read_to_end(&mut stream).await
        }
        Standing::SlowHead => {
            let (mut reading, mut writing) = stream.split();
            let slow = async {
                writing.write_all(b"GET /").await?;
                loop {
                    writing.write_all(b"a").await?;
                    sleep(BYTE).await;
                }
            };
            tokio::select! {
                sent = slow => sent,
                read = async { while reading.read(&mut [0; 1024]).await? > 0 {} Ok(()) } => read,
            }
        }
        Standing::StoppedReader(request) => {
            stream.write_all(request).await?;
            loop {
                sleep(BYTE).await;
                // A byte of the next request; it tells when nobody is there any more.
                stream.write_all(b"G").await?;
            }
        }
    }
}

async fn read_to_end(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
