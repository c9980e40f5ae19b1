//! A queue token that a statement of a higher floor has changed along with what it is about.

use sea_orm::FromQueryResult;

use crate::{
    kernel::{PersonId, Timestamp},
    waiting_room::{Change, QueueStatus},
};

/// Part of a statement's row: what the token is now. The statement names the columns so; all of them are null where it changed no
/// token.
#[derive(Debug, Clone, FromQueryResult)]
pub struct TouchedToken {
    number: Option<i64>,
    token_status: Option<QueueStatus>,
    token_version: Option<i64>,
    activated_at: Option<Timestamp>,
    token_expires_at: Option<Timestamp>,
}

impl TouchedToken {
    /// What has to be told of this person's token; `None` where nothing was changed, and where `is_news` says no to what it is now:
    /// a place that had ended before is no news.
    pub fn change(
        &self,
        person_id: PersonId,
        is_news: impl FnOnce(QueueStatus) -> bool,
    ) -> Option<Change> {
        let status = self.token_status.filter(|status| is_news(*status))?;
        Some(Change {
            number: self.number?,
            person_id,
            status,
            version: self.token_version?,
            activated_at: self.activated_at,
            expires_at: self.token_expires_at,
            // Only a round makes somebody ACTIVE.
            was_active: status == QueueStatus::Active,
            // A turn that such a statement ends is USED.
            ended_because: None,
        })
    }
}
