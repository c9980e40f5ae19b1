//! Watching a place live: one follower per room and instance, and a stream per subscriber.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Admission, Place, QueueStatus, QueueToken, WaitingRooms, announce::Message, passes::Passes,
    room::Room, rooms::Guest, rules, screen::Viewer, store,
};
use crate::{
    kernel::{Actor, Fault, ScheduleId},
    kv::Signal,
    telemetry::RoomMetrics,
};

/// How often positions are shown at most; changes of status are shown at once.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the journal is asked for changes that no message has told.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How far back that question goes, in seconds: longer than any message takes.
const COMPARE_WINDOW_SECONDS: f64 = 10.0;
/// A passing over may become visible so long after its time.
const WELCOME_MARGIN: Duration = Duration::from_secs(30);
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
    ) -> Result<Option<Watching>, Fault> {
        let guest = self.follow(schedule_id).await;
        match store::latest(&self.db, schedule_id, actor.person_id).await? {
            Some(token) => self.watch_as(guest, token).await.map(Some),
            None => Ok(None),
        }
    }

    /// The place of this token and of no other, whatever else its person does; otherwise as [`WaitingRooms::watch`].
    ///
    /// # Errors
    /// A fault when Postgres cannot be asked.
    pub async fn watch_token(
        &self,
        schedule_id: ScheduleId,
        admission: Admission,
    ) -> Result<Option<Watching>, Fault> {
        let guest = self.follow(schedule_id).await;
        match store::by_id(&self.db, admission.queue_token_id).await? {
            Some(token) => self.watch_as(guest, token).await.map(Some),
            None => Ok(None),
        }
    }

    async fn watch_as(&self, guest: Guest, token: QueueToken) -> Result<Watching, Fault> {
        let viewer = self.join(&guest.room, &token).await?;
        // From here on the place among the watchers is given back, whatever ends this.
        let seat = Seat { number: token.number, guest };
        // Present first, then back: else a round in between finds them away, and passes them over again.
        self.welcome_back(&token).await?;
        let metrics = self.metrics.rooms.of(token.schedule_id);
        let read_at = Instant::now();
        Ok(Watching { token, read_at, viewer, seat, shown: Shown::Nothing, metrics })
    }

    async fn join(&self, room: &Room, token: &QueueToken) -> Result<Viewer, Fault> {
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
            if let Ok(viewer) = room.join(token, sound.as_ref(), position) {
                return Ok(viewer);
            }
        }
        Err(Fault::unavailable("the line moved too fast to find a place in it"))
    }

    /// Enters a room as a watcher, and starts following it if nobody does yet. When this returns, no event is missed.
    pub(super) async fn follow(&self, schedule_id: ScheduleId) -> Guest {
        let guest = self.rooms.enter(schedule_id);
        self.have_followed(&guest.room);
        guest.room.followed().await;
        guest
    }

    /// A room whose seats somebody looks at. It is followed from soon on, and for a while.
    pub(super) fn look_in(&self, schedule_id: ScheduleId) -> Arc<Room> {
        let room = self.rooms.look_in(schedule_id);
        self.have_followed(&room);
        room
    }

    fn have_followed(&self, room: &Arc<Room>) {
        if room.claim_following() {
            // A task of its own from the start: who comes first may go away at any moment, and others wait for it too.
            let (rooms, room, over) = (self.clone(), room.clone(), CancellationToken::new());
            self.tasks.keep("following a room", over.clone(), move || {
                rooms.clone().follow_room(room.clone(), over.clone())
            });
        }
    }

    /// Follows one room until nobody watches it, and says that it is over then. What may take long runs beside it: messages wait for nothing.
    async fn follow_room(self, room: Arc<Room>, over: CancellationToken) {
        let mut topic = self.index.listen(room.schedule_id).await;
        if room.is_followed() {
            // Whoever followed before has died, and nobody heard the messages since.
            room.doubt();
        }
        let _deaf = Deaf(&room.passes);
        self.resume(&room);
        self.refresh(&room).await;
        room.set_followed();
        let (renewing, comparing) = ((self.clone(), room.clone()), (self.clone(), room.clone()));
        let beside = [
            self.tasks.keep("renewing presence", over.clone(), move || {
                renewing.0.clone().renew_presence(renewing.1.clone())
            }),
            self.tasks.keep("comparing a room", over.clone(), move || {
                comparing.0.clone().compare_room(comparing.1.clone())
            }),
        ];
        let _beside = beside.map(AbortOnDropHandle::new);
        let mut show = ticks(SHOW_EVERY);
        let mut close = ticks(COMPARE_EVERY);
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
                    None => return over.cancel(),
                },
                _ = show.tick() => {
                    self.resync(&room).await;
                    room.flush();
                }
                _ = close.tick() => {
                    if self.rooms.close_if_empty(&room) {
                        return over.cancel();
                    }
                }
            }
        }
    }

    /// Reads the room's summary again when it has changed, and compares what watchers were told with the journal.
    async fn compare_room(self, room: Arc<Room>) {
        let mut compare = ticks(COMPARE_EVERY);
        let mut welcomed = None;
        loop {
            tokio::select! {
                () = room.bell.notified() => {
                    self.summaries.forget(room.schedule_id);
                    self.refresh(&room).await;
                    room.flush();
                }
                _ = compare.tick() => {
                    self.refresh(&room).await;
                    self.compare_watchers(&room).await;
                    self.welcome_watchers(&room, &mut welcomed).await;
                    self.compare_with_index(&room).await;
                }
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
            match store::journal::states_of(&self.background, room.schedule_id, chunk).await {
                Ok(changes) => room.reconcile(changes),
                Err(_) => room.doubt(),
            }
        }
        self.resume(room);
    }

    /// Lets passes be given out again, if what happens is told.
    fn resume(&self, room: &Room) {
        if self.index.listening() {
            room.resume();
        }
    }

    /// Heals what no message has told: changes of status in the journal.
    async fn compare_watchers(&self, room: &Room) {
        let schedule_id = room.schedule_id;
        match store::journal::recent_changes(&self.background, schedule_id, COMPARE_WINDOW_SECONDS)
            .await
        {
            Ok(changes) => room.reconcile(changes),
            Err(fault) => {
                tracing::warn!(%schedule_id, fault = %fault.report(), "the journal could not be compared")
            }
        }
    }

    /// Puts watchers back to the front who were passed over all the same: they are here. `welcomed` is when that was last
    /// done; whoever was passed over since, and for some time before, is looked at.
    async fn welcome_watchers(&self, room: &Room, welcomed: &mut Option<Instant>) {
        let (schedule_id, start) = (room.schedule_id, Instant::now());
        let within = welcomed.map_or(rules::AWAY_LIMIT, |last| last.elapsed() + WELCOME_MARGIN);
        let welcome = async {
            let passed_over = store::passed_over(&self.background, schedule_id, within).await?;
            let here: Vec<i64> =
                passed_over.into_iter().filter(|number| room.watches(*number)).collect();
            if here.is_empty() {
                Ok(0)
            } else {
                store::welcome(&self.background, schedule_id, &here).await
            }
        };
        match welcome.await {
            Ok(back) => {
                *welcomed = Some(start);
                if back > 0 {
                    self.kick(schedule_id);
                }
            }
            Err(fault) => {
                let fault: Fault = fault;
                tracing::warn!(%schedule_id, fault = %fault.report(), "watchers who were passed over are still so");
            }
        }
    }

    /// Notices that messages do not arrive though nobody has told of a gap: one node of a cluster can be away alone.
    async fn compare_with_index(&self, room: &Room) {
        match self.index.look(room.schedule_id, &[], Duration::ZERO).await {
            Ok(Some(ranks)) => room.check(&ranks),
            Ok(None) | Err(_) => room.doubt(),
        }
    }

    async fn renew_presence(self, room: Arc<Room>) {
        let mut renew = ticks(rules::PRESENCE_RENEWAL);
        loop {
            renew.tick().await;
            for chunk in room.present().chunks(store::index::CHUNK) {
                // One call that fails must not make those behind it count as away. While Redis is down the others fail at
                // once.
                drop(self.index.look(room.schedule_id, chunk, rules::ACTIVE_PRESENCE).await);
            }
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// When nobody follows a room any more, nobody hears who has changed.
struct Deaf<'a>(&'a Passes);

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        self.0.doubt();
    }
}

