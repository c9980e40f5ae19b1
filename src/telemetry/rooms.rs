//! The metrics of each waiting room, labelled with its schedule. A room is on the page while it is open, and goes with it.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
};

use crate::kernel::ScheduleId;

/// What is told about one room.
///
/// The status and the gauges `waiting`, `active` and `absent` are facts of the database: every instance tells the same, a few
/// seconds old. Everything else is what this instance did or has.
#[derive(Debug)]
pub struct RoomMetrics {
    /// Every status that a room can have, and whether it has it; empty until that is known.
    status: Mutex<Vec<(&'static str, bool)>>,
    /// People in line.
    pub waiting: Gauge,
    /// People who are in.
    pub active: Gauge,
    /// People in line who were away at their turn, and are so still.
    pub absent: Gauge,
    /// Subscriptions of places in this line, on this instance.
    pub watchers: Gauge,
    /// People admitted by rounds of this instance.
    pub admitted: Counter,
    /// People passed over by rounds of this instance.
    pub passed_over: Counter,
    /// Places that ended without a purchase, told by this instance.
    pub expired: Counter,
    /// Times this instance began to build the line's index anew.
    pub rebuilds: Counter,
    /// Seconds from entering, or from the opening if that was later, to being admitted.
    pub wait_seconds: Histogram,
    /// Seconds from an admission to its push being handed to the watcher's socket.
    pub push_seconds: Histogram,
}

impl Default for RoomMetrics {
    fn default() -> Self {
        let waits =
            [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0];
        Self {
            status: Mutex::default(),
            waiting: Gauge::default(),
            active: Gauge::default(),
            absent: Gauge::default(),
            watchers: Gauge::default(),
            admitted: Counter::default(),
            passed_over: Counter::default(),
            expired: Counter::default(),
            rebuilds: Counter::default(),
            wait_seconds: Histogram::new(waits),
            push_seconds: Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]),
        }
    }
}

impl RoomMetrics {
    fn status(&self) -> MutexGuard<'_, Vec<(&'static str, bool)>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which one of all statuses the room has. Each of them is on the page from now on, so that an alarm can be set on one
    /// that it never had.
    pub fn has_status(&self, status: &'static str, all: impl Iterator<Item = &'static str>) {
        *self.status() = all.map(|one| (one, one == status)).collect();
    }
}

/// The rooms by schedule; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RoomsMetrics(Arc<Mutex<BTreeMap<ScheduleId, Arc<RoomMetrics>>>>);

impl RoomsMetrics {
    fn rooms(&self) -> MutexGuard<'_, BTreeMap<ScheduleId, Arc<RoomMetrics>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metrics of a room, which is on the page from now on.
    pub fn of(&self, schedule_id: ScheduleId) -> Arc<RoomMetrics> {
        self.rooms().entry(schedule_id).or_default().clone()
    }

    /// Takes every room off the page that is not among these.
    pub fn keep(&self, open: &HashSet<ScheduleId>) {
        self.rooms().retain(|schedule_id, _| open.contains(schedule_id));
    }
}

type Part = (&'static str, &'static str, MetricType, fn(&RoomMetrics) -> &dyn EncodeMetric);

/// Name, description, type, and where it stands.
const PARTS: [Part; 10] = [
    ("room_waiting", "People in line; the same on every instance", MetricType::Gauge, |room| {
        &room.waiting
    }),
    ("room_active", "People who are in; the same on every instance", MetricType::Gauge, |room| {
        &room.active
    }),
    (
        "room_absent",
        "People in line who were away at their turn; the same on every instance",
        MetricType::Gauge,
        |room| &room.absent,
    ),
    ("room_watchers", "Subscriptions of this line", MetricType::Gauge, |room| &room.watchers),
    ("room_admitted", "People admitted", MetricType::Counter, |room| &room.admitted),
    ("room_passed_over", "People away at their turn", MetricType::Counter, |room| {
        &room.passed_over
    }),
    ("room_expired", "Places that ended without a purchase", MetricType::Counter, |room| {
        &room.expired
    }),
    ("room_rebuilds", "Rebuilds of the line in Redis", MetricType::Counter, |room| &room.rebuilds),
    (
        "room_wait_seconds",
        "Time from entering, or from the opening if later, to being admitted",
        MetricType::Histogram,
        |room| &room.wait_seconds,
    ),
    ("room_push_seconds", "Time from an admission to its push", MetricType::Histogram, |room| {
        &room.push_seconds
    }),
];

impl Collector for RoomsMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let rooms: Vec<(String, Arc<RoomMetrics>)> =
            self.rooms().iter().map(|(id, room)| (id.to_string(), room.clone())).collect();
        let mut family = encoder.encode_descriptor(
            "room_status",
            "1 for what the room does; the same on every instance",
            None,
            MetricType::Gauge,
        )?;
        for (schedule, room) in &rooms {
            for (status, has) in room.status().iter() {
                let labels = [("schedule", schedule.as_str()), ("status", *status)];
                ConstGauge::new(i64::from(*has)).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, kind, part) in PARTS {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (schedule, room) in &rooms {
                let labels = [("schedule", schedule.as_str())];
                part(room).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_room_is_on_the_page_while_it_is_kept() {
        let metrics = Metrics::new();
        let (open, over) = (ScheduleId::new(), ScheduleId::new());
        metrics.rooms.of(open).admitted.inc_by(3);
        metrics.rooms.of(over).waiting.set(7);
        metrics.rooms.of(open).has_status("OPEN", ["PAUSED", "OPEN"].into_iter());
        let page = metrics.render();
        assert!(
            page.contains(&format!("frontrow_room_waiting{{schedule=\"{over}\"}} 7")),
            "{page}"
        );
        metrics.rooms.keep(&HashSet::from([open]));
        let page = metrics.render();
        assert!(!page.contains(&over.to_string()), "{page}");
        assert!(
            page.contains(&format!("frontrow_room_admitted_total{{schedule=\"{open}\"}} 3")),
            "{page}"
        );
        for (status, value) in [("OPEN", 1), ("PAUSED", 0)] {
            let line = format!(
                "frontrow_room_status{{schedule=\"{open}\",status=\"{status}\"}} {value}\n"
            );
            assert!(page.contains(&line), "{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }
}
