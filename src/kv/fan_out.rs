//! One pub/sub connection per process, and any number of local listeners behind it.
//!
//! Redis pub/sub is at most once: what is sent while the connection is down is lost. So every listener is told of a
//! [`Signal::Gap`] whenever messages may have been missed, and reads the truth again.

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
use redis::{Client, aio::PubSubSink};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

/// Messages that a slow listener may be behind before it is told of a gap instead.
const BACKLOG: usize = 256;
/// Subscriptions that may wait for the connection at once; more wait in line.
const COMMANDS: usize = 1024;
/// How often the connection is tried, and how long an answer may take.
const HEARTBEAT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT_DELAY: Duration = Duration::from_millis(200);

/// What a listener is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A message, as it was published.
    Message(Bytes),
    /// Messages may have been missed; read the state again.
    Gap,
}

/// A listener on one channel.
#[derive(Debug)]
pub struct Topic {
    receiver: broadcast::Receiver<Signal>,
    _interest: Interest,
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

/// Keeps a channel subscribed as long as somebody listens.
#[derive(Debug)]
struct Interest {
    channel: String,
    commands: mpsc::Sender<Command>,
}

impl Drop for Interest {
    fn drop(&mut self) {
        // When the queue of commands is full the channel stays subscribed, and is dropped at the next reconnect.
        drop(self.commands.try_send(Command::Release(self.channel.clone())));
    }
}

type Channels = Arc<Mutex<HashMap<String, broadcast::Sender<Signal>>>>;

enum Command {
    Subscribe { channel: String, ready: oneshot::Sender<()> },
    Release(String),
}

pub(super) struct FanOut {
    channels: Channels,
    connected: Arc<AtomicBool>,
    commands: mpsc::Sender<Command>,
}

impl FanOut {
    pub(super) fn start(client: Client) -> Self {
        let channels = Channels::default();
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let connected = Arc::new(AtomicBool::new(false));
        tokio::spawn(run(client, channels.clone(), connected.clone(), inbox));
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
        // Made before waiting, so that giving up waiting releases the channel again.
        let interest = Interest { channel: channel.clone(), commands: self.commands.clone() };
        let (ready, done) = oneshot::channel();
        if self.commands.send(Command::Subscribe { channel, ready }).await.is_ok() {
            drop(timeout(ANSWER_TIMEOUT, done).await);
        }
        Topic { receiver, _interest: interest }
    }
}

fn lock(
    channels: &Channels,
) -> std::sync::MutexGuard<'_, HashMap<String, broadcast::Sender<Signal>>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects, serves until the connection breaks, and starts again; ends when the last handle is gone.
async fn run(
    client: Client,
    channels: Channels,
    connected: Arc<AtomicBool>,
    mut inbox: mpsc::Receiver<Command>,
) {
    let mut first = true;
    loop {
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
                    None => return,
                    Some(Command::Subscribe { ready, .. }) => _ = ready.send(()),
                    Some(Command::Release(channel)) => release(&channels, &channel),
                },
            }
        }
    }
}

/// Subscribes a new connection to everything that is listened to; the names, or nothing when the connection broke.
///
/// Channels that are added meanwhile are not among them: their own command follows.
async fn resubscribe(sink: &mut PubSubSink, channels: &Channels) -> Option<HashSet<String>> {
    let names: Vec<String> = {
        let mut channels = lock(channels);
        channels.retain(|_, sender| sender.receiver_count() > 0);
        channels.keys().cloned().collect()
    };
    for chunk in names.chunks(100) {
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
                Some(Command::Subscribe { channel, ready }) => {
                    let stands = subscribed.contains(&channel)
                        || matches!(timeout(ANSWER_TIMEOUT, sink.subscribe(&channel)).await, Ok(Ok(())));
                    subscribed.insert(channel);
                    _ = ready.send(());
                    stands
                }
                Some(Command::Release(channel)) => {
                    release(channels, &channel);
                    if lock(channels).contains_key(&channel) || !subscribed.remove(&channel) {
                        true
                    } else {
                        matches!(timeout(ANSWER_TIMEOUT, sink.unsubscribe(&channel)).await, Ok(Ok(())))
                    }
                }
            },
            _ = heartbeat.tick() => {
                matches!(timeout(ANSWER_TIMEOUT, sink.ping::<redis::Value>()).await, Ok(Ok(_)))
            }
        };
        if !answered {
            return Ended::Connection;
        }
    }
}

fn deliver(channels: &Channels, message: &redis::Msg) {
    if let Some(sender) = lock(channels).get(message.get_channel_name()) {
        // Nobody listening any more is no error; the release is on its way.
        drop(sender.send(Signal::Message(Bytes::copy_from_slice(message.get_payload_bytes()))));
    }
}

fn release(channels: &Channels, channel: &str) {
    let mut channels = lock(channels);
    if channels.get(channel).is_some_and(|sender| sender.receiver_count() == 0) {
        channels.remove(channel);
    }
}

fn announce_gap(channels: &Channels) {
    for sender in lock(channels).values() {
        drop(sender.send(Signal::Gap));
    }
}
