//! A performance's reservations as lines, for the door and the accountant.

use std::{borrow::Cow, io};

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use super::{rules, store};
use crate::{
    db::Db,
    kernel::{Fault, PersonId, Points, ReservationId, ScheduleId, Timestamp},
};

/// A seat of an exported reservation, at the price that was agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedSeat {
    /// The section of the hall.
    pub section: String,
    /// The row's letters.
    pub row: String,
    /// The seat's number in its row.
    pub number: i32,
    /// Its grade.
    pub grade: String,
    /// What it costs.
    pub price: Points,
}

/// A reservation that somebody holds or owns, or that money was paid for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportLine {
    /// Names the reservation.
    pub reservation_id: ReservationId,
    /// HOLD, CONFIRMED, CANCELLED or EXPIRED.
    pub status: String,
    /// Who made it; null when their account is gone.
    pub name: Option<String>,
    /// Their e-mail address.
    pub email: Option<String>,
    /// Names the person.
    pub person_id: PersonId,
    /// The seats, in the order of the hall. They stay known when the reservation is over.
    pub seats: Vec<ExportedSeat>,
    /// What the seats cost together.
    pub total_price: Points,
    /// What was paid, whether it was given back or not.
    pub paid: Points,
    /// POINT or CARD.
    pub method: Option<String>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
    /// PENDING, DONE or FAILED; null when no refund was asked for.
    pub refund_status: Option<String>,
    /// What was given back.
    pub refunded: Points,
    /// When that was.
    pub refunded_at: Option<Timestamp>,
    /// When the seats were held.
    pub held_at: Timestamp,
    /// When they became the person's.
    pub confirmed_at: Option<Timestamp>,
    /// When they were given back.
    pub cancelled_at: Option<Timestamp>,
    /// The payments, by the ids that the card gateway knows too.
    pub payment_ids: Vec<String>,
}

const COLUMNS: [&str; 18] = [
    "reservation",
    "status",
    "name",
    "email",
    "person",
    "seats",
    "seat_count",
    "price",
    "paid",
    "method",
    "paid_at",
    "refund",
    "refunded",
    "refunded_at",
    "held_at",
    "confirmed_at",
    "cancelled_at",
    "payments",
];

/// The first line of a CSV table of [`ExportLine`]s.
pub fn csv_header() -> String {
    rules::line(&COLUMNS.map(Cow::from))
}

fn instant(at: Option<Timestamp>) -> Cow<'static, str> {
    at.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Millis, true)).into()
}

impl ExportLine {
    /// The line in a CSV table: quoted by RFC 4180, and without anything that a spreadsheet would compute.
    pub fn csv(&self) -> String {
        let text = |text: &Option<String>| Cow::from(text.clone().unwrap_or_default());
        let seats: Vec<String> = self
            .seats
            .iter()
            .map(|seat| format!("{} {} {}", seat.section, seat.row, seat.number))
            .collect();
        let cells: [Cow<'_, str>; 18] = [
            self.reservation_id.to_string().into(),
            self.status.as_str().into(),
            text(&self.name),
            text(&self.email),
            self.person_id.to_string().into(),
            seats.join("; ").into(),
            self.seats.len().to_string().into(),
            self.total_price.get().to_string().into(),
            self.paid.get().to_string().into(),
            text(&self.method),
            instant(self.paid_at),
            text(&self.refund_status),
            self.refunded.get().to_string().into(),
            instant(self.refunded_at),
            instant(Some(self.held_at)),
            instant(self.confirmed_at),
            instant(self.cancelled_at),
            self.payment_ids.join(" ").into(),
        ];
        rules::line(&cells)
    }
}

/// Why an export stopped.
#[derive(Debug)]
pub enum ExportFailed {
    /// Postgres could not be asked.
    Fault(Fault),
    /// A line could not be written.
    Unwritten(io::Error),
}

impl From<Fault> for ExportFailed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Gives every line of a performance to `write`, oldest reservation first, as all of them stood at one moment. A few hundred are in
/// memory at a time. `false` when there is no such performance.
///
/// # Errors
/// When Postgres cannot be asked, or `write` fails; what was written before stands.
pub async fn export(
    db: &Db,
    schedule_id: ScheduleId,
    mut write: impl FnMut(&ExportLine) -> io::Result<()>,
) -> Result<bool, ExportFailed> {
    db.snapshot(async |tx| {
        if !store::begin_export(tx, schedule_id).await? {
            return Ok(false);
        }
        let mut after = None;
        loop {
            let page = store::export_page(tx, schedule_id, after).await?;
            for line in &page {
                write(line).map_err(ExportFailed::Unwritten)?;
            }
            match page.last() {
                Some(last) => after = Some(last.reservation_id),
                None => return Ok(true),
            }
        }
    })
    .await
}
