//! `stampede run`: plays an on-sale from the first arrival to the report.

#![expect(clippy::print_stdout, reason = "the report is the answer")]

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OnceCell, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};
use uuid::Uuid;

use crate::{
    Result,
    api::{COMPARING, Schedule, backoff},
    fan::{Actor, in_ms},
    history::{Clock, Draw, Fan, History, Ms, OwnLag, RoomSample},
    interrupt,
    measure::Recorder,
    net::allow_open_files,
    options::RunOptions,
    plan,
    progress::{Bar, Progress},
    report::{self, Setting},
    sessions,
    stage::{Phase, Stage},
};

/// How often the room is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is shown while it runs.
static BARS: [Bar; 4] = [Bar::Entered, Bar::Admitted, Bar::Bought, Bar::Done];
/// How long fans may take to go home.
const CURFEW: Duration = Duration::from_secs(60);
/// How often the room is asked for the secret of the draw; the last time some six seconds after the first.
const ROOM_TRIES: u32 = 7;

/// Plays it; whether every check holds.
///
/// # Errors
/// When it cannot begin, or the report cannot be written.
pub(crate) async fn run(options: &RunOptions) -> Result<bool> {
    let tokens = sessions::read(&options.sessions, options.fans)?;
    let server = &options.server;
    let sockets = tokens.len().min(options.sockets);
    let connections = (server.connections + COMPARING) * server.urls.len();
    allow_open_files(u64::try_from(sockets + connections)?)?;
    let recorder = Arc::new(Recorder::new(Clock::start()));
    let apis = sessions::apis(server, &options.schedule, &recorder)?;
    let first = apis.first().ok_or("no server")?.clone();
    let schedule = first
        .room(tokens.first().map(String::as_str))
        .await
        .map_err(|failure| format!("{}: {failure}", first.target.host))?
        .ok_or("there is no such performance; `stampede stage` makes one")?;
    let limit = in_ms(f64::from(u32::try_from(options.seconds.unwrap_or(options.minutes * 60))?));
    let opening = schedule.sales_open_at.0.max(recorder.started + 1_000);
    let lead = schedule.sales_open_at.0 - recorder.started;
    if lead > limit.max(600_000) {
        return Err("sales open in more than ten minutes; come back later".into());
    }
    let (phase, phases) = watch::channel(Phase::Running);
    let leaving = phase.clone();
    interrupt::hear(move || send_home(&leaving))?;
    let stage = Arc::new(Stage {
        clock: recorder.clock,
        apis,
        recorder: recorder.clone(),
        opening,
        started: recorder.started,
        think_seconds: options.crowd.think_seconds,
        compare: options.compare,
        comparing: Semaphore::new(COMPARING),
        sockets: Arc::new(Semaphore::new(sockets)),
        phase: phases,
        run: format!("{:x}", recorder.started),
        hall: OnceCell::new(),
    });
    let mut history = play(options, &stage, phase, &tokens, opening + limit).await;
    history.sales_open_at = schedule.sales_open_at.0;
    history.draw = draw(&stage, &schedule).await;
    let people = sessions::people(&options.sessions, options.fans)?;
    for fan in &mut history.fans {
        fan.person = usize::try_from(fan.index).ok().and_then(|at| *people.get(at)?);
    }
    audit(&stage, &mut history, &tokens, options.audit).await;
    let setting = setting(options, &stage, &schedule, tokens.len());
    finish(options, setting, &stage, &history)
}

/// The commitment as it was before, and the secret as it is shown now. A failed query is tried again, and so is one that
/// comes before the draw is over.
async fn draw(stage: &Stage, before: &Schedule) -> Option<Draw> {
    let mut draw = None;
    for attempt in 0..ROOM_TRIES {
        if let Some(failed) = attempt.checked_sub(1) {
            sleep(backoff(failed)).await;
        }
        let api = stage.apis.get(usize::try_from(attempt).ok()? % stage.apis.len().max(1))?;
        let asked_at = stage.clock.now();
        if let Ok(Some(now)) = api.room(None).await {
            let secret = now.waiting_room.draw_secret;
            let done = secret.is_some() || asked_at < stage.opening;
            let commitment = before.waiting_room.draw_commitment.clone();
            let schedule = Uuid::try_parse(&api.schedule).ok()?;
            draw = Some(Draw { schedule, commitment, secret, asked_at });
            if done {
                break;
            }
        }
    }
    draw
}

/// Everybody's part, from the first arrival until all are home.
async fn play(
    options: &RunOptions,
    stage: &Arc<Stage>,
    phase: watch::Sender<Phase>,
    tokens: &[String],
    deadline: Ms,
) -> History {
    let progress = Progress::start(stage.recorder.clone(), tokens.len(), &BARS);
    let lag = Arc::new(Mutex::new(OwnLag::default()));
    let pulse = tokio::spawn(measure_own_lag(stage.clock, lag.clone()));
    let lead = f64::from(u32::try_from((stage.opening - stage.started) / 1_000).unwrap_or(0));
    // An opening a second ahead is one that we made up.
    let lead = if lead > 1.5 { lead - 1.0 } else { 0.0 };
    let parts = plan::deal(tokens.len(), options.seed, lead, &options.curve, &options.crowd);
    let mut playing = JoinSet::new();
    for (index, (token, part)) in tokens.iter().zip(parts).enumerate() {
        if let Some(actor) = Actor::new(stage.clone(), index, token.clone(), part) {
            playing.spawn(actor.live());
        }
    }
    let samples = Arc::new(Mutex::new(Vec::new()));
    let looking = look_at_room(stage.clone(), phase.clone(), deadline, samples.clone());
    let monitor = tokio::spawn(looking);
    let mut history = gather(stage, playing).await;
    drop(progress);
    phase.send_replace(Phase::Over);
    pulse.abort();
    monitor.abort();
    history.room = std::mem::take(&mut *samples.lock().unwrap_or_else(PoisonError::into_inner));
    history.own_lag = std::mem::take(&mut *lag.lock().unwrap_or_else(PoisonError::into_inner));
    history
}

