//! Many WebSockets over loopback that only listen, and count what they are told.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::Result;

/// Sockets being opened at once.
const AT_ONCE: usize = 64;
/// Ports of one source address that are used; loopback has many addresses.
const PORTS: usize = 20_000;
/// A masked pong without a payload.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// What all of them were told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Text messages.
    pub(crate) messages: AtomicUsize,
    /// The size of the last one, in bytes.
    pub(crate) bytes: AtomicUsize,
}

impl Heard {
    /// Waits until so many messages have come.
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
    let mut listening = JoinSet::new();
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for (index, says) in says.into_iter().enumerate() {
        let permit = permits.clone().acquire_owned().await?;
        opening.spawn(async move {
            let stream = connect(address, index, &says).await;
            drop(permit);
            stream
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

async fn connect(address: SocketAddr, index: usize, says: &[String]) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let source =
        Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 2).to_bits() + u32::try_from(index / PORTS)?);
    socket.bind(SocketAddr::from((source, 0)))?;
    let mut stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let request = "GET /graphql HTTP/1.1\r\nhost: bench\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(String::from_utf8_lossy(&head).into_owned().into());
    }
    for text in says {
        stream.write_all(&frame(text)?).await?;
    }
    Ok(stream)
}

/// A text message as clients send it, under a mask that changes nothing.
fn frame(text: &str) -> Result<Vec<u8>> {
    let length = u16::try_from(text.len())?;
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    Ok(frame)
}

async fn listen(mut stream: TcpStream, heard: Arc<Heard>) {
    let mut pending = Vec::new();
    while stream.read_buf(&mut pending).await.is_ok_and(|read| read > 0) {
        while let Some((opcode, length)) = first_frame(&pending) {
            pending.drain(..length);
            match opcode {
                0x1 => {
                    heard.bytes.store(length, Ordering::Relaxed);
                    heard.messages.fetch_add(1, Ordering::Relaxed);
                }
                0x9 if stream.write_all(&PONG).await.is_err() => return,
                _ => {}
            }
        }
        pending.shrink_to(0);
    }
}

/// The first frame of a server's bytes, if all of it is there: its kind and how long it is. None is longer than 64 KiB.
fn first_frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let length = match bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        short => 2 + usize::from(*short),
    };
    (bytes.len() >= length).then_some((bytes[0] & 0x0f, length))
}
