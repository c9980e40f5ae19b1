//! Telling every instance what changed in a room, after Postgres has it.

use serde::{Deserialize, Serialize};

use super::{QueueEnd, QueueStatus, WaitingRooms};
use crate::{
    kernel::{PersonId, ScheduleId, Timestamp},
    telemetry::EndedLabels,
};

/// One person's new state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Their number in line.
    pub number: i64,
    /// Who they are.
    pub person_id: PersonId,
    /// Where they stand now.
    pub status: QueueStatus,
    /// Grows with every action of the person; of two changes the one with the larger version is the newer.
    pub version: i64,
    /// When they were admitted.
    #[serde(with = "chrono::serde::ts_milliseconds_option", default)]
    pub activated_at: Option<Timestamp>,
    /// When their ACTIVE time ends.
    #[serde(with = "chrono::serde::ts_milliseconds_option", default)]
    pub expires_at: Option<Timestamp>,
    /// Why the place has EXPIRED; `None` while it has not, and where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_because: Option<QueueEnd>,
    /// They were ACTIVE before as well, so the line has let them go long ago. Others need not know.
    #[serde(skip)]
    pub was_active: bool,
}

impl Change {
    /// Whether the line has to let this person go.
    pub(super) fn leaves_line(&self) -> bool {
        self.status != QueueStatus::Waiting && !self.was_active
    }
}

/// What is told about a room. Changes of status come in the order in which Postgres committed them for each person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who changed.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// The room itself changed (paused, sold out, closed, ...): read its summary again.
    #[serde(default)]
    pub room_changed: bool,
}

/// An event as it travels: with its place in the numbered stream of the room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Message {
    pub generation: u64,
    pub seq: u64,
    /// Everybody WAITING after this event.
    pub waiting: i64,
    /// Numbers that left the line with this event.
    #[serde(default)]
    pub gone: Vec<i64>,
    /// Numbers that came into the line late, with others behind them there already.
    #[serde(default)]
    pub late: Vec<i64>,
    pub event: Event,
}

impl WaitingRooms {
    /// Takes everybody who is no longer WAITING out of the index and tells all instances.
    ///
    /// Postgres has it already, so a failure here loses nothing: watchers of this instance are told directly, those of
    /// others when they next compare with the journal.
    pub async fn announce(&self, schedule_id: ScheduleId, event: Event) {
        if event.room_changed {
            self.summaries.forget(schedule_id);
        }
        for change in event.changes.iter().filter(|change| change.status.ended()) {
            let labels = EndedLabels { status: change.status.as_str() };
            self.metrics.queue_ended.get_or_create(&labels).inc();
            if change.status == QueueStatus::Expired {
                self.metrics.rooms.of(schedule_id).expired.inc();
            }
        }
        // Those of this instance know before the answer is given, and not only when the message has come round.
        self.rooms.hear(schedule_id, &event);
        match self.index.publish(schedule_id, &event).await {
            Ok(true) => {}
            Ok(false) => {
                self.rooms.apply_unnumbered(schedule_id, &event);
                self.rebuild_soon(schedule_id);
            }
            Err(fault) => {
                tracing::debug!(%schedule_id, fault = %fault.report(), "room event stays on this instance");
                self.rooms.apply_unnumbered(schedule_id, &event);
            }
        }
    }

    /// Says that the room itself changed: paused, resumed, sold out, on sale again, closed.
    pub async fn announce_room(&self, schedule_id: ScheduleId) {
        self.announce(schedule_id, Event { room_changed: true, ..Event::default() }).await;
        self.kick(schedule_id);
    }
}
