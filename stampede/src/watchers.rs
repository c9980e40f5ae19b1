//! `stampede watchers`: what many idle subscriptions cost, and how fast a push reaches all of them.

#![expect(clippy::print_stdout, reason = "the figures are the answer")]

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Result,
    api::{Api, Room, SeatId},
    history::Clock,
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

/// What came when, since the watchers were asked to listen.
#[derive(Debug, Default)]
struct Ears {
    /// Number of the subscription, and when.
    heard: Mutex<Vec<(usize, Instant)>>,
    lost: AtomicUsize,
    /// Subscriptions last told of WAITING; the others are no longer told of the line.
    waiting: AtomicUsize,
}

impl Ears {
    /// Whether a push tells of WAITING; counts what begins and what ends.
    fn note(&self, push: &[u8], was_waiting: bool) -> bool {
        const WAITING: &[u8] = br#""status":"WAITING""#;
        let waiting = push.windows(WAITING.len()).any(|window| window == WAITING);
        match (was_waiting, waiting) {
            (false, true) => drop(self.waiting.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.waiting.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        waiting
    }
}

/// One change that everybody is told.
#[derive(Debug, Serialize)]
struct Delivery {
    change: &'static str,
    /// Milliseconds until the organizer's mutation was answered.
    answered_ms: f64,
    /// Subscriptions in line when the change was made, and how many of all were told something.
    waiting: usize,
    told: usize,
    pushes: usize,
    /// Milliseconds from sending the mutation to the first push of each subscription.
    arrival: Spread,
    /// From the first one told to the last.
    spread_ms: f64,
    server_cpu_us_per_push: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    sockets: usize,
    subscriptions: usize,
    open: usize,
    lost: usize,
    entered_per_second: f64,
    connected_per_second: f64,
    /// From connecting to the first push.
    connect_ms: Spread,
    server_kb_each: Option<f64>,
    own_kb_each: Option<f64>,
    idle_cpu_percent: Option<f64>,
    deliveries: Vec<Delivery>,
}

/// Runs it; whether every socket stayed open and every change reached everybody.
///
/// # Errors
/// When it cannot begin.
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
    let organizer =
        sessions::organizer(firsts.first().ok_or("no server")?, &options.organizer).await?;
    let organizer = organizer.as_deref();
    let mut before = Vec::new();
    for api in &firsts {
        let room = api
            .room(organizer)
            .await
            .map_err(|failure| format!("{}: {failure}", api.target.host))?
            .ok_or("there is no such performance; `stampede stage` makes one")?;
        before.push(room.waiting_room);
    }
    if let Some(organizer) = organizer {
        // Nearly everybody stays in line.
        let input = json!({ "maxActive": 1, "admitPerRound": 1, "paused": false });
        configure(&firsts, organizer, &input).await?;
    }
    let progress = Progress::start(recorder.clone(), tokens.len(), &[Bar::Entered, Bar::Connected]);
    let begun = Instant::now();
    for apis in &rooms {
        enter(apis, &tokens, server.connections).await?;
    }
    let entered_per_second = per_second(tokens.len() * rooms.len(), begun.elapsed());
    let (mut outcome, sockets) =
        watch_all(options, &rooms, &firsts, &tokens, organizer, own_before).await?;
    outcome.entered_per_second = entered_per_second;
    drop(progress);
    tell(&outcome);
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&outcome)?)?;
    }
    drop(sockets);
    if let Some(organizer) = organizer {
        for (api, room) in firsts.iter().zip(&before) {
            restore(api, organizer, room).await?;
        }
    }
    eprintln!("Everybody leaves.");
    for apis in &rooms {
        each(apis, &tokens, server.connections, async |api, token| api.leave(&token).await.is_ok())
            .await;
    }
    let all_told = outcome.deliveries.iter().all(|delivery| delivery.told >= delivery.waiting);
    Ok(outcome.open == outcome.subscriptions && outcome.lost == 0 && all_told)
}

/// Does something for everybody, so many at once; how many succeeded.
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

