//! WebSockets, frame by frame: what breaks the protocol is told so, by its code, and frames that say nothing count.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::connect;
use crate::support::{
    eventually,
    frames::{CLOSE, FINAL, MORE, PING, TEXT, frame, head},
    world::World,
};

const SOON: Duration = Duration::from_secs(10);

/// A text of which nothing but the length has come.
fn announced(length: u64) -> Vec<u8> {
    [head(FINAL | TEXT, 0x80, length), vec![1, 2, 3, 4]].concat()
}

/// Opens a WebSocket by hand.
async fn open(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address).await;
    let handshake = format!(
        "GET /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        timeout(SOON, stream.read_exact(&mut byte)).await.expect("an answer").unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

/// The code that the server closes with. What else it says is skipped; that the connection ends is waited for.
async fn close_code(stream: &mut TcpStream) -> u16 {
    let mut told = Vec::new();
    drop(timeout(SOON, stream.read_to_end(&mut told)).await.expect("the server hangs up"));
    let mut rest = &*told;
    while let [first, length, ..] = *rest {
        assert!(length < 126, "a short frame");
        let (frame, others) = rest[2..].split_at(usize::from(length));
        if first == FINAL | CLOSE {
            return u16::from_be_bytes([frame[0], frame[1]]);
        }
        rest = others;
    }
    panic!("no close frame in {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_is_told_by_its_code() {
    let world = World::new().await;
    let instance = world.quiet_instance(&[]).await;
    let unmasked = [head(FINAL | TEXT, 0, 2), b"{}".to_vec()].concat();
    let in_pieces = [
        frame(TEXT, &[b' '; 32 * 1024]),
        frame(MORE, &[b' '; 32 * 1024]),
        frame(FINAL | MORE, &[b' '; 1024]),
    ];
    let cases = [
        ("a reserved bit", frame(FINAL | 0x40 | TEXT, b"{}"), 1002),
        ("all reserved bits", frame(FINAL | 0x70 | PING, b""), 1002),
        ("an unknown kind of data", frame(FINAL | 3, b"{}"), 1002),
        ("an unknown kind of control", frame(FINAL | 11, b""), 1002),
        ("no mask", unmasked, 1002),
        ("a long ping", frame(FINAL | PING, &[0; 126]), 1002),
        ("a very long ping", frame(FINAL | PING, &[0; 1024]), 1002),
        ("a ping in pieces", frame(PING, b"a"), 1002),
        ("a piece of nothing", frame(FINAL | MORE, b"{}"), 1002),
        ("a text within a text", [frame(TEXT, b"{"), frame(FINAL | TEXT, b"}")].concat(), 1002),
        ("half a close code", frame(FINAL | CLOSE, &[3]), 1002),
        ("a close code that nobody may send", frame(FINAL | CLOSE, &[0x03, 0xed]), 1002),
        ("bad UTF-8", frame(FINAL | TEXT, b"{\"\xff\xfe\"}"), 1007),
        ("half a letter", frame(FINAL | TEXT, b"\xc3"), 1007),
        ("bad UTF-8 in pieces", [frame(TEXT, b"\xc3"), frame(FINAL | MORE, b"(")].concat(), 1007),
        ("bad UTF-8 in a reason", frame(FINAL | CLOSE, b"\x03\xe8\xff"), 1007),
        ("a message in pieces", in_pieces.concat(), 1009),
        ("a message over the limit", frame(FINAL | TEXT, &[b' '; 64 * 1024 + 1]), 1009),
        ("16 MB", frame(FINAL | TEXT, &[b' '; 16 * 1024 * 1024]), 1009),
        ("8 EB announced", announced(1 << 63), 1009),
        ("all that can be announced", announced(u64::MAX), 1009),
        ("a proper end", frame(FINAL | CLOSE, &[0x03, 0xe8]), 1000),
    ];
    let broken = cases.map(async |(what, frames, code)| {
        let mut stream = open(instance.address).await;
        // Who is cut off while it writes reads all the same.
        drop(stream.write_all(&frames).await);
        assert_eq!(close_code(&mut stream).await, code, "{what}");
    });
    join_all(broken).await;
    eventually("all to be closed", async || {
        (instance.app.metrics.sockets.get() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_say_nothing_count_as_messages() {
    const LIMIT: usize = 300;
    let world = World::new().await;
    let instance = world.quiet_instance(&[]).await;
    let nothing = frame(MORE, b"");
    let pieces = [frame(TEXT, b""), nothing.repeat(LIMIT)].concat();
    let pings = frame(FINAL | PING, b"").repeat(LIMIT + 1);
    for (what, frames) in [("pieces of one message", pieces), ("pings", pings)] {
        let mut stream = open(instance.address).await;
        stream.write_all(&frames).await.unwrap();
        assert_eq!(close_code(&mut stream).await, 4429, "{what}");
    }
    // As many as are allowed say what they say in the end.
    let mut stream = open(instance.address).await;
    let end = frame(FINAL | CLOSE, &[0x03, 0xe8]);
    let allowed = [frame(FINAL | PING, b"").repeat(LIMIT - 1), end].concat();
    stream.write_all(&allowed).await.unwrap();
    assert_eq!(close_code(&mut stream).await, 1000);
}
