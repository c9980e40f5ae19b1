//! A WebSocket client that speaks `graphql-transport-ws` and keeps no buffers while it is idle.
//!
//! Fifty thousand of them have to fit beside the server, so bytes are read through the stack and kept only while a
//! message is incomplete.

use std::{future::poll_fn, io, pin::Pin, task::ready, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::{Sources, Target, http::Signature, refusal::Refusal, stream::Stream};

/// The key of RFC 6455's example and its answer. A key guards against caches that mistake a socket for a page, and there are
/// none between us and the server.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const HANDSHAKE: Duration = Duration::from_secs(15);
const READ_BYTES: usize = 4_096;
const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// What came over a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// `connection_ack`.
    Ack,
    /// The payload of a `next` message.
    Next(Vec<u8>),
    /// The payload of an `error` message.
    Error(Vec<u8>),
    /// The subscription is over.
    Complete,
}

/// A socket after the handshake.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    /// The beginning of a frame whose rest has not come yet.
    pending: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    opcode: u8,
    payload: std::ops::Range<usize>,
}

impl Socket {
    /// Connects, says who it is, and subscribes; the ids of the subscriptions are their places in the list.
    ///
    /// # Errors
    /// When the server refuses any of that, or is silent.
    pub async fn subscribe(
        target: &Target,
        sources: &Sources,
        session: &str,
        payloads: &[String],
    ) -> io::Result<Self> {
        timeout(HANDSHAKE, Box::pin(Self::open(target, sources, session, payloads)))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn open(
        target: &Target,
        sources: &Sources,
        session: &str,
        payloads: &[String],
    ) -> io::Result<Self> {
        let mut socket = Self::connect(target, sources).await?;
        let init = format!(
            r#"{{"type":"connection_init","payload":{{"authorization":"Bearer {session}"}}}}"#
        );
        socket.send(&init).await?;
        match socket.next().await? {
            Pushed::Ack => {}
            other => return Err(io::Error::other(format!("no acknowledgement but {other:?}"))),
        }
        for (id, payload) in payloads.iter().enumerate() {
            let message = format!(r#"{{"type":"subscribe","id":"{id}","payload":{payload}}}"#);
            socket.send(&message).await?;
        }
        Ok(socket)
    }

    /// Connects and shakes hands; nothing is said yet.
    ///
    /// # Errors
    /// When the server is no WebSocket.
    pub async fn connect(target: &Target, sources: &Sources) -> io::Result<Self> {
        let mut socket =
            Self { stream: sources.connect(target).await?, pending: Vec::with_capacity(512) };
        let Target { host, path, .. } = target;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\
             sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        );
        socket.stream.write_all(request.as_bytes()).await?;
        socket.stream.flush().await?;
        socket.shake_hands().await?;
        Ok(socket)
    }

    async fn shake_hands(&mut self) -> io::Result<()> {
        let end = loop {
            if let Some(end) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101") || !head.contains(ACCEPT) {
            let Signature { status, refused_by, server } = Signature::of(head.as_bytes());
            return Err(io::Error::other(Refusal::Http { status, by: refused_by.or(server) }));
        }
        self.pending.drain(..end);
        Ok(())
    }

    /// Waits for bytes and takes them. Nothing is lost when this is dropped half way.
    async fn fill(&mut self) -> io::Result<()> {
        let Self { stream, pending } = self;
        poll_fn(|context| {
            // On the stack, and only while there is something to read.
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into()).into();
            }
            pending.extend_from_slice(read.filled());
            Ok(()).into()
        })
        .await
    }

    /// What is pushed next; pings are answered on the way. Nothing is lost when this is dropped half way.
    ///
    /// # Errors
    /// When the socket is closed, by whatever side.
    pub async fn next(&mut self) -> io::Result<Pushed> {
        self.next_of().await.map(|(_, pushed)| pushed)
    }

    /// The same, and to which subscription.
    ///
    /// # Errors
    /// As [`Socket::next`].
    pub async fn next_of(&mut self) -> io::Result<(usize, Pushed)> {
        loop {
            // That the session is about to end is told in a `ping`; whoever rehearses is gone by then.
            if let Some(pushed) = message(&self.next_text().await?)? {
                return Ok(pushed);
            }
        }
    }

    /// The next message as it came, whatever it says; pings are answered on the way. Nothing is lost when this is dropped
    /// half way.
    ///
    /// # Errors
    /// As [`Socket::next`].
    pub async fn next_text(&mut self) -> io::Result<Vec<u8>> {
        loop {
            while let Some(frame) = parse(&self.pending)? {
                let text = self.take(&frame)?;
                if frame.payload.end == self.pending.len() {
                    // An idle socket keeps nothing.
                    self.pending = Vec::new();
                } else {
                    self.pending.drain(..frame.payload.end);
                }
                if let Some(text) = text {
                    return Ok(text);
                }
            }
            self.fill().await?;
        }
    }

    fn take(&mut self, frame: &Frame) -> io::Result<Option<Vec<u8>>> {
        let payload = &self.pending[frame.payload.clone()];
        match frame.opcode {
            0x1 => Ok(Some(payload.to_vec())),
            0x8 => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                let closed = Refusal::Closed { code, reason: reason.into_owned() };
                Err(io::Error::new(io::ErrorKind::ConnectionReset, closed))
            }
            0x9 => {
                // Some ten bytes into an empty buffer: they always fit, and a pong more or less is no matter.
                let pong = masked(0xA, payload);
                self.stream.write_now(&pong);
                Ok(None)
            }
            0xA => Ok(None),
            _ => Err(io::Error::other("a frame that nobody expects here")),
        }
    }

    /// Says something.
    ///
    /// # Errors
    /// When the socket is closed.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&masked(0x1, text.as_bytes())).await?;
        self.stream.flush().await
    }
}

