//! The rounds of all waiting rooms: at their time, and at once when a place gets free.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Mutex, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    kernel::{Fault, ScheduleId},
    waiting_room::WaitingRooms,
};

/// How often all rooms with people in front are looked at, whether somebody kicked or not.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// So many looks later, those whose time is over are looked for too.
const LOOKS_PER_TIME_OVER: u32 = 4;
/// Kicks that arrive within this time are one.
const GATHER: Duration = Duration::from_millis(20);
/// Rooms that are served at once.
const ROUNDS_AT_ONCE: usize = 4;

/// Runs rounds until `stopping` is cancelled. Should it die, another run goes on with the same kicks.
pub(super) async fn run(
    rooms: WaitingRooms,
    kicked: Arc<Mutex<mpsc::Receiver<ScheduleId>>>,
    stopping: CancellationToken,
) {
    let mut kicked = kicked.lock().await;
    let (mut next_look, mut looks) = (Instant::now(), 0_u32);
    // Rooms with a time of their own: the budget of a round comes back between two looks.
    let mut appointments: HashMap<ScheduleId, Instant> = HashMap::new();
    loop {
        let next =
            appointments.values().copied().min().map_or(next_look, |time| time.min(next_look));
        let mut due = BTreeSet::new();
        tokio::select! {
            () = stopping.cancelled() => return,
            kick = kicked.recv() => {
                let Some(schedule_id) = kick else { return };
                sleep(GATHER).await;
                due.insert(schedule_id);
                while let Ok(schedule_id) = kicked.try_recv() {
                    due.insert(schedule_id);
                }
            }
            () = sleep_until(next) => {
                let now = Instant::now();
                due.extend(appointments.iter().filter(|(_, time)| **time <= now).map(|(id, _)| *id));
                if next_look <= now {
                    next_look = now + LOOK_EVERY;
                    looks = looks.wrapping_add(1);
                    match look(&rooms, looks.is_multiple_of(LOOKS_PER_TIME_OVER)).await {
                        Ok(found) => due.extend(found),
                        Err(fault) => tracing::warn!(fault = %fault.report(), "rooms could not be looked at"),
                    }
                }
            }
        }
        appointments.retain(|schedule_id, _| !due.contains(schedule_id));
        let rounds = stream::iter(due)
            .map(async |schedule_id| (schedule_id, rooms.run_round(schedule_id).await));
        let mut rounds = std::pin::pin!(rounds.buffer_unordered(ROUNDS_AT_ONCE));
        while let Some((schedule_id, outcome)) = rounds.next().await {
            match outcome {
                Ok(Some(again)) if again < LOOK_EVERY => {
                    appointments.insert(schedule_id, Instant::now() + again);
                }
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!(%schedule_id, fault = %fault.report(), "a round will be tried again");
                }
            }
        }
    }
}

async fn look(rooms: &WaitingRooms, time_over: bool) -> Result<Vec<ScheduleId>, Fault> {
    let mut due = rooms.with_people_in_front().await?;
    if time_over {
        due.extend(rooms.with_time_over().await?);
    }
    Ok(due)
}
