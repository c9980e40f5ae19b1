//! One subscription to a place: joining a room, and a stream of what is worth showing.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::time::Instant;

use super::{room::Room, rooms::Followed, screen::ScreenWatch};
use crate::{
    kernel::{Actor, Fault, ScheduleId},
    telemetry::RoomMetrics,
    waiting_room::{Admission, Place, QueueStatus, QueueToken, WaitingRooms, rules, store},
};

/// How often ranks are read again that are too old for the changes already applied.
const LOOKS: usize = 3;

impl WaitingRooms {
    /// The person's place, at once and then at every change worth showing; ends after USED or EXPIRED. `None` when there
    /// never was a place.
    ///
    /// The stream never ends because of Redis: without it, changes come from the journal every two seconds.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn watch(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
    ) -> Result<Option<Watch>, Fault> {
        let followed = self.follow(schedule_id).await;
        match store::latest(&self.db, schedule_id, actor.person_id).await? {
            Some(token) => self.watch_as(followed, token).await.map(Some),
            None => Ok(None),
        }
    }

    /// The place of this token and of no other, whatever else its person does; otherwise as [`WaitingRooms::watch`].
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn watch_token(
        &self,
        schedule_id: ScheduleId,
        admission: Admission,
    ) -> Result<Option<Watch>, Fault> {
        let followed = self.follow(schedule_id).await;
        match store::by_id(&self.db, admission.queue_token_id).await? {
            Some(token) => self.watch_as(followed, token).await.map(Some),
            None => Ok(None),
        }
    }

    async fn watch_as(&self, followed: Followed, token: QueueToken) -> Result<Watch, Fault> {
        let screen = self.join(&followed.room, &token).await?;
        // From here on the watch is taken out of the room, whatever ends this.
        let watch = Watch {
            read_at: Instant::now(),
            screen,
            followed,
            shown: Shown::Nothing,
            metrics: self.metrics.rooms.of(token.schedule_id),
            token,
        };
        // Present first, then back: else a round in between finds them away, and passes them over again.
        self.welcome_back(&watch.token).await?;
        Ok(watch)
    }

    async fn join(&self, room: &Room, token: &QueueToken) -> Result<ScreenWatch, Fault> {
        for _ in 0..LOOKS {
            let (mut ranks, mut position) = (None, None);
            if token.status == QueueStatus::Waiting {
                ranks = self.indexed(token, rules::ACTIVE_PRESENCE).await;
                position = match ranks.as_ref().and_then(|ranks| ranks.positions.first()) {
                    Some(position) => Some(*position),
                    None => Some(self.position_from_journal(token).await?),
                };
            }
            if let Ok(screen) = room.join(token, ranks.as_ref(), position) {
                return Ok(screen);
            }
        }
        Err(Fault::unavailable("the line moved too fast to find a place in it"))
    }
}

/// What has been shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Something,
    /// USED or EXPIRED: nothing follows.
    TheEnd,
}

/// One subscription to a place: a stream of what is worth showing, of which a slow reader gets the newest only.
#[derive(Debug)]
pub struct Watch {
    token: QueueToken,
    /// When `token.now` was the database's time, by the process's clock.
    read_at: Instant,
    screen: ScreenWatch,
    /// The room is followed as long as this is there.
    followed: Followed,
    shown: Shown,
    metrics: Arc<RoomMetrics>,
}

impl Watch {
    /// Ready with `true` when there is something new to show, with `false` when nothing follows any more.
    pub fn poll_change(&self, context: &Context<'_>) -> Poll<bool> {
        if self.shown == Shown::TheEnd {
            return Poll::Ready(false);
        }
        self.screen.poll_change(context).map(|()| true)
    }

    /// The place as it is now.
    pub fn look(&mut self) -> Place {
        let view = self.screen.look();
        let told = self.shown == Shown::Something;
        self.shown = if view.status.ended() { Shown::TheEnd } else { Shown::Something };
        let now = self.token.now + self.read_at.elapsed();
        if told && view.status == QueueStatus::Active && self.token.status == QueueStatus::Waiting {
            self.token.status = QueueStatus::Active;
            let since = view.activated_at.and_then(|admitted| (now - admitted).to_std().ok());
            self.metrics.push_seconds.observe(since.unwrap_or_default().as_secs_f64());
        }
        let token = QueueToken {
            status: view.status,
            activated_at: view.activated_at,
            expires_at: view.expires_at,
            ended_because: view.ended_because,
            now,
            ..self.token.clone()
        };
        Place {
            token,
            room: view.room,
            everything_held: view.everything_held,
            position: view.position,
            waiting: view.waiting,
            wait_seconds: view.wait_seconds,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.followed.room.leave(self.token.number);
    }
}

impl Stream for Watch {
    type Item = Place;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Place>> {
        self.poll_change(context).map(|more| more.then(|| self.look()))
    }
}