/// A watcher's place among the watchers, given back when the subscription ends.
#[derive(Debug)]
struct Seat {
    number: i64,
    guest: Guest,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guest.room.leave(self.number);
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
pub struct Watching {
    token: QueueToken,
    /// When `token.now` was the database's time, by the process's clock.
    read_at: Instant,
    viewer: Viewer,
    #[expect(dead_code, reason = "held for its Drop")]
    seat: Seat,
    shown: Shown,
    metrics: Arc<RoomMetrics>,
}

impl Watching {
    /// Ready with `true` when there is something new to show, with `false` when nothing follows any more.
    pub fn poll_change(&self, context: &Context<'_>) -> Poll<bool> {
        if self.shown == Shown::TheEnd {
            return Poll::Ready(false);
        }
        self.viewer.poll_change(context).map(|()| true)
    }

    /// The place as it is now.
    pub fn look(&mut self) -> Place {
        let view = self.viewer.look();
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
            now,
            ..self.token.clone()
        };
        Place {
            token,
            room: view.room,
            position: view.position,
            waiting: view.waiting,
            wait_seconds: view.wait_seconds,
        }
    }
}

impl Stream for Watching {
    type Item = Place;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Place>> {
        self.poll_change(context).map(|more| more.then(|| self.look()))
    }
}
