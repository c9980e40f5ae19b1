//! `stampede watchers`: what many idle subscriptions cost, and how fast a push reaches all of them.

mod ears;
mod room;
mod tell;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ears::{Delivery, Ears, deliver};
use room::configure;
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Result,
    api::Api,
    history::Clock,
    interrupt,
    measure::{Recorder, Spread, Times},
    net::{
        allow_open_files,
        socket::{Pushed, Socket},
    },
    options::WatchersOptions,
    process::{cpu_seconds, memory_kb},
    progress::{Bar, Progress},
    sessions,
};

/// How long everything may settle before memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
struct Outcome {
    /// As many as were asked for; then those that were open, and lost again.
    sockets: usize,
    sockets_open: usize,
    sockets_lost: usize,
    subscriptions: usize,
    subscriptions_open: usize,
    entered_per_second: f64,
    sockets_per_second: f64,
    subscriptions_per_second: f64,
    /// From connecting to the first push of all subscriptions of a socket.
    connect_ms: Spread,
    server_memory: Option<Memory>,
    own_memory: Option<Memory>,
    idle_cpu_percent: Option<f64>,
    deliveries: Vec<Delivery>,
}

/// What was added, for each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Memory {
    kb_per_socket: f64,
    kb_per_subscription: f64,
}

/// Everybody who watches, and what.
struct Cast<'a> {
    options: &'a WatchersOptions,
    /// The instances, for each performance.
    rooms: Vec<Vec<Arc<Api>>>,
    /// One instance for each performance.
    firsts: Vec<Arc<Api>>,
    tokens: Vec<String>,
    organizer: Option<String>,
    own_before: Option<f64>,
}

/// Runs it; whether every socket stayed open, every change reached everybody, and the rooms are as they were.
///
/// # Errors
/// When it cannot begin, or breaks off.
pub(crate) async fn run(options: &WatchersOptions) -> Result<bool> {
    let own_before = memory_kb(&[std::process::id()]);
    let tokens = sessions::read(&options.sessions, Some(options.count))?;
    let server = &options.server;
    let pools = server.connections * server.urls.len() * options.schedules.len();
    allow_open_files(u64::try_from(options.count + pools)?)?;
    let recorder = Arc::new(Recorder::new(Clock::start()));
    let rooms = options.schedules.iter().map(|id| sessions::apis(server, id, &recorder));
    let rooms = rooms.collect::<Result<Vec<_>>>()?;
    let firsts: Vec<_> = rooms.iter().filter_map(|apis| apis.first().cloned()).collect();
    let first = firsts.first().ok_or("no server")?;
    let organizer = sessions::organizer(first, &options.organizer).await?;
    let mut before = Vec::new();
    for api in &firsts {
        before.push(room::known(api, organizer.as_deref()).await?);
    }
    let interrupted = Arc::new(Notify::new());
    let notify = interrupted.clone();
    interrupt::hear(move || {
        eprintln!("The rooms are put back; press Ctrl-C again to stop at once.");
        notify.notify_one();
    })?;
    let cast = Cast { options, rooms, firsts, tokens, organizer, own_before };
    let measured = tokio::select! {
        measured = measure(&cast, &recorder) => measured,
        () = interrupted.notified() => Err("interrupted".into()),
    };
    // However it ended: a room for one person at a time is not left behind.
    let put_back = match &cast.organizer {
        Some(organizer) => room::restore(&cast.firsts, organizer, &before).await,
        None => true,
    };
    let outcome = measured?;
    eprintln!("Everybody leaves.");
    for apis in &cast.rooms {
        let leave = async |api: Arc<Api>, token: String| api.leave(&token).await.is_ok();
        each(apis, &cast.tokens, server.connections, leave).await;
    }
    let all_told = outcome.deliveries.iter().all(|delivery| delivery.told >= delivery.waiting);
    let all_open = outcome.subscriptions_open == outcome.subscriptions;
    Ok(all_open && outcome.sockets_lost == 0 && all_told && put_back)
}

