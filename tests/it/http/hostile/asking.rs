//! One line of the table: bytes that are sent as they are, and what comes back, in a few words.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::frames::{CLOSE, FINAL, TEXT, frame};

/// Longer than anybody waits for an answer here.
const SOON: Duration = Duration::from_secs(40);

/// A line of the table.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) sent: Sent,
    /// What is answered, as [`told`] puts it.
    pub(super) expected: String,
}

/// What a row sends.
pub(super) enum Sent {
    /// Bytes of HTTP.
    Http(Vec<u8>),
    /// Bytes of HTTP, and then the client says that no more will come.
    HttpToTheEnd(Vec<u8>),
    /// A WebSocket is opened, and these bytes are sent over it.
    Socket(Vec<u8>),
    /// The same; and when so many messages have come back, the client says farewell.
    Talk(Vec<u8>, usize),
}

/// A row.
pub(super) fn row(name: impl Into<String>, sent: impl Into<Sent>, expected: &str) -> Row {
    Row { name: name.into(), sent: sent.into(), expected: expected.to_owned() }
}

/// A request that can be spoilt before it is sent.
#[derive(Clone)]
pub(super) struct Http {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Http {
    /// A request without a body. It is the connection's last one.
    pub(super) fn new(line: &str) -> Self {
        let headers = ["host: tickets.example", "connection: close"];
        let headers = headers.iter().map(|&header| header.to_owned()).collect();
        Self { line: line.to_owned(), headers, body: Vec::new() }
    }

    /// A well-formed POST of GraphQL with this body.
    pub(super) fn post(body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST /graphql HTTP/1.1")
            .header("content-type: application/json")
            .header("accept: application/graphql-response+json")
            .body(body)
    }

    /// A well-formed POST of a document with variables.
    pub(super) fn document(query: &str, variables: &Value) -> Self {
        Self::post(json!({ "query": query, "variables": variables }).to_string())
    }

    /// One header more.
    pub(super) fn header(mut self, header: impl Into<String>) -> Self {
        self.headers.push(header.into());
        self
    }

    /// The same without a header.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|header| !header.to_lowercase().starts_with(&format!("{name}:")));
        self
    }

    /// The same with another value of a header.
    pub(super) fn with(self, name: &str, value: &str) -> Self {
        self.without(name).header(format!("{name}: {value}"))
    }

    /// In somebody's session.
    pub(super) fn of(self, token: &str) -> Self {
        self.header(format!("authorization: Bearer {token}"))
    }

    /// With a body, whose length is told.
    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.with("content-length", &length)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.line);
        for header in &self.headers {
            head += header;
            head += "\r\n";
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl From<Http> for Sent {
    fn from(http: Http) -> Self {
        Self::Http(http.bytes())
    }
}

impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self::Http(text.as_bytes().to_vec())
    }
}

/// Messages of the protocol as frames; and a farewell when all has come that is expected before the end.
pub(super) fn messages(texts: &[String], expected: &str) -> Sent {
    let frames = texts.iter().flat_map(|text| frame(FINAL | TEXT, text.as_bytes()));
    Sent::Talk(frames.collect(), expected.split(' ').count() - 1)
}

/// A proper end of a WebSocket.
pub(super) fn farewell() -> Vec<u8> {
    frame(FINAL | CLOSE, &[0x03, 0xe8])
}

/// What a server said: in words, and as it was.
pub(super) struct Told {
    pub(super) words: String,
    pub(super) text: String,
}

/// Sends what a row sends.
pub(super) async fn ask(address: SocketAddr, sent: &Sent) -> Told {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let (bytes, socket) = match sent {
        Sent::Http(bytes) | Sent::HttpToTheEnd(bytes) => (bytes, None),
        Sent::Socket(bytes) | Sent::Talk(bytes, _) => {
            (bytes, Some(open(&mut stream, address).await))
        }
    };
    let (mut reading, mut writing) = stream.into_split();
    let mut talk = Vec::new();
    if let Sent::Talk(_, answers) = sent {
        drop(writing.write_all(bytes).await);
        talk = until(&mut reading, *answers).await;
    }
    let write = async {
        // Who is cut off while it writes reads all the same.
        let last = if matches!(sent, Sent::Talk(..)) { &farewell() } else { bytes };
        drop(writing.write_all(last).await);
        if matches!(sent, Sent::HttpToTheEnd(_)) {
            drop(writing.shutdown().await);
        }
        writing
    };
    let (told, _open) = tokio::join!(rest(&mut reading), write);
    let Some(told) = told.map(|rest| [talk, rest].concat()) else {
        return Told { words: "silence".to_owned(), text: String::new() };
    };
    let words = match &socket {
        Some(101) => frames(&told),
        Some(status) => status.to_string(),
        None => answers(&told, bytes.starts_with(b"HEAD ")),
    };
    Told { words, text: String::from_utf8_lossy(&told).into_owned() }
}

/// Opens a WebSocket; the status of the answer.
async fn open(stream: &mut TcpStream, address: SocketAddr) -> u16 {
    stream.write_all(&handshake(address).bytes()).await.expect("sent");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        timeout(SOON, stream.read_exact(&mut byte)).await.expect("an answer").expect("an answer");
        head.push(byte[0]);
    }
    status(&head)
}

