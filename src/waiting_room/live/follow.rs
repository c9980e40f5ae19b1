//! Following a watched room: a task per room and instance takes in what is told, and compares it with the journal and the
//! index.

use std::{sync::Arc, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{passes::Passes, room::Room, rooms::Followed};
use crate::{
    kernel::ScheduleId,
    kv::Signal,
    waiting_room::{WaitingRooms, announce::Message, index::CHUNK, rules, store},
};

/// How often positions are shown at most; changes of status are shown at once.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the journal is asked for changes that no message has told.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// How far back that question goes, in seconds: longer than any message takes.
const COMPARE_WINDOW_SECONDS: f64 = 10.0;

impl WaitingRooms {
    /// Enters a room as a watcher, and starts following it if nobody does yet. When this returns, no event is missed.
    pub(super) async fn follow(&self, schedule_id: ScheduleId) -> Followed {
        let followed = self.rooms.enter(schedule_id);
        self.have_followed(&followed.room);
        followed.room.followed().await;
        followed
    }

    /// The passes of a room whose seats somebody looks at. It is followed from soon on, and for a while.
    pub(in crate::waiting_room) fn look_in(&self, schedule_id: ScheduleId) -> Arc<Passes> {
        let room = self.rooms.look_in(schedule_id);
        self.have_followed(&room);
        room.passes.clone()
    }

    fn have_followed(&self, room: &Arc<Room>) {
        if room.claim_following() {
            // A task of its own from the start: the first person may go away at any moment, and others wait for it too.
            let (rooms, room, over) = (self.clone(), room.clone(), CancellationToken::new());
            self.tasks.keep("following a room", over.clone(), move || {
                rooms.clone().follow_room(room.clone(), over.clone())
            });
        }
    }

    /// Follows one room until nobody watches it, and says then that it is over. What may take long runs beside it: messages
    /// wait for nothing.
    async fn follow_room(self, room: Arc<Room>, over: CancellationToken) {
        let mut topic = self.index.listen(room.schedule_id).await;
        if room.is_followed() {
            // The follower before this one has died, and nobody has heard the messages since.
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
        // About a person who is not in line any more, this instance has missed a message.
        let mut unsure = room.active();
        for chunk in people.chunks(CHUNK) {
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
        for chunk in unsure.chunks(CHUNK) {
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

    /// Notices that messages do not arrive though nobody has told of a gap: one node of a cluster can be away alone.
    async fn compare_with_index(&self, room: &Room) {
        match self.index.look(room.schedule_id, &[], Duration::ZERO).await {
            Ok(Some(ranks)) => room.check(&ranks),
            Ok(None) | Err(_) => room.doubt(),
        }
    }
}

/// When nobody follows a room any more, nobody hears who has changed.
struct Deaf<'a>(&'a Passes);

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        self.0.doubt();
    }
}

/// Ticks that are not made up for when one was late.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
