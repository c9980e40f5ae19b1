//! Clients that cost: those who are slow, silent or many, on real instances. Plain sockets, because no library is that rude.

mod frames;

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::{
    client::Client,
    eventually,
    process::Process,
    shop::{self, Setup},
    socket::Pushed,
    world::World,
};

const HALF_A_HEAD: &[u8] = b"POST /graphql HTTP/1.1\r\nhost: x\r\nx-half: ";

/// A connection from a given address of this machine, with little room for what comes.
async fn connect_from(from: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.bind(SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.connect(address).await.unwrap()
}

async fn connect(address: SocketAddr) -> TcpStream {
    connect_from("127.0.0.1", address).await
}

async fn many(count: usize, address: SocketAddr) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(connect(address).await);
    }
    streams
}

/// What the server says until it hangs up; nothing when the connection is reset.
async fn last_words(stream: &mut TcpStream) -> String {
    let mut told = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut told)).await;
    drop(read.expect("the server hangs up"));
    String::from_utf8_lossy(&told).into_owned()
}

/// A metric of an instance.
async fn metric(client: &Client, name: &str) -> u64 {
    let url = format!("http://{}/metrics", client.address);
    let page = client.http.get(url).send().await.unwrap().text().await.unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is missing:\n{page}")).parse().unwrap()
}

/// This process opens thousands of sockets, and most systems start a program with room for a thousand.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// How much memory a process has, in bytes.
#[cfg(target_os = "linux")]
fn resident(process: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Opens connections and sends a byte of a head over each, and one more every second for as long as they are open.
async fn trickle(count: usize, address: SocketAddr) -> JoinHandle<()> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = connect(address).await;
        stream.write_all(b"x").await.unwrap();
        streams.push(stream);
    }
    tokio::spawn(async move {
        while !streams.is_empty() {
            sleep(Duration::from_secs(1)).await;
            let mut open = Vec::new();
            for mut stream in streams {
                if stream.write_all(b"x").await.is_ok() {
                    open.push(stream);
                }
            }
            streams = open;
        }
    })
}

/// Opens connections and asks for the seats of a large hall on each, and reads no more than that they come.
async fn ask_and_stop(count: usize, fan: &Client, show: &str, token: &str) -> Vec<TcpStream> {
    let query = "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) {
                     id status version section row number grade price } }";
    let body = json!({ "query": query, "variables": { "id": show, "token": token } }).to_string();
    let (length, session) = (body.len(), fan.token.as_deref().unwrap());
    let request = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {session}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = connect(fan.address).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 1024];
        stream.read_exact(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"seats\""), "{answer}");
        streams.push(stream);
    }
    streams
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_or_silent_is_gone_in_time_and_so_is_their_memory() {
    const MIB: u64 = 1024 * 1024;
    allow_open_files();
    let world = World::new().await;
    let office = world.quiet_instance(&[]).await;
    // 3 s for the first byte and for a head, 6 s to read some of an answer.
    let process = Process::start(&world, &["--connection-time-percent=30"]).await;
    let hall = Setup { rows: 40, seats_per_row: 50, ..Setup::default() };
    let show = shop::show(&world, &office, hall).await;
    let fan = shop::fan(&world, &office).await.at(process.address);
    let token = fan.admitted(&show.id).await;
    drop(ask_and_stop(1, &fan, &show.id, &token).await);
    let before = resident(&process);

    let trickling = trickle(500, process.address).await;
    let silent = many(500, process.address).await;
    let first = attack(&process, &fan, &show.id, &token, [500, 500, 50]).await;
    trickling.await.unwrap();
    drop(silent);
    // With nothing to end them, the heads alone would have 150 MB.
    assert!(first < before + 128 * MIB, "{} MiB before, {} at the peak", before / MIB, first / MIB);
    // Whether the allocator hands memory back to the system is its own affair. What was given back to it is used again.
    let second = attack(&process, &fan, &show.id, &token, [500, 500, 100]).await;
    let figures = [before, first, second].map(|bytes| bytes / MIB);
    assert!(second < first + 32 * MIB, "{figures:?} MiB before, and at the peaks");
}

