//! Watching a place live: one follower per room and instance, and a stream per subscriber.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Place, QueueStatus, QueueToken, WaitingRooms,
    announce::Message,
    room::{Guest, Room, View},
    rules, store,
};
use crate::{
    kernel::{Actor, Fault, ScheduleId},
    kv::Signal,
};

/// How often positions are shown at most; changes of status are shown at once.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the journal is asked for changes that no message has told.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How far back that question goes, in seconds: longer than any message takes.
const COMPARE_WINDOW_SECONDS: f64 = 10.0;
/// Ranks that were too old for the changes already applied are read again so many times.
const LOOKS: usize = 3;

impl WaitingRooms {
    /// The person's place, at once and then at every change worth showing; ends after USED or EXPIRED. `None` when there
    /// never was a place.
    ///
    /// The stream never ends because of Redis: without it, changes come from the journal every two seconds.
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
    pub async fn watch(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
    ) -> Result<Option<impl Stream<Item = Place> + Send + use<>>, Fault> {
        let guest = self.follow(schedule_id).await;
        let Some(token) = store::latest(&self.db, schedule_id, actor.person_id).await? else {
            return Ok(None);
        };
        self.welcome_back(&token).await?;
        let views = self.join(&guest.room, &token).await?;
        let seat = Seat { number: token.number, guest };
        let watching =
            Watching { token, read_at: Instant::now(), views, seat, shown: Shown::Nothing };
        Ok(Some(stream::unfold(watching, Watching::next)))
    }

    async fn join(&self, room: &Room, token: &QueueToken) -> Result<watch::Receiver<View>, Fault> {
        for _ in 0..LOOKS {
            let looked = if token.status == QueueStatus::Waiting {
                self.index
                    .look(token.schedule_id, &[token.person_id], rules::ACTIVE_PRESENCE)
                    .await
                    .ok()
                    .flatten()
            } else {
                None
            };
            let position = looked
                .as_ref()
                .and_then(|ranks| ranks.positions.first().copied())
                .filter(|p| *p > 0);
            let position = match position {
                None if token.status == QueueStatus::Waiting => {
                    Some(self.position_from_journal(token).await?)
                }
                other => other,
            };
            let sound = looked
                .filter(|ranks| ranks.positions.first().is_some_and(|position| *position > 0));
            if let Ok(views) = room.join(token, sound.as_ref(), position) {
                return Ok(views);
            }
        }
        Err(Fault::unavailable("the line moved too fast to find a place in it"))
    }

    /// Enters a room as a watcher, and starts following it if nobody does yet. When this returns, no event is missed.
    pub(super) async fn follow(&self, schedule_id: ScheduleId) -> Guest {
        let guest = self.rooms.enter(schedule_id);
        if guest.room.claim_following() {
            // A task of its own from the start: who comes first may go away at any moment, and others wait for it too.
            tokio::spawn(self.clone().follow_room(guest.room.clone()));
        }
        guest.room.followed().await;
        guest
    }