async fn watch_all(
    options: &WatchersOptions,
    rooms: &[Vec<Arc<Api>>],
    firsts: &[Arc<Api>],
    tokens: &[String],
    organizer: Option<&str>,
    own_before: Option<f64>,
) -> Result<(Outcome, JoinSet<()>)> {
    let pids = &options.server_pids;
    let own = [std::process::id()];
    let server_before = memory_kb(pids);
    let ears = Arc::new(Ears::default());
    let begun = Instant::now();
    let apis = rooms.first().ok_or("no performance")?;
    let schedules: Arc<[String]> = options.schedules.as_slice().into();
    let (sockets, times, open) = open(apis, &schedules, tokens, options.opening, &ears).await;
    let connected_per_second = per_second(open, begun.elapsed());
    sleep(SETTLE).await;
    let count = f64::from(u32::try_from(open.max(1))?);
    let grown = |before: Option<f64>, pids: &[u32]| {
        Some((memory_kb(pids)? - before?) / count).filter(|_| !pids.is_empty())
    };
    let (server_kb_each, own_kb_each) = (grown(server_before, pids), grown(own_before, &own));
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
    let outcome = Outcome {
        sockets: tokens.len(),
        subscriptions: tokens.len() * rooms.len(),
        open,
        lost: ears.lost.load(Ordering::Relaxed),
        entered_per_second: 0.0,
        connected_per_second,
        connect_ms: times.spread(),
        server_kb_each,
        own_kb_each,
        idle_cpu_percent: idle.map(|cpu| cpu * 100.0 / listen.as_secs_f64()),
        deliveries,
    };
    Ok((outcome, sockets))
}

/// Opens all sockets, so many at once. Each waits for the first push of all its subscriptions before it counts.
async fn open(
    apis: &[Arc<Api>],
    schedules: &Arc<[String]>,
    tokens: &[String],
    at_once: usize,
    ears: &Arc<Ears>,
) -> (JoinSet<()>, Times, usize) {
    let permits = Arc::new(Semaphore::new(at_once.max(1)));
    let times = Arc::new(Mutex::new(Times::new()));
    let open = Arc::new(AtomicUsize::new(0));
    let mut sockets = JoinSet::new();
    for (index, (token, api)) in tokens.iter().zip(apis.iter().cycle()).enumerate() {
        let Ok(permit) = permits.clone().acquire_owned().await else { break };
        let (api, schedules, token) = (api.clone(), schedules.clone(), token.clone());
        let (times, open, ears) = (times.clone(), open.clone(), ears.clone());
        sockets.spawn(async move {
            let begun = Instant::now();
            let Ok(mut socket) = api.watch_all(&token, &schedules).await else { return };
            let first_id = index * schedules.len();
            let mut waiting = vec![false; schedules.len()];
            for _ in 0..schedules.len() {
                let first = timeout(Duration::from_secs(20), socket.next_of()).await;
                let Ok(Ok((id, Pushed::Next(first)))) = first else { return };
                let Some(waits) = waiting.get_mut(id) else { return };
                *waits = ears.note(&first, false);
                open.fetch_add(1, Ordering::Relaxed);
            }
            times.lock().unwrap_or_else(PoisonError::into_inner).record(begun.elapsed());
            crate::measure::count(&api.recorder.live.sockets);
            drop((permit, times, open, api, schedules, token));
            listen(socket, first_id, waiting, &ears).await;
        });
    }
    // When all permits are back, nobody is connecting any more.
    drop(permits.acquire_many(u32::try_from(at_once.max(1)).unwrap_or(1)).await);
    let times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (sockets, times, open.load(Ordering::Relaxed))
}

