//! What the API answers, as far as it is asked for here.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::history::Ms;

/// An instant as milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Ms);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        chrono::DateTime::parse_from_rfc3339(text)
            .map(|instant| Self(instant.timestamp_millis()))
            .map_err(D::Error::custom)
    }
}

/// `QueueToken`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    pub(crate) token: Option<String>,
    pub(crate) status: String,
    pub(crate) position: Option<u32>,
    pub(crate) estimated_wait_seconds: Option<u32>,
    pub(crate) entered_at: Instant,
    pub(crate) activated_at: Option<Instant>,
    pub(crate) expires_at: Option<Instant>,
    pub(crate) poll_after_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Seat {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) section: String,
    #[serde(default)]
    pub(crate) grade: String,
    pub(crate) status: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reservation {
    pub(crate) id: String,
    pub(crate) total_price: i64,
    pub(crate) held_at: Instant,
    pub(crate) expires_at: Instant,
    #[serde(default)]
    pub(crate) seats: Vec<SeatId>,
    #[serde(default)]
    pub(crate) schedule: Option<SeatId>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeatId {
    pub(crate) id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Schedule {
    pub(crate) sales_open_at: Instant,
    pub(crate) seat_count: i64,
    pub(crate) remaining_seats: i64,
    pub(crate) waiting_room: Room,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Room {
    pub(crate) status: String,
    pub(crate) waiting_count: i64,
    pub(crate) active_count: i64,
    pub(crate) max_active: i64,
    pub(crate) admit_per_round: i64,
    pub(crate) round_seconds: f64,
    pub(crate) estimated_wait_seconds: Option<i64>,
    pub(crate) draw_commitment: String,
    pub(crate) draw_secret: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payment {
    pub(crate) status: String,
    pub(crate) approved_at: Option<Instant>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) delta: i64,
    pub(crate) created_at: Instant,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Nodes<T> {
    pub(crate) nodes: Vec<T>,
}

/// What the audit reads.
#[derive(Debug, Deserialize)]
pub(crate) struct Books {
    pub(crate) balance: i64,
    pub(crate) entries: Nodes<Entry>,
    pub(crate) reservations: Nodes<Reservation>,
}
