//! What the API answers, as far as it is asked for here.

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::history::Ms;

/// An instant as milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant(pub Ms);

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
pub struct Place {
    pub token: Option<String>,
    pub status: String,
    pub position: Option<u32>,
    pub estimated_wait_seconds: Option<u32>,
    pub entered_at: Instant,
    pub activated_at: Option<Instant>,
    pub expires_at: Option<Instant>,
    pub poll_after_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Seat {
    pub id: String,
    #[serde(default)]
    pub section: String,
    #[serde(default)]
    pub grade: String,
    pub status: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    pub id: String,
    pub total_price: i64,
    pub held_at: Instant,
    pub expires_at: Instant,
    #[serde(default)]
    pub seats: Vec<SeatId>,
    #[serde(default)]
    pub schedule: Option<SeatId>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SeatId {
    pub id: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    pub sales_open_at: Instant,
    pub seat_count: i64,
    pub remaining_seats: i64,
    pub waiting_room: Room,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    pub status: String,
    pub waiting_count: i64,
    pub active_count: i64,
    pub max_active: i64,
    pub admit_per_round: i64,
    pub round_seconds: f64,
    pub estimated_wait_seconds: Option<i64>,
    pub draw_commitment: String,
    pub draw_secret: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub status: String,
    pub approved_at: Option<Instant>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub kind: String,
    pub delta: i64,
    pub created_at: Instant,
}

#[derive(Debug, Deserialize)]
pub struct Nodes<T> {
    pub nodes: Vec<T>,
}

/// What the audit reads.
#[derive(Debug, Deserialize)]
pub struct Books {
    pub balance: i64,
    pub entries: Nodes<Entry>,
    pub reservations: Nodes<Reservation>,
}