/// Notes every push of a socket until it is lost.
async fn listen(mut socket: Socket, first_id: usize, mut waiting: Vec<bool>, ears: &Ears) {
    loop {
        match socket.next_of().await {
            Ok((id, Pushed::Next(push))) => {
                if let Some(waits) = waiting.get_mut(id) {
                    *waits = ears.note(&push, *waits);
                }
                let mut heard = ears.heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push((first_id + id, Instant::now()));
            }
            Ok(_) => {}
            Err(_) => {
                ears.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Makes a change to all rooms, one after the other, and listens to how it spreads.
async fn deliver(
    rooms: &[Arc<Api>],
    organizer: &str,
    (change, input): (&'static str, &Value),
    ears: &Ears,
    listen: Duration,
    (pids, idle): (&[u32], Option<f64>),
) -> Result<Delivery> {
    let take = || std::mem::take(&mut *ears.heard.lock().unwrap_or_else(PoisonError::into_inner));
    drop(take());
    let waiting = ears.waiting.load(Ordering::Relaxed);
    let (before, begun) = (cpu_seconds(pids), Instant::now());
    configure(rooms, organizer, input).await?;
    let answered = begun.elapsed();
    sleep(listen.saturating_sub(answered)).await;
    let used = cpu_seconds(pids).zip(before).map(|(after, before)| after - before);
    let heard = take();
    let pushes = heard.len();
    let (mut arrival, mut first, mut last) = (Times::new(), None, None);
    let mut told = std::collections::HashSet::new();
    for (index, at) in heard {
        if told.insert(index) {
            arrival.record(at.saturating_duration_since(begun));
            first = first.or(Some(at));
            last = Some(at);
        }
    }
    let spread = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
    let per_push = f64::from(u32::try_from(pushes.max(1))?);
    Ok(Delivery {
        change,
        answered_ms: answered.as_secs_f64() * 1e3,
        waiting,
        told: told.len(),
        pushes,
        arrival: arrival.spread(),
        spread_ms: spread.as_secs_f64() * 1e3,
        server_cpu_us_per_push: used
            .zip(idle)
            .map(|(used, idle)| (used - idle).max(0.0) * 1e6 / per_push),
    })
}

async fn configure(rooms: &[Arc<Api>], organizer: &str, input: &Value) -> Result<()> {
    const QUERY: &str = "mutation Configure($id: ID!, $input: WaitingRoomInput!) {
        it: configureWaitingRoom(scheduleId: $id, input: $input) { it: schedule { id } userErrors { code message } } }";
    for api in rooms {
        let variables = json!({ "id": api.schedule, "input": input });
        api.organize::<SeatId>(organizer, QUERY, variables).await?;
    }
    Ok(())
}

async fn restore(api: &Arc<Api>, organizer: &str, before: &Room) -> Result<()> {
    let paused = before.status == "PAUSED";
    let input = json!({ "maxActive": before.max_active, "admitPerRound": before.admit_per_round,
                        "paused": paused });
    configure(std::slice::from_ref(api), organizer, &input).await
}

fn tell(outcome: &Outcome) {
    let Outcome { sockets, subscriptions, open, lost, .. } = outcome;
    let Outcome { entered_per_second, connected_per_second, .. } = outcome;
    println!(
        "\n{open} of {subscriptions} subscriptions open over {sockets} sockets, {lost} sockets lost"
    );
    println!("  entered            {entered_per_second:.0} per second");
    println!("  connected          {connected_per_second:.0} per second");
    let Spread { p50, p99, max, .. } = outcome.connect_ms;
    println!("  to the first push  p50 {p50:.0} ms, p99 {p99:.0} ms, max {max:.0} ms");
    if let Some(each) = outcome.server_kb_each {
        println!("  server's memory    {each:.1} kB each");
    }
    if let Some(each) = outcome.own_kb_each {
        println!("  our own memory     {each:.1} kB each, their sessions and our code included");
    }
    if let Some(idle) = outcome.idle_cpu_percent {
        println!("  server idle        {idle:.1} % of a core");
    }
    if outcome.deliveries.is_empty() {
        println!(
            "  Pushes were not measured: --organizer-token or --organizer says who may change the room."
        );
    }
    for delivery in &outcome.deliveries {
        let Delivery { change, answered_ms, waiting, told, pushes, arrival, spread_ms, .. } =
            delivery;
        println!("\n  When {change} (answered in {answered_ms:.0} ms):");
        println!("    {told} of {waiting} in line were told, {pushes} pushes");
        println!(
            "    after p50 {:.0} ms, p99 {:.0} ms, the last {:.0} ms; from first to last {spread_ms:.0} ms",
            arrival.p50, arrival.p99, arrival.max
        );
        if let Some(us) = delivery.server_cpu_us_per_push {
            println!("    {us:.1} us of the server's CPU for each push");
        }
    }
}
