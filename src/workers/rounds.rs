//! The rounds of all waiting rooms: at their time, and at once when a place gets free.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{kernel::ScheduleId, waiting_room::WaitingRooms};

/// How often all rooms are looked at, whether somebody kicked or not.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Kicks that arrive within this time are one.
const GATHER: Duration = Duration::from_millis(5);

/// Runs rounds until `stopping` is cancelled.
pub(super) async fn run(
    rooms: WaitingRooms,
    mut kicked: mpsc::Receiver<ScheduleId>,
    stopping: CancellationToken,
) {
    let mut next_look = Instant::now();
    // Rooms with a time of their own: the budget of a round comes back between two looks.
    let mut appointments: HashMap<ScheduleId, Instant> = HashMap::new();
    loop {
        let next =
            appointments.values().copied().min().map_or(next_look, |time| time.min(next_look));
        let mut due: Vec<ScheduleId> = Vec::new();
        tokio::select! {
            () = stopping.cancelled() => return,
            kick = kicked.recv() => match kick {
                None => return,
                Some(schedule_id) => {
                    tokio::time::sleep(GATHER).await;
                    due.push(schedule_id);
                    while let Ok(schedule_id) = kicked.try_recv() {
                        due.push(schedule_id);
                    }
                }
            },
            () = sleep_until(next) => {
                let now = Instant::now();
                due.extend(appointments.iter().filter(|(_, time)| **time <= now).map(|(id, _)| *id));
                if next_look <= now {
                    next_look = now + LOOK_EVERY;
                    match rooms.due().await {
                        Ok(found) => due.extend(found),
                        Err(fault) => tracing::warn!(fault = %fault.report(), "rooms could not be looked at"),
                    }
                }
            }
        }
        due.sort_unstable();
        due.dedup();
        for schedule_id in due {
            appointments.remove(&schedule_id);
            match rooms.run_round(schedule_id).await {
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
