//! When the rounds of all waiting rooms run: at their time, and at once when a place gets free. What a round does stands in
//! `waiting_room`.
//!
//! Each round is a task of its own. A room whose rounds are slow, fail or panic keeps nobody else waiting.

mod agenda;

use std::sync::Arc;

use agenda::Agenda;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    kernel::{Fault, ScheduleId},
    tasks::Tasks,
    telemetry::Span,
    waiting_room::WaitingRooms,
};

/// How often all rooms with people in front are looked at, whether somebody kicked or not.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How many looks later those whose time is over are looked for too.
const LOOKS_PER_TIME_OVER: u32 = 4;
/// Kicks that arrive within this time are one.
const GATHER: Duration = Duration::from_millis(20);

/// What came to an end.
enum Ended {
    /// A look at all rooms: which are due.
    Look(Result<Vec<ScheduleId>, Fault>),
    /// A round, and when the next is worth running. Nothing when it panicked.
    Round(ScheduleId, Option<Result<Option<Duration>, Fault>>),
}

type UnderWay = FuturesUnordered<BoxFuture<'static, Ended>>;

/// Runs rounds until `stopping` is cancelled. Should it die, another run goes on with the same kicks.
pub(super) async fn run(
    rooms: WaitingRooms,
    tasks: Tasks,
    kicked: Arc<Mutex<mpsc::Receiver<ScheduleId>>>,
    stopping: CancellationToken,
) {
    let mut kicked = kicked.lock().await;
    let (mut agenda, mut under_way) = (Agenda::default(), UnderWay::new());
    let (mut next_look, mut looks) = (Some(Instant::now()), 0_u32);
    loop {
        let now = Instant::now();
        while let Some(schedule_id) = agenda.start(now) {
            under_way.push(round(&rooms, &tasks, schedule_id));
        }
        if next_look.is_some_and(|time| time <= now) {
            // The next one follows this one's end.
            next_look = None;
            looks = looks.wrapping_add(1);
            under_way.push(look(rooms.clone(), looks.is_multiple_of(LOOKS_PER_TIME_OVER)).boxed());
        }
        let wake = [next_look, agenda.next()].into_iter().flatten().min();
        tokio::select! {
            () = stopping.cancelled() => break,
            kick = kicked.recv() => {
                let Some(schedule_id) = kick else { break };
                agenda.add(schedule_id, Instant::now() + GATHER);
            }
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            Some(ended) = under_way.next() => match ended {
                Ended::Look(found) => {
                    next_look = Some(Instant::now() + LOOK_EVERY);
                    match found {
                        Ok(found) => found.into_iter().for_each(|id| agenda.add(id, Instant::now())),
                        Err(fault) => tracing::warn!(fault = %fault.report(), "rooms could not be looked at"),
                    }
                    agenda.tidy(Instant::now());
                }
                Ended::Round(schedule_id, outcome) => note(&mut agenda, schedule_id, outcome),
            },
        }
    }
    // What has begun comes to its end: nobody else tells what it did.
    while under_way.next().await.is_some() {}
}

fn round(
    rooms: &WaitingRooms,
    tasks: &Tasks,
    schedule_id: ScheduleId,
) -> BoxFuture<'static, Ended> {
    let rooms = rooms.clone();
    let round = tasks.spawn_vital("a round", async move {
        let span = Span::of_worker("round");
        if span.is_on() {
            span.set("frontrow.schedule_id", schedule_id.to_string());
        }
        span.run(rooms.run_round(schedule_id)).await
    });
    // A task that could not be joined has done as little as one that panicked.
    async move { Ended::Round(schedule_id, round.await.ok().flatten()) }.boxed()
}

async fn look(rooms: WaitingRooms, time_over: bool) -> Ended {
    Ended::Look(due(&rooms, time_over).await)
}

async fn due(rooms: &WaitingRooms, time_over: bool) -> Result<Vec<ScheduleId>, Fault> {
    let mut due = rooms.with_people_in_front().await?;
    if time_over {
        due.extend(rooms.with_time_over().await?);
    }
    Ok(due)
}

fn note(
    agenda: &mut Agenda,
    schedule_id: ScheduleId,
    outcome: Option<Result<Option<Duration>, Fault>>,
) {
    let now = Instant::now();
    match outcome {
        Some(Ok(again)) => {
            agenda.over(schedule_id);
            // Later than that, the next look finds it.
            if let Some(again) = again.filter(|again| *again < LOOK_EVERY) {
                agenda.add(schedule_id, now + again);
            }
        }
        Some(Err(fault)) => {
            tracing::warn!(%schedule_id, fault = %fault.report(), "a round will be tried again");
            agenda.failed(schedule_id, now);
        }
        None => agenda.failed(schedule_id, now),
    }
}