/// What opens a WebSocket.
pub(super) fn handshake(host: impl std::fmt::Display) -> Http {
    Http::new("GET /graphql HTTP/1.1")
        .with("host", &host.to_string())
        .with("connection", "upgrade")
        .header("upgrade: websocket")
        .header("sec-websocket-version: 13")
        .header("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol: graphql-transport-ws")
}

/// What comes until so many messages are among it, or the server has said farewell or nothing more.
async fn until(stream: &mut (impl AsyncRead + Unpin), answers: usize) -> Vec<u8> {
    let (mut told, mut part) = (Vec::new(), [0; 4096]);
    let read = async {
        while !has(&told, answers) {
            match stream.read(&mut part).await {
                Ok(count) if count > 0 => told.extend(&part[..count]),
                _ => break,
            }
        }
    };
    // What does not come is missing in the row's words.
    drop(timeout(SOON, read).await);
    told
}

/// Whether so many messages are there, or the end.
fn has(mut told: &[u8], answers: usize) -> bool {
    let mut texts = 0;
    while let Some((opcode, _, others)) = first_frame(told) {
        if opcode == CLOSE {
            return true;
        }
        texts += usize::from(opcode == TEXT);
        told = others;
    }
    texts >= answers
}

/// Everything until the server hangs up; `None` if it does not.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut told = Vec::new();
    // A connection that is reset has said what it had to say.
    drop(timeout(SOON, stream.read_to_end(&mut told)).await.ok()?);
    Some(told)
}

fn status(head: &[u8]) -> u16 {
    let text = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    text.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The answers of HTTP: status and code of each.
fn answers(mut told: &[u8], without_body: bool) -> String {
    let mut words = Vec::new();
    while let Some(end) = told.windows(4).position(|part| part == b"\r\n\r\n") {
        let (head, after) = told.split_at(end + 4);
        let text = String::from_utf8_lossy(head).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let length = if without_body { 0 } else { after.len().min(length) };
        let (body, others) = after.split_at(length);
        words.push(format!("{} {}", status(head), code(body)).trim_end().to_owned());
        told = others;
    }
    if words.is_empty() { "closed".to_owned() } else { words.join(", ") }
}

/// What a body says: the first error's code, the first refusal's, `ok`, or how it begins when it is no GraphQL.
fn code(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        return text.split_whitespace().next().unwrap_or_default().to_owned();
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(code) = text(&answer["errors"][0]["extensions"]["code"]) {
        return code;
    }
    let payload = answer["data"].as_object().and_then(|data| data.values().next());
    let refused = payload.and_then(|payload| text(&payload["userErrors"][0]["code"]));
    refused
        .unwrap_or_else(|| if answer["data"].is_object() { "ok".into() } else { "no data".into() })
}

/// What came over a WebSocket: the messages in order, and how it ended.
fn frames(mut told: &[u8]) -> String {
    let mut words = Vec::new();
    while let Some((opcode, payload, others)) = first_frame(told) {
        match opcode {
            TEXT => words.push(message(payload)),
            CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                words.push(code.to_string());
                return words.join(" ");
            }
            _ => {}
        }
        told = others;
    }
    words.push("gone".to_owned());
    words.join(" ")
}

/// The first frame's kind and payload, and what comes after it; `None` until all of it is there.
fn first_frame(told: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([first, length], after) = told.split_first_chunk()?;
    let (length, after) = match *length {
        126 => {
            let (length, after) = after.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), after)
        }
        127 => panic!("a frame of more than 64 KiB"),
        short => (usize::from(short), after),
    };
    let (payload, others) = after.split_at_checked(length)?;
    Some((first & 0x0f, payload, others))
}

fn message(text: &[u8]) -> String {
    let Ok(message) = serde_json::from_slice::<Value>(text) else {
        // Nests deeper than can be read.
        let pong = text.starts_with(b"{\"type\":\"pong\",");
        return if pong { "pong" } else { "unreadable" }.to_owned();
    };
    let kind = message["type"].as_str().expect("a type");
    match kind {
        "connection_ack" => "ack".to_owned(),
        "error" => message["payload"][0]["extensions"]["code"].as_str().expect("a code").to_owned(),
        _ => kind.to_owned(),
    }
}

#[test]
fn answers_are_put_into_words() {
    let told = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 400 Bad Request\r\n\
                 Content-Length: 0\r\n\r\n";
    assert_eq!(answers(told, false), "100, 200 no data, 400");
    assert_eq!(answers(b"", false), "closed");
    for (body, expected) in [
        (r#"{"data":{"__typename":"Query"}}"#, "ok"),
        (r#"{"data":null,"errors":[{"extensions":{"code":"FORBIDDEN"}}]}"#, "FORBIDDEN"),
        (r#"{"data":{"pay":{"userErrors":[{"code":"NO"}]}}}"#, "NO"),
        ("live\n", "live"),
        ("", ""),
    ] {
        assert_eq!(code(body.as_bytes()), expected);
    }
    let frames_of =
        |text: &str| [&[0x81, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let ack = frames_of(r#"{"type":"connection_ack"}"#);
    assert_eq!(frames(&[ack.as_slice(), &[0x8a, 0], &[0x88, 2, 0x11, 0x30]].concat()), "ack 4400");
    assert_eq!(frames(&ack), "ack gone");
}
