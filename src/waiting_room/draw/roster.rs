//! The roster of a draw: everybody who took part, for publishing and for `frontrow verify-draw`.

use serde::{Deserialize, Serialize};

use super::{Draw, Drawn};
use crate::{
    db::Db,
    kernel::{Fault, PersonId, ScheduleId, Timestamp},
    waiting_room::store,
};

/// Somebody who took part in a draw; one line of a published roster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entrant {
    /// Who, as `me { id }` shows it to them.
    pub person_id: PersonId,
    /// When they entered.
    pub entered_at: Timestamp,
    /// What they drew; missing before the draw is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
}

impl Entrant {
    /// The place that was drawn, if it was.
    pub fn drawn(&self) -> Option<Drawn> {
        self.number.map(|number| Drawn { person_id: self.person_id, number })
    }
}

/// How a schedule's draw stands, and everybody who took part in the order of entering, those who left among them; `None`
/// when there is no such schedule. Numbers are told only once the draw is over.
///
/// # Errors
/// When Postgres cannot be asked.
pub async fn roster(
    db: &Db,
    schedule_id: ScheduleId,
) -> Result<Option<(Draw, Vec<Entrant>)>, Fault> {
    // The people are read after the secret. A person who is missing then had no part in a draw that is over.
    let Some(row) = store::room(db, schedule_id).await? else { return Ok(None) };
    let draw = row.draw()?;
    let mut entrants = store::journal::entrants(db, schedule_id).await?;
    if draw.secret.is_none() {
        for entrant in &mut entrants {
            entrant.number = None;
        }
    }
    Ok(Some((draw, entrants)))
}