    /// Follows one room until nobody watches it.
    async fn follow_room(self, room: Arc<Room>) {
        let mut topic = self.index.listen(room.schedule_id).await;
        self.refresh(&room).await;
        room.set_followed();
        let mut show = interval(SHOW_EVERY);
        let mut compare = interval(COMPARE_EVERY);
        let mut renew = interval(rules::PRESENCE_RENEWAL);
        for timer in [&mut show, &mut compare, &mut renew] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                signal = topic.next() => match signal {
                    Some(Signal::Message(bytes)) => match serde_json::from_slice::<Message>(&bytes) {
                        Ok(message) => room.apply(message),
                        Err(error) => {
                            tracing::warn!(%error, "a room event could not be read");
                            room.doubt();
                        }
                    },
                    Some(Signal::Gap) => room.doubt(),
                    None => return,
                },
                () = room.bell.notified() => {
                    self.summaries.forget(room.schedule_id);
                    self.refresh(&room).await;
                    room.flush();
                }
                _ = show.tick() => {
                    self.resync(&room).await;
                    room.flush();
                }
                _ = compare.tick() => {
                    self.refresh(&room).await;
                    self.compare_watchers(&room).await;
                    if self.rooms.close_if_empty(&room) {
                        return;
                    }
                }
                _ = renew.tick() => self.renew_presence(&room).await,
            }
        }
    }

    async fn refresh(&self, room: &Room) {
        if let Ok(Some(summary)) = self.summary(room.schedule_id).await {
            room.set_summary(summary);
        }
    }

    /// Reads everybody's rank again when messages may have been missed; from the journal when Redis is away.
    async fn resync(&self, room: &Room) {
        let Some(people) = room.to_resync() else { return };
        // Whoever is not in line any more has been told something that this instance missed.
        let mut unsure = room.active();
        for chunk in people.chunks(store::index::CHUNK) {
            let (numbers, persons): (Vec<_>, Vec<_>) = chunk.iter().copied().unzip();
            match self.index.look(room.schedule_id, &persons, rules::ACTIVE_PRESENCE).await {
                Ok(Some(ranks)) => {
                    room.resynced(&numbers, &ranks);
                    let missing =
                        numbers.iter().zip(&ranks.positions).filter(|(_, rank)| **rank == 0);
                    unsure.extend(missing.map(|(number, _)| *number));
                }
                missing => {
                    if missing.is_ok() {
                        self.rebuild_soon(room.schedule_id);
                    }
                    if let Ok(line) = self.snapshot(room.schedule_id).await {
                        room.show_journal(&line);
                    } else {
                        room.doubt();
                    }
                    break;
                }
            }
        }
        for chunk in unsure.chunks(store::index::CHUNK) {
            match store::journal::states_of(&self.db, room.schedule_id, chunk).await {
                Ok(changes) => room.reconcile(changes),
                Err(_) => room.doubt(),
            }
        }
    }

    /// Heals what no message has told: changes of status in the journal, and watchers who were passed over.
    async fn compare_watchers(&self, room: &Room) {
        let schedule_id = room.schedule_id;
        match store::journal::recent_changes(&self.db, schedule_id, COMPARE_WINDOW_SECONDS).await {
            Ok(changes) => room.reconcile(changes),
            Err(fault) => {
                tracing::warn!(%schedule_id, fault = %fault.report(), "the journal could not be compared")
            }
        }
        for (id, number) in store::passed_over(&self.db, schedule_id).await.unwrap_or_default() {
            if room.watches(number) && store::welcome_back(&self.db, id).await.unwrap_or(false) {
                self.kick(schedule_id);
            }
        }
    }

    async fn renew_presence(&self, room: &Room) {
        for chunk in room.present().chunks(store::index::CHUNK) {
            if self.index.look(room.schedule_id, chunk, rules::ACTIVE_PRESENCE).await.is_err() {
                return;
            }
        }
    }
}

/// A watcher's place among the watchers, given back when the subscription ends.
struct Seat {
    number: i64,
    guest: Guest,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guest.room.leave(self.number);
    }
}

enum Shown {
    Nothing,
    Something,
    TheEnd,
}

struct Watching {
    token: QueueToken,
    /// When `token.now` was the database's time, by the process's clock.
    read_at: Instant,
    views: watch::Receiver<View>,
    #[expect(dead_code, reason = "held for its Drop")]
    seat: Seat,
    shown: Shown,
}

impl Watching {
    async fn next(mut self) -> Option<(Place, Self)> {
        match self.shown {
            Shown::Nothing => {}
            Shown::Something => self.views.changed().await.ok()?,
            Shown::TheEnd => return None,
        }
        let view = *self.views.borrow_and_update();
        self.shown = if view.status.ended() { Shown::TheEnd } else { Shown::Something };
        let now = self.token.now + self.read_at.elapsed();
        let token = QueueToken {
            status: view.status,
            activated_at: view.activated_at,
            expires_at: view.expires_at,
            now,
            ..self.token.clone()
        };
        let place = Place {
            token,
            position: view.position,
            waiting: view.waiting,
            wait_seconds: view.wait_seconds,
        };
        Some((place, self))
    }
}
