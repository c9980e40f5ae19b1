//! What connections may cost, with limits that are short. Clients are plain sockets: what they do, no library would.

use std::net::IpAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;
use crate::telemetry::ReasonLabels;

const HEALTH: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
const MIB: usize = 1024 * 1024;
/// Far longer than the limits of these tests, and far shorter than the usual ones.
const SOON: Duration = Duration::from_secs(8);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn within(limits: Limits) -> Server {
    Server::with(limits, &[]).await
}

/// Limits that nothing reaches within a test but what it shortens.
fn limits() -> Limits {
    Limits {
        first_byte: SOON * 10,
        head: SOON * 10,
        idle: SOON * 10,
        write: SOON * 10,
        goodbye: ms(100),
        ..Limits::default()
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects from another address of this machine.
    async fn connect_from(&self, address: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse::<IpAddr>().unwrap(), 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    fn ended(&self, reason: &'static str) -> u64 {
        self.metrics.connections_ended.get_or_create(&ReasonLabels { reason }).get()
    }

    fn refused(&self, reason: &'static str) -> u64 {
        self.metrics.connections_refused.get_or_create(&ReasonLabels { reason }).get()
    }
}

/// A request for an answer of that size.
fn large(bytes: usize) -> Vec<u8> {
    post(&json!({ "query": format!("{{ large(bytes: {bytes}) }}") }).to_string())
}

fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
    format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// All that comes until the server hangs up.
async fn rest(stream: &mut TcpStream) -> String {
    let mut told = Vec::new();
    timeout(SOON, stream.read_to_end(&mut told)).await.expect("it hangs up").unwrap();
    String::from_utf8(told).unwrap()
}

/// Reads one whole answer.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        timeout(SOON, stream.read_exact(&mut byte)).await.expect("an answer").unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    timeout(SOON, stream.read_exact(&mut body)).await.expect("a body").unwrap();
    (head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
}

/// Says something from time to time until the server hangs up.
async fn trickle(stream: &mut TcpStream, bytes: &[u8], pause: Duration) {
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        let mut told = [0; 64];
        if let Ok(Ok(0) | Err(_)) = timeout(pause, stream.read(&mut told)).await {
            return;
        }
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let server = within(Limits { first_byte: ms(300), ..limits() }).await;
    let mut silent = server.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    until(|| server.ended("first_byte") == 1 && server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn a_head_has_to_come_in_time_however_steadily_it_comes() {
    let server = within(Limits { head: ms(500), ..limits() }).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    timeout(SOON, trickle(&mut slow, b"x-a: b\r\n", ms(50))).await.expect("it hangs up");
    until(|| server.ended("head") == 1 && server.metrics.connections.get() == 0).await;
    let mut half = server.connect().await;
    half.write_all(b"GET /").await.unwrap();
    assert!(rest(&mut half).await.starts_with("HTTP/1.1 408 "));
    // The second request's head has the same limit.
    let mut again = server.connect().await;
    again.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut again).await.0, 200);
    again.write_all(b"GET /").await.unwrap();
    assert!(rest(&mut again).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(server.ended("head"), 3);
}

#[tokio::test]
async fn the_rest_of_a_body_behind_its_answer_is_no_head() {
    let head = ms(300);
    let server = within(Limits { head, ..limits() }).await;
    let mut stream = server.connect().await;
    let request = b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(answer(&mut stream).await.0, 404);
    stream.write_all(b"rest").await.unwrap();
    // Longer than a head may take, with the sweep.
    tokio::time::sleep(head * 3).await;
    stream.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut stream).await.0, 200);
    assert_eq!(server.ended("head"), 0);
}

#[tokio::test]
async fn a_head_may_have_sixteen_kib() {
    let server = within(limits()).await;
    let field =
        |bytes: usize| format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(bytes));
    let mut fits = server.connect().await;
    fits.write_all(format!("{}\r\n\r\n", field(15 * 1024)).as_bytes()).await.unwrap();
    assert_eq!(answer(&mut fits).await.0, 200);
    // None of these ends, and each is told so, however much it sends.
    for bytes in [16 * 1024, 64 * 1024, 360 * 1024] {
        let mut large = server.connect().await;
        large.write_all(field(bytes).as_bytes()).await.unwrap();
        assert!(rest(&mut large).await.starts_with("HTTP/1.1 431 "), "{bytes}");
    }
    drop(fits);
    until(|| server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let server = within(Limits { idle: ms(100), ..limits() }).await;
    let mut busy = server.connect().await;
    // Three times as long as a connection may be idle, and looked at by the sweep meanwhile.
    busy.write_all(&post(r#"{"query":"mutation { work }"}"#)).await.unwrap();
    assert_eq!(answer(&mut busy).await, (200, r#"{"data":{"work":true}}"#.to_owned()));
    assert_eq!(server.ended("idle"), 0);
    assert_eq!(rest(&mut busy).await, "");
    until(|| server.ended("idle") == 1 && server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = within(Limits { first_byte: ms(200), head: ms(300), ..limits() }).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(HEALTH).await.unwrap();
        assert_eq!(answer(&mut stream).await.0, 200);
        // Longer than a first byte or a head may take.
        sleep(ms(600)).await;
    }
    // Requests that do not wait for answers.
    stream.write_all(&[HEALTH, &large(100_000), HEALTH].concat()).await.unwrap();
    for bytes in [5, 100_021, 5] {
        let (status, body) = answer(&mut stream).await;
        assert_eq!((status, body.len()), (200, bytes), "{body:.100}");
    }
    assert_eq!(server.metrics.connections.get(), 1);
}

#[tokio::test]
async fn a_reader_that_stops_is_left_and_its_answer_forgotten() {
    let limits = Limits { write: ms(500), waiting_bytes: 12 * MIB, ..limits() };
    let server = within(limits).await;
    let mut stops = server.connect().await;
    stops.write_all(&large(8 * MIB)).await.unwrap();
    until(|| server.ended("write") == 1 && server.metrics.connections.get() == 0).await;
    let mut trickles = server.connect().await;
    trickles.write_all(&large(8 * MIB)).await.unwrap();
    let reading = async {
        while trickles.read(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
            sleep(ms(50)).await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = until(|| server.ended("write") == 2) => {}
    }
    until(|| server.ended("write") == 2).await;
    // There is room again.
    let mut reads = server.connect().await;
    reads.write_all(&large(8 * MIB)).await.unwrap();
    assert_eq!(answer(&mut reads).await.1.len(), 8 * MIB + 21);
}

#[tokio::test]
async fn a_slow_and_steady_reader_is_not_cut_off() {
    let server = within(Limits { write: ms(1_000), ..limits() }).await;
    let mut slow = server.connect().await;
    slow.write_all(&large(16 * MIB)).await.unwrap();
    let started = Instant::now();
    let mut part = vec![0; 16 * 1024];
    // Four times as long as a reader may stop for. In that second it takes less than the system would keep by itself.
    while started.elapsed() < ms(4_000) {
        assert!(slow.read(&mut part).await.expect("it is not cut off") > 0);
        sleep(ms(40)).await;
    }
    assert_eq!(server.ended("write"), 0);
    // The rest comes too, and all of it is there.
    let mut rest = 0;
    while rest < 8 * MIB {
        rest += slow.read(&mut part).await.expect("it is not cut off");
    }
    assert_eq!((server.ended("write"), server.metrics.connections.get()), (0, 1));
}

#[tokio::test]
async fn bytes_that_wait_are_limited_in_all() {
    let limits =
        Limits { waiting_bytes: 12 * MIB, trusted: "127.0.0.1".parse().unwrap(), ..limits() };
    let server = within(limits).await;
    let mut first = server.connect().await;
    first.write_all(&large(8 * MIB)).await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(&large(8 * MIB)).await.unwrap();
    let (status, body) = answer(&mut second).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, code(&body)), (503, "OVERLOADED"), "{body}");
    let extensions = &body["errors"][0]["extensions"];
    assert_eq!(
        (&extensions["retryable"], &extensions["retryAfterSeconds"]),
        (&json!(true), &json!(1))
    );
    assert!(extensions["requestId"].is_string());
    assert_eq!(server.metrics.answers_refused.get(), 1);
    // What fits is answered, on the same connection; and all is, when the first has read.
    for bytes in [1_000, 2 * MIB] {
        second.write_all(&large(bytes)).await.unwrap();
        assert_eq!(answer(&mut second).await.1.len(), bytes + 21);
    }
    let mut others = vec![0; 8 * MIB];
    first.read_exact(&mut others).await.unwrap();
    second.write_all(&large(8 * MIB)).await.unwrap();
    assert_eq!(answer(&mut second).await.0, 200);
    // A client that hangs up does not leave its answer behind.
    first.write_all(&large(8 * MIB)).await.unwrap();
    first.read_exact(&mut byte).await.unwrap();
    drop(first);
    until(|| server.metrics.connections.get() == 1).await;
    second.write_all(&large(8 * MIB)).await.unwrap();
    assert_eq!(answer(&mut second).await.0, 200);
}

#[tokio::test]
async fn bytes_that_wait_are_limited_by_address() {
    let server = within(Limits { waiting_bytes_per_address: 12 * MIB, ..limits() }).await;
    let mut first = server.connect_from("127.0.0.2").await;
    first.write_all(&large(8 * MIB)).await.unwrap();
    first.read_exact(&mut [0]).await.unwrap();
    for (address, status) in [("127.0.0.2", 503), ("127.0.0.3", 200)] {
        let mut other = server.connect_from(address).await;
        other.write_all(&large(8 * MIB)).await.unwrap();
        assert_eq!(answer(&mut other).await.0, status, "{address}");
    }
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let server = within(Limits { connections: 2, ..limits() }).await;
    let (mut one, two) = (server.connect().await, server.connect().await);
    until(|| server.metrics.connections.get() == 2).await;
    let mut third = server.connect().await;
    assert!(rest(&mut third).await.starts_with("HTTP/1.1 503 "));
    assert_eq!(server.refused("full"), 1);
    one.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut one).await.0, 200);
    drop(two);
    until(|| server.metrics.connections.get() == 1).await;
    let mut fourth = server.connect().await;
    fourth.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut fourth).await.0, 200);
}