/// Everybody enters and watches, and what there is to tell is told.
async fn measure(cast: &Cast<'_>, recorder: &Arc<Recorder>) -> Result<Outcome> {
    let Cast { options, rooms, firsts, tokens, organizer, .. } = cast;
    if let Some(organizer) = organizer {
        // Nearly everybody stays in line.
        let input = json!({ "maxActive": 1, "admitPerRound": 1, "paused": false });
        configure(firsts, organizer, &input).await?;
    }
    let progress = Progress::start(recorder.clone(), tokens.len(), &[Bar::Entered, Bar::Connected]);
    let begun = Instant::now();
    for apis in rooms {
        enter(apis, tokens, options.server.connections).await?;
    }
    let entered_per_second = per_second(tokens.len() * rooms.len(), begun.elapsed());
    let mut outcome = watch_all(cast).await?;
    outcome.entered_per_second = entered_per_second;
    drop(progress);
    tell::tell(&outcome);
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&outcome)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(outcome)
}

/// Does something for everybody, this many at once; how many succeeded.
async fn each<F>(
    apis: &[Arc<Api>],
    tokens: &[String],
    at_once: usize,
    work: impl Fn(Arc<Api>, String) -> F,
) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(at_once.max(1)));
    let mut running = JoinSet::new();
    for (token, api) in tokens.iter().zip(apis.iter().cycle()) {
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let task = work(api.clone(), token.clone());
        running.spawn(async move {
            let done = task.await;
            drop(permit);
            done
        });
    }
    running.join_all().await.into_iter().filter(|done| *done).count()
}

/// Everybody enters.
async fn enter(apis: &[Arc<Api>], tokens: &[String], at_once: usize) -> Result<()> {
    let entered = each(apis, tokens, at_once * apis.len(), |api, token| async move {
        let entered = api.enter(&token).await.is_ok();
        crate::measure::count(&api.recorder.live.entered);
        entered
    })
    .await;
    if entered < tokens.len() {
        return Err(format!("only {entered} of {} could enter the queue", tokens.len()).into());
    }
    Ok(())
}

fn per_second(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64().max(1e-9)
}

async fn watch_all(cast: &Cast<'_>) -> Result<Outcome> {
    let Cast { options, rooms, firsts, tokens, organizer, own_before } = cast;
    let pids = &options.server_pids;
    let own = [std::process::id()];
    let server_before = memory_kb(pids);
    let ears = Arc::new(Ears::default());
    let begun = Instant::now();
    let apis = rooms.first().ok_or("no performance")?;
    let schedules: Arc<[String]> = options.schedules.as_slice().into();
    let open = open(apis, &schedules, tokens, options.opening, &ears).await;
    let connecting = begun.elapsed();
    sleep(SETTLE).await;
    let grown = |before: Option<f64>, pids: &[u32]| {
        Some(open.memory(memory_kb(pids)? - before?)).filter(|_| !pids.is_empty())
    };
    let (server_memory, own_memory) = (grown(server_before, pids), grown(*own_before, &own));
    let listen = Duration::from_secs(options.listen_seconds);
    let idle = cpu_seconds(pids);
    sleep(listen).await;
    let idle = cpu_seconds(pids).zip(idle).map(|(after, before)| after - before);
    let idle = idle.filter(|_| !pids.is_empty());
    let mut deliveries = Vec::new();
    if let Some(organizer) = organizer {
        let one_percent = u32::try_from(tokens.len() / 100 + 2)?;
        let changes = [
            (
                "a round admits 1 % of the line",
                json!({ "maxActive": one_percent + 1, "admitPerRound": one_percent }),
            ),
            ("the organizer pauses admission", json!({ "paused": true })),
            ("the organizer resumes admission", json!({ "paused": false })),
        ];
        for (change, input) in changes {
            let told = (change, &input);
            let told = deliver(firsts, organizer, told, &ears, listen, (pids, idle)).await?;
            deliveries.push(told);
        }
    }
    Ok(Outcome {
        sockets: tokens.len(),
        sockets_open: open.sockets,
        sockets_lost: ears.lost.load(Ordering::Relaxed),
        subscriptions: tokens.len() * rooms.len(),
        subscriptions_open: open.subscriptions,
        entered_per_second: 0.0,
        sockets_per_second: per_second(open.sockets, connecting),
        subscriptions_per_second: per_second(open.subscriptions, connecting),
        connect_ms: open.times.spread(),
        server_memory,
        own_memory,
        idle_cpu_percent: idle.map(|cpu| cpu * 100.0 / listen.as_secs_f64()),
        deliveries,
    })
}

