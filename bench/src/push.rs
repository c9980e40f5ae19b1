//! `bench push`: what a live subscription costs, beside a bare axum WebSocket that is sent ready bytes of the same size.

#![expect(clippy::print_stdout, reason = "the figures are the answer")]

use std::{sync::atomic::Ordering, time::Duration};

use axum::{
    Router,
    extract::{
        State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    routing::{get, post},
    serve::ListenerExt,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    Result, cpu, load,
    scenery::Scenery,
    server::{self, Server},
    sockets::{self, Sockets},
};

/// As the server's own (`http/websocket`).
const READ_BUFFER_BYTES: usize = 1024;
/// How long everything may settle before memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

struct Cost {
    kb_each: f64,
    bytes: usize,
    pushes: usize,
    us_each: f64,
    /// What Redis and Postgres were asked meanwhile.
    asked: Asked,
}

/// Scripts that Redis has run, and transactions of Postgres.
#[derive(Default)]
struct Asked {
    scripts: f64,
    transactions: f64,
}

impl Asked {
    async fn so_far(scenery: &Scenery, redis_url: &str) -> Result<Self> {
        // A connection of Postgres tells of its own transactions once a second.
        sleep(Duration::from_millis(1_500)).await;
        let mut redis = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await?;
        let evals = stats.lines().filter(|line| line.starts_with("cmdstat_eval"));
        let calls = evals
            .filter_map(|line| line.split("calls=").nth(1)?.split(',').next()?.parse::<f64>().ok());
        let sql = "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database
                   WHERE datname = current_database()";
        Ok(Self { scripts: calls.sum(), transactions: scenery.figure(sql).await? })
    }
}

/// Measures both and prints a table.
pub(crate) async fn run(
    scenery: &Scenery,
    redis_url: &str,
    count: usize,
    seconds: u64,
) -> Result<()> {
    stampede::net::allow_open_files(u64::try_from(count)?)?;
    let ours = subscriptions(scenery, redis_url, count, seconds).await?;
    let floor = bare(count, seconds, ours.bytes).await?;
    println!(
        "| {count} sockets | kB each | pushes | bytes | server CPU us | of the floor | Redis scripts | Postgres transactions |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, cost) in [("queueStatus", &ours), ("bare axum, ready bytes", &floor)] {
        let Cost { kb_each, bytes, pushes, us_each, asked } = cost;
        let ratio = us_each / floor.us_each;
        println!(
            "| {name} | {kb_each:.1} | {pushes} | {bytes} | {us_each:.1} | {ratio:.2} | {:.0} | {:.0} |",
            asked.scripts, asked.transactions
        );
    }
    Ok(())
}

async fn subscriptions(
    scenery: &Scenery,
    redis_url: &str,
    count: usize,
    seconds: u64,
) -> Result<Cost> {
    let server = server::start(&scenery.url, redis_url).await?;
    let crowd = scenery.crowd(count).await?;
    load::once(server.address, crowd.enters(&server)?).await?;
    let before = cpu::memory_kb(server.id());
    let mut says = crowd.watches()?;
    says.truncate(count);
    let sockets = sockets::open(server.address, says).await?;
    // The acknowledgement and the first result.
    sockets.heard.reach(count * 2).await?;
    let kb_each = settled(&server, before, count).await?;
    // Everybody moves up by one percent of the line each second.
    scenery.admit(&crowd, count / 100 + 2).await?;
    let before = Asked::so_far(scenery, redis_url).await?;
    let mut cost = pushed(&server, &sockets, seconds, async || Ok(())).await?;
    let after = Asked::so_far(scenery, redis_url).await?;
    cost.kb_each = kb_each;
    cost.asked = Asked {
        scripts: after.scripts - before.scripts,
        transactions: after.transactions - before.transactions,
    };
    Ok(cost)
}

/// The floor.
async fn bare(count: usize, seconds: u64, bytes: usize) -> Result<Cost> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("floor-sockets");
    let server = server::spawn(command, "BENCH_LISTEN").await?;
    let before = cpu::memory_kb(server.id());
    let sockets = sockets::open(server.address, vec![Vec::new(); count]).await?;
    // Each of them is told one message, as the subscriptions were.
    let text = "x".repeat(bytes.saturating_sub(4));
    publish(&server, &text).await?;
    sockets.heard.reach(count).await?;
    let kb_each = settled(&server, before, count).await?;
    let mut cost =
        pushed(&server, &sockets, seconds, async || publish(&server, &text).await).await?;
    cost.kb_each = kb_each;
    Ok(cost)
}

async fn settled(server: &Server, before: f64, count: usize) -> Result<f64> {
    sleep(SETTLE).await;
    Ok((cpu::memory_kb(server.id()) - before) / f64::from(u32::try_from(count)?))
}

/// Listens for this long, and does something each second.
async fn pushed(
    server: &Server,
    sockets: &Sockets,
    seconds: u64,
    each_second: impl AsyncFn() -> Result<()>,
) -> Result<Cost> {
    let (before, heard) = (cpu::exact(server.id()), sockets.heard.messages.load(Ordering::Relaxed));
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..seconds {
        ticks.tick().await;
        each_second().await?;
    }
    sleep(Duration::from_secs(1)).await;
    let used = cpu::exact(server.id()) - before;
    let pushes = sockets.heard.messages.load(Ordering::Relaxed) - heard;
    Ok(Cost {
        kb_each: 0.0,
        bytes: sockets.heard.bytes.load(Ordering::Relaxed),
        pushes,
        asked: Asked::default(),
        us_each: used * 1e6 / f64::from(u32::try_from(pushes.max(1))?),
    })
}

async fn publish(server: &Server, text: &str) -> Result<()> {
    let mut stream = TcpStream::connect(server.address).await?;
    let head = format!(
        "POST /push HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    // Closing before the answer would be a client that hung up.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Serves the floor: sockets that are sent whatever was posted last.
pub(crate) async fn serve_sockets() -> Result<()> {
    // Each socket is a file. The limit is raised as the server raises its own.
    let limit = getrlimit(Resource::Nofile);
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let (sender, _) = watch::channel(Utf8Bytes::default());
    let upgrade = async |State(sender): State<watch::Sender<Utf8Bytes>>,
                         upgrade: WebSocketUpgrade| {
        let receiver = sender.subscribe();
        upgrade
            .protocols(["graphql-transport-ws"])
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .on_upgrade(async move |socket| forward(socket, receiver).await)
    };
    let push = async |State(sender): State<watch::Sender<Utf8Bytes>>, text: String| {
        sender.send_replace(text.into());
    };
    let router =
        Router::new().route("/graphql", get(upgrade)).route("/push", post(push)).with_state(sender);
    let listener = TcpListener::bind(std::env::var("BENCH_LISTEN")?)
        .await?
        .tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, router).await?;
    Ok(())
}

async fn forward(mut socket: WebSocket, mut receiver: watch::Receiver<Utf8Bytes>) {
    loop {
        let text = tokio::select! {
            heard = socket.recv() => match heard {
                Some(Ok(_)) => continue,
                _ => return,
            },
            changed = receiver.changed() => match changed {
                Ok(()) => receiver.borrow_and_update().clone(),
                Err(_) => return,
            },
        };
        if socket.send(Message::Text(text)).await.is_err() {
            return;
        }
    }
}