/// 300 heads without end, each of 360 KB, and 50 readers that stop; until the server has ended as many connections as `ends`
/// tells, for its reasons `first_byte`, `head` and `write`. The most memory that it used meanwhile, in bytes.
async fn attack(process: &Process, fan: &Client, show: &str, token: &str, ends: [u64; 3]) -> u64 {
    let mut large = many(300, process.address).await;
    let head = [HALF_A_HEAD, &vec![b'x'; 360 * 1024]].concat();
    for stream in &mut large {
        // It is refused before it has sent all.
        drop(stream.write_all(&head).await);
    }
    let stopped = ask_and_stop(50, fan, show, token).await;
    let (start, mut peak) = (Instant::now(), 0);
    loop {
        // Everybody else is served meanwhile.
        assert_eq!(fan.data("{ __typename }", json!({})).await["__typename"], "Query");
        peak = peak.max(resident(process));
        let mut ended = Vec::new();
        for reason in ["first_byte", "head", "write"] {
            let name = format!("frontrow_connections_ended_total{{reason=\"{reason}\"}}");
            ended.push(metric(fan, &name).await);
        }
        let open = metric(fan, "frontrow_connections").await;
        // What is left is the fan's own.
        if ended == ends && open < 5 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(45), "{ended:?} ended, {open} are open");
        sleep(Duration::from_millis(250)).await;
    }
    drop((large, stopped));
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_does_not_hold_up_an_orderly_end() {
    let world = World::new().await;
    let mut process = Process::start(&world, &[]).await;
    let fan = process.client();
    let mut half = many(3, process.address).await;
    for stream in &mut half {
        stream.write_all(HALF_A_HEAD).await.unwrap();
    }
    let silent = many(3, process.address).await;
    eventually("to be connected", async || {
        (metric(&fan, "frontrow_connections").await >= 6).then_some(())
    })
    .await;
    let asked = Instant::now();
    process.terminate();
    assert_eq!(process.ended().await, Some(0));
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    drop((half, silent));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_connections_and_a_proxy_more() {
    let world = World::new().await;
    let flags = ["--connections-per-address=3", "--trusted-proxies=127.0.0.9, 127.0.1.0/24"];
    let instance = world.quiet_instance(&flags).await;
    let open = async |from: &str, count: usize| {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(connect_from(from, instance.address).await);
        }
        streams
    };
    let connections = async |count: i64| {
        eventually(&format!("{count} connections"), async || {
            (instance.app.metrics.connections.get() == count).then_some(())
        })
        .await;
    };
    let three = open("127.0.0.2", 3).await;
    connections(3).await;
    let mut fourth = open("127.0.0.2", 1).await;
    assert_eq!(last_words(&mut fourth[0]).await, "");
    let others =
        (open("127.0.0.3", 3).await, open("127.0.0.9", 8).await, open("127.0.1.7", 8).await);
    connections(22).await;
    drop(three);
    connections(19).await;
    let mut again = open("127.0.0.2", 1).await;
    again[0]
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(last_words(&mut again[0]).await.ends_with("live\n"));
    drop(others);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_that_is_allowed_passes() {
    let world = World::new().await;
    let instance = world
        .instance_within(&[], |limits| {
            limits.first_byte = Duration::from_secs(1);
            limits.head = Duration::from_secs(1);
            limits.idle = Duration::from_secs(1);
            limits.write = Duration::from_secs(1);
        })
        .await;
    let body = format!("{{\"query\":\"{{ __typename }}\"{}}}", " ".repeat(24));
    let mut slow = connect(instance.address).await;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // Longer than any limit but the one for bodies.
    for byte in body.bytes() {
        slow.write_all(&[byte]).await.unwrap();
        sleep(Duration::from_millis(40)).await;
    }
    let answer = last_words(&mut slow).await;
    assert!(answer.ends_with(r#"{"data":{"__typename":"Query"}}"#), "{answer}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn without_files_nobody_is_accepted_and_afterwards_everybody_is() {
    const FILES: usize = 64;
    let world = World::new().await;
    let process = Process::start_with_files(&world, FILES, &["--connections=1000"]).await;
    let folder = format!("/proc/{}/fd", process.id());
    let files = || std::fs::read_dir(&folder).unwrap().count();
    let hogs = many(2 * FILES, process.address).await;
    eventually("the files to be used up", async || (files() >= FILES).then_some(())).await;
    drop(hogs);
    eventually("to be served", async || {
        let asked = reqwest::get(format!("http://{}/health/ready", process.address)).await;
        asked.is_ok_and(|answer| answer.status().is_success()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_and_one_address_have_so_many_sockets() {
    let world = World::new().await;
    let flags = ["--sockets-per-person=2", "--sockets-per-address=3"];
    let instance = world.quiet_instance(&flags).await;
    let (mina, jun) = (shop::fan(&world, &instance).await, shop::fan(&world, &instance).await);
    let (one, two) = (mina.connect().await.unwrap(), mina.connect().await.unwrap());
    assert_eq!(mina.connect().await.err(), Some(4429));
    let other = jun.connect().await.unwrap();
    drop(one);
    eventually("a place to be free", async || mina.connect().await.ok()).await;
    drop((two, other));
    // A proxy says whom it speaks for.
    let open = async |address: &str| {
        let mut stream = connect(instance.address).await;
        let handshake = format!(
            "GET /graphql HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {address}\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
        );
        stream.write_all(handshake.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        (stream, String::from_utf8(status.to_vec()).unwrap())
    };
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let (socket, status) = open("198.51.100.7").await;
        assert_eq!(status, "HTTP/1.1 101");
        sockets.push(socket);
    }
    assert_eq!(open("198.51.100.7").await.1, "HTTP/1.1 429");
    assert_eq!(open("198.51.100.8").await.1, "HTTP/1.1 101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_in_time_and_its_client_may_come_again() {
    let world = World::new().await;
    let instance = world.quiet_instance(&["--socket-seconds=1"]).await;
    let fan = shop::fan(&world, &instance).await;
    let mut socket = fan.connect().await.unwrap();
    assert_eq!(socket.next().await, Pushed::Closed(1001));
    assert!(fan.connect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_a_listener_of_their_own_and_are_nowhere_else_then() {
    let world = World::new().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let metrics = free.local_addr().unwrap();
    drop(free);
    let listen = format!("--metrics-listen={metrics}");
    let mut process = Process::start(&world, &[&listen, "--connections=4"]).await;
    let get = async |address: SocketAddr, path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        let secured = answer.headers()["x-content-type-options"] == "nosniff";
        assert!(secured, "{path}");
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get(process.address, "/metrics").await.0, 404);
    let (status, page) = get(metrics, "/metrics").await;
    assert!(status == 200 && page.contains("frontrow_connections "), "{page}");
    assert_eq!(get(metrics, "/health/live").await, (200, "live\n".to_owned()));
    assert_eq!(get(metrics, "/health/ready").await.0, 200);
    for path in ["/graphql", "/graphiql", "/webhooks/sandbox"] {
        assert_eq!(get(metrics, path).await.0, 404, "{path}");
    }
    // It answers while there is no room for anybody else.
    let crowd = many(10, process.address).await;
    eventually("the room to be full", async || {
        get(metrics, "/metrics")
            .await
            .1
            .contains("frontrow_connections_refused_total{reason=\"full\"} ")
            .then_some(())
    })
    .await;
    drop(crowd);
    process.terminate();
    assert_eq!(process.ended().await, Some(0));
}