/// Waits until all are home, or should be. Those who do not come home are counted.
async fn gather(stage: &Stage, mut playing: JoinSet<Fan>) -> History {
    let mut history = History::default();
    let mut take = |joined: std::result::Result<Fan, JoinError>| match joined {
        Ok(fan) => history.fans.push(fan),
        Err(_) => history.crashed += 1,
    };
    let curfew = async {
        stage.reached(Phase::Over).await;
        sleep(CURFEW).await;
    };
    tokio::pin!(curfew);
    loop {
        tokio::select! {
            joined = playing.join_next() => match joined {
                Some(joined) => take(joined),
                None => break,
            },
            () = &mut curfew => break,
        }
    }
    while let Some(joined) = playing.try_join_next() {
        take(joined);
    }
    history.still_playing = playing.len();
    history.fans.sort_unstable_by_key(|fan| fan.index);
    history
}

/// Ctrl-C sends everybody home.
fn send_home(phase: &watch::Sender<Phase>) {
    let before = phase.send_replace(Phase::Over);
    let news = if before == Phase::Over { "The report is near" } else { "Everybody goes home" };
    eprintln!("{news}; press Ctrl-C again to stop without a report.");
}

/// Looks at the room and says when it is sold out, or when the time is over.
async fn look_at_room(
    stage: Arc<Stage>,
    phase: watch::Sender<Phase>,
    deadline: Ms,
    samples: Arc<Mutex<Vec<RoomSample>>>,
) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0_usize.. {
        tokio::select! {
            _ = looks.tick() => {}
            () = stage.reached(Phase::Over) => return,
        }
        if stage.clock.now() >= deadline {
            phase.send_replace(Phase::Over);
            return;
        }
        // Whichever instance is there.
        let Some(api) = stage.apis.get(turn % stage.apis.len().max(1)) else { return };
        let Ok(Some(schedule)) = api.room(None).await else { continue };
        let sample = sample(stage.clock.now(), schedule);
        if sample.status == "SOLD_OUT" {
            phase.send_if_modified(|phase| {
                let news = *phase == Phase::Running;
                *phase = (*phase).max(Phase::SoldOut);
                news
            });
        }
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

fn sample(at: Ms, schedule: Schedule) -> RoomSample {
    let room = schedule.waiting_room;
    RoomSample {
        at,
        status: room.status,
        waiting: room.waiting_count,
        active: room.active_count,
        max_active: room.max_active,
        remaining_seats: schedule.remaining_seats,
        estimate: room.estimated_wait_seconds,
    }
}

/// How late timers of ours fire.
async fn measure_own_lag(clock: Clock, lag: Arc<Mutex<OwnLag>>) {
    const NAP: Duration = Duration::from_millis(50);
    loop {
        let (from, begun) = (clock.now(), Instant::now());
        sleep(NAP).await;
        let late = begun.elapsed().saturating_sub(NAP);
        let late = Ms::try_from(late.as_millis()).unwrap_or(Ms::MAX);
        lag.lock().unwrap_or_else(PoisonError::into_inner).note(from, clock.now(), late);
    }
}

/// Reads the wallets of some fans, buyers first.
async fn audit(stage: &Arc<Stage>, history: &mut History, tokens: &[String], count: usize) {
    let mut order: Vec<usize> =
        (0..history.fans.len()).filter(|at| history.fans[*at].wallet.is_some()).collect();
    order.sort_by_key(|at| !history.fans[*at].holdings.iter().any(|holding| holding.paid));
    let since = stage.started - history.clock_offset();
    let mut reading = JoinSet::new();
    for at in order.into_iter().take(count) {
        let index = usize::try_from(history.fans[at].index).unwrap_or(0);
        let Some(api) = stage.apis.get(index % stage.apis.len().max(1)).cloned() else { continue };
        let Some(token) = tokens.get(index).cloned() else { continue };
        reading.spawn(async move { (at, Actor::audit(&api, &token, since).await) });
    }
    while let Some(read) = reading.join_next().await {
        let Ok((at, audit)) = read else { continue };
        if let Some(fan) = history.fans.get_mut(at) {
            fan.audit = audit;
        }
    }
}

fn setting(options: &RunOptions, stage: &Stage, schedule: &Schedule, fans: usize) -> Setting {
    let began = chrono::DateTime::from_timestamp_millis(stage.started).unwrap_or_default();
    Setting {
        schedule: options.schedule.clone(),
        urls: options.server.urls.clone(),
        fans,
        seed: options.seed,
        seats: schedule.seat_count,
        admit_per_round: schedule.waiting_room.admit_per_round,
        round_seconds: schedule.waiting_room.round_seconds,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        began: began.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        seconds: (stage.clock.now() - stage.started) / 1_000,
        opening: (stage.opening - stage.started) / 1_000,
        require_all: options.require_all,
        require_goals: options.require_goals,
    }
}

fn finish(
    options: &RunOptions,
    setting: Setting,
    stage: &Stage,
    history: &History,
) -> Result<bool> {
    let heard = match stage.recorder.live.last_sale.load(Ordering::Relaxed) {
        0 => None,
        at => Some(at),
    };
    let last_sale = history.last_sale().or(heard);
    let figures = stage.recorder.figures();
    let report = report::make(setting, history, figures, stage.started, last_sale);
    println!("{}", report::table(&report));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &options.html {
        std::fs::write(path, report::page(&report))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("  The report: {}", path.display());
    }
    Ok(report.passed)
}