#[tokio::test]
async fn sockets_count_as_connections_until_they_are_closed() {
    let server = within(Limits { connections: 1, idle: ms(100), ..limits() }).await;
    let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
    let protocol = "graphql-transport-ws".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(server.metrics.connections.get(), 1);
    assert!(rest(&mut server.connect().await).await.starts_with("HTTP/1.1 503 "));
    drop(socket);
    until(|| server.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn what_is_open_and_unused_does_not_hold_up_shutdown() {
    let server = Server::with(limits(), &[]).await;
    let (mut fresh, mut half, mut idle, mut busy) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    half.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx: ").await.unwrap();
    idle.write_all(HEALTH).await.unwrap();
    assert_eq!(answer(&mut idle).await.0, 200);
    busy.write_all(&post(r#"{"query":"mutation { work }"}"#)).await.unwrap();
    until(|| server.metrics.connections.get() == 4).await;
    sleep(ms(100)).await;
    server.stopping.cancel();
    let answered = rest(&mut busy).await;
    assert!(answered.ends_with(r#"{"data":{"work":true}}"#), "{answered}");
    assert!(answered.contains("connection: close"), "{answered}");
    for stream in [&mut fresh, &mut half, &mut idle] {
        assert_eq!(rest(stream).await, "");
    }
    timeout(ms(2_000), server.ended).await.expect("it stops").unwrap().unwrap();
    assert_eq!(server.done.0.load(Ordering::SeqCst), 1);
}
