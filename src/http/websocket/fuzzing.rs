//! What fuzzers call of WebSockets: bytes as they come, and messages.

#![expect(clippy::expect_used, reason = "what must be true is expected")]

use std::io::{self, Cursor, Read, Write};

use serde::de::IgnoredAny;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{Role, WebSocket},
};

use super::{
    FRAME_BYTES_MAX, config,
    frames::Count,
    message::{Incoming, Outgoing},
};

/// A message that is taken is one of the protocol, and what is answered to it is JSON.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(message) = Incoming::parse(text) else { return };
    assert!(text.len() <= 32 * 1024);
    serde_json::from_str::<IgnoredAny>(text).expect("it is JSON");
    // A payload that comes back unread may hold what no text in memory can: half of a letter.
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let id_fits = |id: &str| (1..=128).contains(&id.len()) && json["id"] == *id;
    match message {
        Incoming::Init(credentials) => {
            assert_eq!(json["type"], "connection_init");
            assert!(credentials.is_none_or(|it| text.contains('"') && it.len() <= text.len()));
        }
        Incoming::Ping(payload) => {
            let Message::Text(pong) = Outgoing::new("pong", payload).frame() else {
                panic!("no text")
            };
            let pong: serde_json::Value = serde_json::from_str(&pong).expect("it is JSON");
            assert_eq!((&pong["type"], &pong["payload"]), (&"pong".into(), &json["payload"]));
        }
        Incoming::Pong => assert_eq!(json["type"], "pong"),
        Incoming::Renew(credentials) => assert!(!credentials.trim().is_empty()),
        Incoming::Subscribe(id, parameters) => {
            assert!(id_fits(&id));
            assert_eq!(json["payload"]["query"].as_str(), parameters.query.as_deref());
        }
        Incoming::Complete(id) => assert!(id_fits(&id)),
    }
}

/// Frames are counted alike however the network cuts them, and no message comes of bytes in which fewer frames were counted.
pub fn frames(data: &[u8]) {
    let whole = Count::of(data, data.len());
    for cut in [1, 2, 7, 1_000] {
        assert_eq!(Count::of(data, cut), whole, "cut after {cut} bytes");
    }
    let wire = Wire(Cursor::new(data));
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(config()));
    let mut messages = 0;
    // Ends with the bytes, if not before.
    while let Ok(read) = socket.read() {
        assert!(read.len() <= FRAME_BYTES_MAX);
        messages += 1;
        if let Message::Text(text) = read {
            message(text.as_bytes());
        }
    }
    assert!(whole.frames >= messages, "{messages} messages in {} frames", whole.frames);
}

/// Bytes that were received, and nobody who is told anything.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
