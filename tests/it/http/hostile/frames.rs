//! WebSocket frames that no client may send, and floods of those that it may.

use super::{
    asking::{Row, Sent, farewell, row},
    scene::Scene,
};
use crate::support::frames::{BINARY, CLOSE, FINAL, MORE, PING, PONG, TEXT, frame, head};

/// Frames that a client may send in a minute.
const MINUTE: usize = 300;

pub(super) fn rows(_: &Scene) -> Vec<Row> {
    let rows = broken().into_iter().chain(texts()).chain(sizes()).chain(floods());
    rows.map(|(name, frames, expected)| {
        row(format!("a frame: {name}"), Sent::Socket(frames), expected)
    })
    .collect()
}

type Frames = (&'static str, Vec<u8>, &'static str);

fn broken() -> Vec<Frames> {
    let unmasked = [head(FINAL | TEXT, 0, 2), b"{}".to_vec()].concat();
    let ping = [head(FINAL | PING, 0, 1), b"x".to_vec()].concat();
    vec![
        ("HTTP", b"GET /health/live HTTP/1.1\r\n\r\n".to_vec(), "1002"),
        ("no mask", unmasked, "1002"),
        ("a ping without a mask", ping, "1002"),
        ("the first reserved bit", frame(FINAL | 0x40 | TEXT, b"{}"), "1002"),
        ("the second reserved bit", frame(FINAL | 0x20 | TEXT, b"{}"), "1002"),
        ("the third reserved bit", frame(FINAL | 0x10 | TEXT, b"{}"), "1002"),
        ("a reserved bit of a ping", frame(FINAL | 0x40 | PING, b""), "1002"),
        ("an unknown kind of data", frame(FINAL | 3, b"{}"), "1002"),
        ("another", frame(FINAL | 7, b"{}"), "1002"),
        ("an unknown kind of control", frame(FINAL | 11, b""), "1002"),
        ("another of control", frame(FINAL | 15, b""), "1002"),
        ("a ping in pieces", frame(PING, b"a"), "1002"),
        ("a pong in pieces", frame(PONG, b"a"), "1002"),
        ("an end in pieces", frame(CLOSE, &[0x03, 0xe8]), "1002"),
        ("a ping of 126 bytes", frame(FINAL | PING, &[0; 126]), "1002"),
        ("an end of 126 bytes", frame(FINAL | CLOSE, &[b'a'; 126]), "1002"),
        ("a piece of nothing", frame(FINAL | MORE, b"{}"), "1002"),
        ("a text within a text", [frame(TEXT, b"{"), frame(FINAL | TEXT, b"}")].concat(), "1002"),
        ("half a close code", frame(FINAL | CLOSE, &[3]), "1002"),
        ("a close code of 0", frame(FINAL | CLOSE, &[0, 0]), "1002"),
        ("a close code of 999", frame(FINAL | CLOSE, &999_u16.to_be_bytes()), "1002"),
        (
            "a close code that stands for none",
            frame(FINAL | CLOSE, &1005_u16.to_be_bytes()),
            "1002",
        ),
        (
            "a close code that stands for a broken line",
            frame(FINAL | CLOSE, &1006_u16.to_be_bytes()),
            "1002",
        ),
        ("a close code of 65535", frame(FINAL | CLOSE, &[0xff, 0xff]), "1002"),
        ("bytes that are no message", frame(FINAL | BINARY, b"{\"type\":\"start\"}"), "4400"),
        ("a message in bytes that are no UTF-8", frame(FINAL | BINARY, b"{\"\xff\"}"), "4400"),
        ("half a surrogate in bytes", frame(FINAL | BINARY, b"{\"\xed\xa0\xbc\"}"), "4400"),
        ("bytes beyond what is read", frame(FINAL | BINARY, &[b' '; 32 * 1024 + 1]), "1009"),
        ("no bytes at all", frame(FINAL | BINARY, b""), "4400"),
    ]
}

fn texts() -> Vec<Frames> {
    vec![
        ("bytes that are no UTF-8", frame(FINAL | TEXT, b"{\"\xff\xfe\"}"), "1007"),
        ("half a letter", frame(FINAL | TEXT, b"\xc3"), "1007"),
        ("an overlong slash", frame(FINAL | TEXT, b"\xc0\xaf"), "1007"),
        ("a surrogate", frame(FINAL | TEXT, b"\xed\xa0\x80"), "1007"),
        ("beyond Unicode", frame(FINAL | TEXT, b"\xf4\x90\x80\x80"), "1007"),
        ("no UTF-8, in pieces", [frame(TEXT, b"\xc3"), frame(FINAL | MORE, b"(")].concat(), "1007"),
        ("a reason that is no UTF-8", frame(FINAL | CLOSE, b"\x03\xe8\xff"), "1007"),
        ("NUL", frame(FINAL | TEXT, b"\0"), "4400"),
        (
            "a byte order mark",
            frame(FINAL | TEXT, "\u{feff}{\"type\":\"ping\"}".as_bytes()),
            "4400",
        ),
    ]
}

fn sizes() -> Vec<Frames> {
    let announced = |length: u64| [head(FINAL | TEXT, 0x80, length), vec![1, 2, 3, 4]].concat();
    let pieces = [
        frame(TEXT, &[b' '; 32 * 1024]),
        frame(MORE, &[b' '; 32 * 1024]),
        frame(FINAL | MORE, &[b' '; 1024]),
    ];
    vec![
        ("an empty text", frame(FINAL | TEXT, b""), "4400"),
        ("32 KiB and a byte", frame(FINAL | TEXT, &[b' '; 32 * 1024 + 1]), "1009"),
        ("64 KiB and a byte", frame(FINAL | TEXT, &[b' '; 64 * 1024 + 1]), "1009"),
        ("64 KiB in pieces", pieces.concat(), "1009"),
        ("16 MB", frame(FINAL | TEXT, &vec![b' '; 16 * 1024 * 1024]), "1009"),
        ("2 GB announced", announced(1 << 31), "1009"),
        ("8 EB announced", announced(1 << 63), "1009"),
        ("all that can be announced", announced(u64::MAX), "1009"),
        (
            "a length in two bytes that fits in one",
            [vec![FINAL | PING, 0x80 | 126, 0, 1], vec![0, 0, 0, 0, b'a']].concat(),
            "1002",
        ),
        (
            "a length in eight bytes that fits in two",
            [vec![FINAL | TEXT, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 1], vec![0, 0, 0, 0, b'a']]
                .concat(),
            "1002",
        ),
    ]
}

fn floods() -> Vec<Frames> {
    let pieces = [frame(TEXT, b""), frame(MORE, b"").repeat(MINUTE)].concat();
    let all_but_one = [frame(FINAL | PING, b"").repeat(MINUTE - 1), farewell()].concat();
    vec![
        ("301 pings", frame(FINAL | PING, b"").repeat(MINUTE + 1), "4429"),
        ("301 pongs that nobody asked for", frame(FINAL | PONG, b"x").repeat(MINUTE + 1), "4429"),
        ("301 pieces of one message", pieces, "4429"),
        ("100,000 pings", frame(FINAL | PING, b"").repeat(100_000), "4429"),
        ("as many pings as may be", all_but_one, "1000"),
        ("nothing", Vec::new(), "4408"),
        ("half a frame", vec![FINAL | TEXT], "4408"),
        ("a message that goes on for ever", frame(TEXT, b"{"), "4408"),
    ]
}