/// What a message says, and to which subscription; 0 where it speaks of the connection. Nothing of a `ping`.
fn message(text: &[u8]) -> io::Result<Option<(usize, Pushed)>> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(default)]
        id: Option<&'a str>,
        #[serde(borrow, default)]
        payload: Option<&'a RawValue>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(text)?;
    let payload = || envelope.payload.map_or_else(Vec::new, |raw| raw.get().as_bytes().to_vec());
    let pushed = match envelope.kind {
        "connection_ack" => Pushed::Ack,
        "next" => Pushed::Next(payload()),
        "error" => Pushed::Error(payload()),
        "complete" => Pushed::Complete,
        "ping" | "pong" => return Ok(None),
        other => return Err(io::Error::other(format!("a message of type {other}"))),
    };
    let id = envelope.id.map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    Ok(Some((id, pushed)))
}

/// The first frame, once all of it is there. Servers do not mask, and this one does not fragment.
fn parse(bytes: &[u8]) -> io::Result<Option<Frame>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x80 == 0 || second & 0x80 != 0 {
        return Err(io::Error::other("a fragmented or masked frame"));
    }
    let (extra, length) = match second & 0x7f {
        126 => (2, rest.first_chunk().map(|two| u64::from(u16::from_be_bytes(*two)))),
        127 => (8, rest.first_chunk().map(|eight| u64::from_be_bytes(*eight))),
        short => (0, Some(u64::from(short))),
    };
    let Some(length) = length else { return Ok(None) };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("a frame that is too long"));
    }
    let payload = 2 + extra..2 + extra + length;
    Ok((bytes.len() >= payload.end).then_some(Frame { opcode: first & 0x0f, payload }))
}

/// A frame as clients send it.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame
                .extend_from_slice(&u64::try_from(payload.len()).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    let mask = fastrand::u32(..).to_be_bytes();
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = masked(opcode, payload);
        let header = frame.len() - payload.len() - 4;
        frame.drain(header..header + 4);
        frame[1] &= 0x7f;
        frame.truncate(header);
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn frames_of_every_length_are_read_once_they_are_complete() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let bytes = unmasked(0x1, &payload);
            for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{length} cut at {cut}");
            }
            let frame = parse(&bytes).unwrap().expect("a frame");
            assert_eq!(frame.opcode, 0x1);
            assert_eq!(&bytes[frame.payload], payload);
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_an_error() {
        assert!(parse(&masked(0x1, b"masked")).is_err());
        assert!(parse(&[0x01, 0x00]).is_err());
        let mut huge = vec![0x81, 127];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(parse(&huge).is_err());
    }

    #[test]
    fn messages_of_the_protocol_are_told_apart() {
        let read = |text: &str| message(text.as_bytes()).unwrap().unwrap();
        assert_eq!(read(r#"{"type":"connection_ack"}"#), (0, Pushed::Ack));
        assert_eq!(read(r#"{"type":"complete","id":"1"}"#), (1, Pushed::Complete));
        let next = read(r#"{"type":"next","id":"2","payload":{"data":1}}"#);
        assert_eq!(next, (2, Pushed::Next(br#"{"data":1}"#.to_vec())));
        assert_eq!(message(br#"{"type":"ping","payload":{}}"#).unwrap(), None);
        assert!(message(b"{").is_err());
        assert!(message(br#"{"type":"complete","id":"ours?"}"#).is_err());
    }
}
