//! The rooms that are reconfigured meanwhile, and put back afterwards.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Result,
    api::{Api, Room, SeatId},
    history::Ms,
};

/// An opening later than this is not waited for.
const OPENING_MAX: Ms = 600_000;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a room is. Whether it is paused shows only while it is on sale, so a caller who means to put it back waits for the
/// opening.
///
/// # Errors
/// When there is no such room, or it does not tell whether it is paused.
pub(super) async fn known(api: &Api, organizer: Option<&str>) -> Result<Room> {
    loop {
        let schedule = api
            .room(organizer)
            .await
            .map_err(|failure| format!("{}: {failure}", api.target.host))?
            .ok_or("there is no such performance; `stampede stage` makes one")?;
        let opens_in = schedule.sales_open_at.0 - api.recorder.clock.now();
        let room = schedule.waiting_room;
        match room.status.as_str() {
            _ if organizer.is_none() => return Ok(room),
            "OPEN" | "PAUSED" => return Ok(room),
            "PREQUEUE" if opens_in < OPENING_MAX => {
                eprintln!("Sales open in {} s.", opens_in.max(0) / 1_000);
                let wait = Duration::from_millis(u64::try_from(opens_in).unwrap_or(0));
                sleep(wait.max(LOOK_EVERY)).await;
            }
            status => {
                return Err(format!(
                    "the room of {} is {status}: only one that is OPEN or PAUSED can be put back as it was",
                    api.schedule
                )
                .into());
            }
        }
    }
}

/// Changes all rooms, one after the other.
///
/// # Errors
/// When the server refuses one of them.
pub(super) async fn configure(rooms: &[Arc<Api>], organizer: &str, input: &Value) -> Result<()> {
    const QUERY: &str = "mutation Configure($id: ID!, $input: WaitingRoomInput!) {
        it: configureWaitingRoom(scheduleId: $id, input: $input) { it: schedule { id } userErrors { code message } } }";
    for api in rooms {
        let variables = json!({ "id": api.schedule, "input": input });
        api.organize::<SeatId>(organizer, QUERY, variables).await?;
    }
    Ok(())
}

/// Puts all rooms back as they were; whether each of them is.
pub(super) async fn restore(rooms: &[Arc<Api>], organizer: &str, before: &[Room]) -> bool {
    let mut all = true;
    for (api, room) in rooms.iter().zip(before) {
        let input = json!({ "maxActive": room.max_active, "admitPerRound": room.admit_per_round,
                            "paused": room.status == "PAUSED" });
        if let Err(error) = configure(std::slice::from_ref(api), organizer, &input).await {
            eprintln!("The room of {} could not be put back to {input}: {error}", api.schedule);
            all = false;
        }
    }
    all
}
