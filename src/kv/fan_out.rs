//! One pub/sub connection per process, and any number of local listeners behind it.
//!
//! Redis pub/sub is at most once: what is sent while the connection is down is lost. So every listener is told of a
//! [`Signal::Gap`] whenever messages may have been missed, and reads the truth again. Whatever is published on any node of a
//! cluster reaches all of its nodes, so one connection to any of them will do.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::PubSubSink;
use tokio::{
    sync::{Mutex as AsyncMutex, broadcast, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::nodes::Nodes;
use crate::tasks::Tasks;

/// Messages that a slow listener may be behind before it is told of a gap instead.
const BACKLOG: usize = 256;
/// Subscriptions that may wait for the connection at once; more wait in line.
const COMMANDS: usize = 1024;
/// How often the connection is tried, and how long an answer may take.
const HEARTBEAT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT_DELAY: Duration = Duration::from_millis(200);
/// Channels in one command.
const CHUNK: usize = 100;
/// Channels that are given up at one heartbeat at most, so that messages do not wait long.
const GIVE_UP: usize = 5_000;

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A message, as it was published.
    Message(Bytes),
    /// Messages may have been missed; read the state again.
    Gap,
}

/// A listener on one channel. Soon after the last one is dropped the channel is given up.
#[derive(Debug)]
pub struct Topic {
    receiver: broadcast::Receiver<Signal>,
    /// The connection is served as long as anybody listens.
    _serving: mpsc::Sender<Command>,
}

impl Topic {
    /// The next signal; `None` when the process shuts down.
    pub async fn next(&mut self) -> Option<Signal> {
        match self.receiver.recv().await {
            Ok(signal) => Some(signal),
            Err(broadcast::error::RecvError::Lagged(_)) => {
                self.receiver = self.receiver.resubscribe();
                Some(Signal::Gap)
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

type Channels = Arc<Mutex<HashMap<String, broadcast::Sender<Signal>>>>;

/// To subscribe to a channel, and to say when that stands.
#[derive(Debug)]
struct Command {
    channel: String,
    ready: oneshot::Sender<()>,
}

pub(super) struct FanOut {
    channels: Channels,
    connected: Arc<AtomicBool>,
    commands: mpsc::Sender<Command>,
}

impl FanOut {
    pub(super) fn start(nodes: Arc<Nodes>, tasks: &Tasks) -> Self {
        let channels = Channels::default();
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let connected = Arc::new(AtomicBool::new(false));
        let (told, flag, inbox) =
            (channels.clone(), connected.clone(), Arc::new(AsyncMutex::new(inbox)));
        let over = CancellationToken::new();
        tasks.keep_vital("listening to Redis", over.clone(), move || {
            run(nodes.clone(), told.clone(), flag.clone(), inbox.clone(), over.clone())
        });
        Self { channels, connected, commands }
    }

    pub(super) fn connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(super) async fn listen(&self, channel: String) -> Topic {
        let receiver = {
            let mut channels = lock(&self.channels);
            channels
                .entry(channel.clone())
                .or_insert_with(|| broadcast::channel(BACKLOG).0)
                .subscribe()
        };
        let (ready, done) = oneshot::channel();
        if self.commands.send(Command { channel, ready }).await.is_ok() {
            // Giving up drops `done`, and a later subscription tells of a gap instead.
            drop(timeout(ANSWER_TIMEOUT, done).await);
        }
        Topic { receiver, _serving: self.commands.clone() }
    }
}

fn lock(
    channels: &Channels,
) -> std::sync::MutexGuard<'_, HashMap<String, broadcast::Sender<Signal>>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects, serves until the connection breaks, and starts again; ends when the last handle is gone, and says that it is
/// over then. Should it die, another run goes on from the same inbox.
async fn run(
    nodes: Arc<Nodes>,
    channels: Channels,
    connected: Arc<AtomicBool>,
    inbox: Arc<AsyncMutex<mpsc::Receiver<Command>>>,
    over: CancellationToken,
) {
    let mut inbox = inbox.lock().await;
    // The one before may have died with its connection.
    connected.store(false, Ordering::Release);
    let mut first = true;
    // Every node of a cluster has all messages. Instances spread over them, and move on when one fails.
    for turn in usize::try_from(std::process::id()).unwrap_or(0).. {
        forget_unheard(&channels);
        let servers = nodes.all();
        let client = &servers[turn % servers.len()].client;
        if let Ok(Ok(pubsub)) = timeout(ANSWER_TIMEOUT, client.get_async_pubsub()).await {
            let (mut sink, stream) = pubsub.split();
            if let Some(subscribed) = resubscribe(&mut sink, &channels).await {
                if !first {
                    tracing::info!("Redis pub/sub is connected again");
                }
                first = false;
                connected.store(true, Ordering::Release);
                announce_gap(&channels);
                if serve(&mut sink, stream, &channels, subscribed, &mut inbox).await
                    == Ended::ForGood
                {
                    over.cancel();
                    return;
                }
                connected.store(false, Ordering::Release);
                tracing::warn!("Redis pub/sub connection lost");
                announce_gap(&channels);
            }
        }
        // Listeners that come meanwhile are not kept waiting: they get a gap when the connection stands.
        let pause = tokio::time::sleep(RECONNECT_DELAY);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                command = inbox.recv() => match command {
                    None => {
                        over.cancel();
                        return;
                    }
                    Some(Command { ready, .. }) => _ = ready.send(()),
                },
            }
        }
    }
}

/// Subscribes a new connection to everything that is listened to; the names, or nothing when the connection broke.
///
/// Channels that are added meanwhile are not among them: their own command follows.
async fn resubscribe(sink: &mut PubSubSink, channels: &Channels) -> Option<HashSet<String>> {
    forget_unheard(channels);
    let names: Vec<String> = lock(channels).keys().cloned().collect();
    for chunk in names.chunks(CHUNK) {
        if !matches!(timeout(ANSWER_TIMEOUT, sink.subscribe(chunk)).await, Ok(Ok(()))) {
            return None;
        }
    }
    Some(names.into_iter().collect())
}

#[derive(PartialEq, Eq)]
enum Ended {
    Connection,
    ForGood,
}

async fn serve(
    sink: &mut PubSubSink,
    mut stream: impl futures_util::Stream<Item = redis::Msg> + Unpin,
    channels: &Channels,
    mut subscribed: HashSet<String>,
    inbox: &mut mpsc::Receiver<Command>,
) -> Ended {
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let answered = tokio::select! {
            message = stream.next() => match message {
                Some(message) => {
                    deliver(channels, &message);
                    true
                }
                None => false,
            },
            command = inbox.recv() => match command {
                None => return Ended::ForGood,
                Some(command) => subscribe(sink, channels, &mut subscribed, command).await,
            },
            _ = heartbeat.tick() => {
                matches!(timeout(ANSWER_TIMEOUT, sink.ping::<redis::Value>()).await, Ok(Ok(_)))
                    && give_up_unheard(sink, channels, &mut subscribed).await
            }
        };
        if !answered {
            return Ended::Connection;
        }
    }
}

/// `false` when the connection broke.
async fn subscribe(
    sink: &mut PubSubSink,
    channels: &Channels,
    subscribed: &mut HashSet<String>,
    Command { channel, ready }: Command,
) -> bool {
    // Where the listener has gone, so may have the channel; a later listener has sent a command of its own.
    if !subscribed.contains(&channel) && lock(channels).contains_key(&channel) {
        if !matches!(timeout(ANSWER_TIMEOUT, sink.subscribe(&channel)).await, Ok(Ok(()))) {
            return false;
        }
        subscribed.insert(channel.clone());
    }
    if ready.send(()).is_err()
        && let Some(sender) = lock(channels).get(&channel)
    {
        // The listener went on before the subscription stood.
        drop(sender.send(Signal::Gap));
    }
    true
}

/// Unsubscribes from channels that nobody listens to any more; `false` when the connection broke.
///
/// Looked for and not told: a crowd that leaves at once would overflow any queue.
async fn give_up_unheard(
    sink: &mut PubSubSink,
    channels: &Channels,
    subscribed: &mut HashSet<String>,
) -> bool {
    forget_unheard(channels);
    let unheard: Vec<String> = {
        let channels = lock(channels);
        subscribed
            .iter()
            .filter(|name| !channels.contains_key(*name))
            .take(GIVE_UP)
            .cloned()
            .collect()
    };
    for chunk in unheard.chunks(CHUNK) {
        // A listener that comes back meanwhile sends a command, which is read after this.
        for name in chunk {
            subscribed.remove(name);
        }
        if !matches!(timeout(ANSWER_TIMEOUT, sink.unsubscribe(chunk)).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

fn deliver(channels: &Channels, message: &redis::Msg) {
    if let Some(sender) = lock(channels).get(message.get_channel_name()) {
        // Nobody listening any more is no error; the channel is about to be given up.
        drop(sender.send(Signal::Message(Bytes::copy_from_slice(message.get_payload_bytes()))));
    }
}

fn forget_unheard(channels: &Channels) {
    lock(channels).retain(|_, sender| sender.receiver_count() > 0);
}

fn announce_gap(channels: &Channels) {
    for sender in lock(channels).values() {
        drop(sender.send(Signal::Gap));
    }
}