/// Sockets that are open, until it is dropped.
struct Open {
    sockets: usize,
    subscriptions: usize,
    times: Times,
    _listening: JoinSet<()>,
}

impl Open {
    fn memory(&self, kb: f64) -> Memory {
        let each = |count: usize| kb / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
        Memory { kb_per_socket: each(self.sockets), kb_per_subscription: each(self.subscriptions) }
    }
}

/// Opens all sockets, this many at once. Each waits for the first push of all its subscriptions before it counts.
async fn open(
    apis: &[Arc<Api>],
    schedules: &Arc<[String]>,
    tokens: &[String],
    at_once: usize,
    ears: &Arc<Ears>,
) -> Open {
    let permits = Arc::new(Semaphore::new(at_once.max(1)));
    let times = Arc::new(Mutex::new(Times::new()));
    let open = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let mut listening = JoinSet::new();
    for (index, (token, api)) in tokens.iter().zip(apis.iter().cycle()).enumerate() {
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let (api, schedules, token) = (api.clone(), schedules.clone(), token.clone());
        let (times, open, ears) = (times.clone(), open.clone(), ears.clone());
        listening.spawn(async move {
            let begun = Instant::now();
            let Ok(mut socket) = api.watch_all(&token, &schedules).await else { return };
            let first_id = index * schedules.len();
            let mut waiting = vec![false; schedules.len()];
            for _ in 0..schedules.len() {
                let first = timeout(Duration::from_secs(20), socket.next_of()).await;
                let Ok(Ok((id, Pushed::Next(first)))) = first else { return };
                let Some(waits) = waiting.get_mut(id) else { return };
                *waits = ears.note(&first, false);
                open[1].fetch_add(1, Ordering::Relaxed);
            }
            open[0].fetch_add(1, Ordering::Relaxed);
            times.lock().unwrap_or_else(PoisonError::into_inner).record(begun.elapsed());
            crate::measure::count(&api.recorder.live.sockets);
            drop((permit, times, open, api, schedules, token));
            listen(socket, first_id, waiting, &ears).await;
        });
    }
    // When all permits are back, nobody is connecting any more.
    drop(permits.acquire_many(u32::try_from(at_once.max(1)).unwrap_or(1)).await);
    let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let [sockets, subscriptions] = [0, 1].map(|at: usize| open[at].load(Ordering::Relaxed));
    Open { sockets, subscriptions, times, _listening: listening }
}

/// Notes every push of a socket until it is lost.
async fn listen(mut socket: Socket, first_id: usize, mut waiting: Vec<bool>, ears: &Ears) {
    loop {
        match socket.next_of().await {
            Ok((id, Pushed::Next(push))) => {
                if let Some(waits) = waiting.get_mut(id) {
                    *waits = ears.hear(first_id + id, &push, *waits);
                }
            }
            Ok(_) => {}
            Err(_) => {
                ears.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_by_socket_and_by_subscription() {
        let open =
            Open { sockets: 2, subscriptions: 6, times: Times::new(), _listening: JoinSet::new() };
        let expected = Memory { kb_per_socket: 6.0, kb_per_subscription: 2.0 };
        assert_eq!(open.memory(12.0), expected);
    }
}
