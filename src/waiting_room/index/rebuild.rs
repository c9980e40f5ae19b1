//! Building the index of a line anew from the journal: after Redis was wiped, and when the two have drifted apart.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{CHUNK, Claim, Index, Ranks};
use crate::{
    kernel::{Fault, PersonId, RebuildId, ScheduleId, Timestamp},
    waiting_room::{
        Event, QueueStatus, WaitingRooms, rules,
        store::{
            self,
            rebuild::{Generation, Tally},
        },
    },
};

/// How long after its beginning somebody who enters waits for a rebuild.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the end of somebody else's rebuild is looked for.
const TURN: Duration = Duration::from_millis(50);
/// People read from the journal at once.
const READ: i64 = 10_000;
/// An entry is visible in the journal this long after its time at the latest.
const COMMITTED_WITHIN: Duration = Duration::from_secs(60);
/// A change is in the index this long after it was committed, unless it was lost.
const SETTLED: Duration = Duration::from_secs(1);
/// Counting lines takes one part in this many of the time at most.
const COUNTING_SHARE: u32 = 50;
/// People who may be on their way into the index, or out of it, at one instant.
const ON_THE_WAY: i64 = 25;
/// Lines that one instance builds at once; the people who buy meanwhile need Postgres, too.
const REBUILDS_AT_ONCE: usize = 3;
/// For how long after a room was drained its line is looked for in Redis: longer than Redis is away as a rule.
const RETIRED_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Rooms that are compared at once.
const LOOKS_AT_ONCE: usize = 32;

/// The rooms that this instance is rebuilding, and the people who wait for the end of it.
#[derive(Debug)]
pub(in crate::waiting_room) struct Rebuilds {
    running: Mutex<HashMap<ScheduleId, Rebuild>>,
    at_once: Semaphore,
    /// Lines are not compared again before this.
    compare_at: Mutex<Instant>,
}

/// A rebuild under way.
#[derive(Debug, Clone)]
struct Rebuild {
    since: Instant,
    done: Arc<Notify>,
}

impl Default for Rebuilds {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            at_once: Semaphore::new(REBUILDS_AT_ONCE),
            compare_at: Mutex::new(Instant::now()),
        }
    }
}

impl Rebuilds {
    /// A room's rebuild, and whether the caller has to start it.
    fn begin(&self, schedule_id: ScheduleId) -> (Rebuild, bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = !running.contains_key(&schedule_id);
        let begun = || Rebuild { since: Instant::now(), done: Arc::default() };
        (running.entry(schedule_id).or_insert_with(begun).clone(), fresh)
    }

    fn end(&self, schedule_id: ScheduleId) {
        let ended =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&schedule_id);
        if let Some(ended) = ended {
            ended.done.notify_waiters();
        }
    }
}

/// Held by the task of a rebuild. However that ends, others may rebuild after it, and what was not rebuilt is tried again.
struct Running {
    rebuilds: Arc<Rebuilds>,
    index: Index,
    schedule_id: ScheduleId,
    done: bool,
}

impl Running {
    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            self.index.fell_behind(self.schedule_id);
        }
        self.rebuilds.end(self.schedule_id);
    }
}

impl WaitingRooms {
    /// Rebuilds a room's index in the background, unless this instance is at it already.
    pub(in crate::waiting_room) fn rebuild_soon(&self, schedule_id: ScheduleId) {
        self.start_rebuild(schedule_id);
    }

    /// `false` when this instance is at it already.
    fn start_rebuild(&self, schedule_id: ScheduleId) -> bool {
        let (_, fresh) = self.rebuilds.begin(schedule_id);
        if fresh {
            self.spawn_rebuild(schedule_id);
        }
        fresh
    }

    /// Rebuilds a room's index, and waits for it as long as a person would: short lines are back at once.
    pub(in crate::waiting_room) async fn rebuild_now(&self, schedule_id: ScheduleId) {
        let (rebuild, fresh) = self.rebuilds.begin(schedule_id);
        let done = rebuild.done.notified_owned();
        if fresh {
            self.spawn_rebuild(schedule_id);
        }
        // What takes longer goes on in the background, and positions come from the journal meanwhile. Those who enter are
        // answered one commit after the other, so the time counts for all of them together.
        drop(tokio::time::timeout_at(rebuild.since + PATIENCE, done).await);
    }

    fn spawn_rebuild(&self, schedule_id: ScheduleId) {
        let rooms = self.clone();
        let running = Running {
            rebuilds: self.rebuilds.clone(),
            index: self.index.clone(),
            schedule_id,
            done: false,
        };
        self.tasks.spawn("rebuilding a line", async move {
            match rooms.rebuild(schedule_id).await {
                Ok(()) => running.done(),
                Err(fault) => {
                    tracing::warn!(%schedule_id, fault = %fault.report(), "the line could not be rebuilt yet");
                }
            }
        });
    }

    /// Builds the line beside the one in use and swaps it in, then replays what happened meanwhile. One instance does so at
    /// a time; the others wait for it.
    async fn rebuild(&self, schedule_id: ScheduleId) -> Result<(), Fault> {
        let (token, mut seen) = (RebuildId::new(), None);
        let _turn = loop {
            let turn = self.rebuilds.at_once.acquire().await;
            match self.index.claim(schedule_id, token, seen).await? {
                Claim::Granted => break turn,
                Claim::Taken(generation) => seen = Some(seen.unwrap_or(generation)),
                Claim::Done => {
                    self.rooms.resync(schedule_id);
                    return Ok(());
                }
            }
            drop(turn);
            tokio::time::sleep(TURN).await;
        };
        let built = self.build(schedule_id, token).await;
        if built.is_err() && self.index.release(schedule_id, token).await.is_err() {
            tracing::debug!(%schedule_id, "the claim ends by itself");
        }
        built
    }

    async fn build(&self, schedule_id: ScheduleId, token: RebuildId) -> Result<(), Fault> {
        self.metrics.rooms.of(schedule_id).rebuilds.inc();
        let start = Instant::now();
        let Generation { generation, now: since, last_number, drained } =
            store::rebuild::next_generation(&self.background, schedule_id).await?;
        let lost = Fault::unavailable("another instance has taken the rebuild over");
        let Some((last, people)) = self.fill(schedule_id, token).await? else { return Err(lost) };
        let presence = rules::POLL_PRESENCE;
        if !self.index.swap(schedule_id, token, generation, presence, last.max(last_number)).await?
        {
            return Err(lost);
        }
        self.replay(schedule_id, last, since).await?;
        if drained {
            self.index.retire(schedule_id).await?;
        }
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(%schedule_id, generation, people, milliseconds, "the line was rebuilt from the journal");
        self.rooms.resync(schedule_id);
        Ok(())
    }

    /// Writes the whole line; the last number and how many people there are, or `None` when the claim was lost.
    async fn fill(
        &self,
        schedule_id: ScheduleId,
        token: RebuildId,
    ) -> Result<Option<(i64, usize)>, Fault> {
        // Drawn numbers are negative.
        let (mut last, mut count) = (i64::MIN, 0);
        let mut people =
            store::journal::line_after(&self.background, schedule_id, last, READ).await?;
        while let Some((_, number)) = people.last() {
            last = *number;
            count += people.len();
            // The next part is read while this one is written.
            let (filled, next) = tokio::join!(
                self.index.fill(schedule_id, token, &people),
                store::journal::line_after(&self.background, schedule_id, last, READ)
            );
            if !filled? {
                return Ok(None);
            }
            people = next?;
        }
        Ok(Some((last, count)))
    }

    /// People who entered or left the journal after the rebuild had read it.
    async fn replay(
        &self,
        schedule_id: ScheduleId,
        last: i64,
        since: Timestamp,
    ) -> Result<(), Fault> {
        let mut after = last;
        loop {
            let people =
                store::journal::line_after(&self.background, schedule_id, after, READ).await?;
            let Some((_, number)) = people.last() else { break };
            after = *number;
            self.put_in(schedule_id, &people).await?;
        }
        let (since, mut after) = (since - COMMITTED_WITHIN, i64::MIN);
        loop {
            let people =
                store::rebuild::drawn_after(&self.background, schedule_id, after, since, READ)
                    .await?;
            let Some((_, number)) = people.last() else { break };
            after = *number;
            self.put_in(schedule_id, &people).await?;
        }
        let window = Duration::from_secs(120).as_secs_f64();
        let changes = store::journal::recent_changes(&self.background, schedule_id, window).await?;
        let gone: Vec<_> =
            changes.into_iter().filter(|change| change.status != QueueStatus::Waiting).collect();
        for chunk in gone.chunks(CHUNK) {
            let event = Event { changes: chunk.to_vec(), ..Event::default() };
            self.index.publish(schedule_id, &event).await?;
        }
        Ok(())
    }

    async fn put_in(
        &self,
        schedule_id: ScheduleId,
        people: &[(PersonId, i64)],
    ) -> Result<(), Fault> {
        for chunk in people.chunks(CHUNK) {
            self.index.enter(schedule_id, chunk, rules::POLL_PRESENCE).await?;
        }
        Ok(())
    }

    /// Rebuilds the lines that this instance could not write a change to, as soon as Redis answers again.
    pub async fn catch_up(&self) {
        for schedule_id in self.index.take_behind() {
            let back = self.index.look(schedule_id, &[], Duration::ZERO).await.is_ok();
            // A rebuild that runs already may have read the journal before that change.
            if !back || !self.start_rebuild(schedule_id) {
                self.index.fell_behind(schedule_id);
            }
        }
    }

    /// Lets go the lines of rooms whose sale is over, and that were drained lately.
    ///
    /// # Errors
    /// When Postgres cannot be asked. What Redis does not take is tried again the next time.
    pub async fn retire_drained(&self) -> Result<(), Fault> {
        let drained = store::rebuild::drained_within(&self.background, RETIRED_WITHIN).await?;
        let retired = stream::iter(drained)
            .map(async |schedule_id| self.index.retire(schedule_id).await.is_ok());
        let told: Vec<bool> = retired.buffer_unordered(LOOKS_AT_ONCE).collect().await;
        if told.contains(&false) {
            tracing::debug!("lines of rooms that are over stay in Redis for now");
        }
        Ok(())
    }

    /// Compares the index of every room with the journal, and rebuilds where they differ for good. Counting long lines
    /// takes long; then it does nothing until it is worth it again.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn compare(&self) -> Result<(), Fault> {
        let start = Instant::now();
        if start < *self.rebuilds.compare_at.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        let lines = store::rebuild::lines(&self.background).await?;
        let next = start + start.elapsed() * COUNTING_SHARE;
        *self.rebuilds.compare_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
        let looks = stream::iter(lines).map(async |line| {
            // Counting a long line takes long: once is enough.
            self.metrics.rooms.of(line.schedule_id).waiting.set(line.waiting);
            match self.index.look(line.schedule_id, &[], Duration::ZERO).await {
                Ok(Some(ranks)) if agree(&line, &line, &ranks) => {}
                Ok(Some(_)) => return self.look_closer(line).await,
                Ok(None) if line.waiting > 0 => self.rebuild_soon(line.schedule_id),
                Ok(None) => {}
                // Nothing can be done now. A change that cannot be written meanwhile is noted, see `Index::take_behind`.
                Err(_) => {}
            }
            Ok(())
        });
        let mut looks = std::pin::pin!(looks.buffer_unordered(LOOKS_AT_ONCE));
        while let Some(look) = looks.next().await {
            look?;
        }
        Ok(())
    }

    /// Rebuilds a line whose index has differed from the journal twice in a row. What the journal has had for less than
    /// [`SETTLED`] may still be on its way into the index.
    async fn look_closer(&self, line: Tally) -> Result<(), Fault> {
        let (schedule_id, mut before) = (line.schedule_id, line);
        for _ in 0..2 {
            tokio::time::sleep(SETTLED).await;
            let Ok(ranks) = self.index.look(schedule_id, &[], Duration::ZERO).await else {
                return Ok(());
            };
            let after = store::rebuild::line(&self.background, schedule_id).await?;
            if ranks.is_some_and(|ranks| agree(&before, &after, &ranks)) {
                return Ok(());
            }
            before = after;
        }
        self.rebuild_soon(schedule_id);
        Ok(())
    }
}

/// Whether an index is what the journal was some time between two looks at it. While people come and go, only their count
/// can be compared, and not to the last of them: where as many come as go, both looks may see the same count, and the
/// index another one.
fn agree(before: &Tally, after: &Tally, index: &Ranks) -> bool {
    if before == after {
        return index.waiting == after.waiting && index.sum == after.sum;
    }
    let (fewest, most) = (
        before.waiting.min(after.waiting) - ON_THE_WAY,
        before.waiting.max(after.waiting) + ON_THE_WAY,
    );
    (fewest..=most).contains(&index.waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kv::{Kv, KvSettings},
        tasks::Tasks,
        telemetry::Metrics,
    };

    #[tokio::test]
    #[expect(clippy::panic, reason = "that is what is tried")]
    async fn a_rebuild_that_dies_is_over_and_is_tried_again() {
        let metrics = Metrics::new();
        let tasks = Tasks::new(&metrics);
        let settings = KvSettings {
            // Nothing is ever asked of it.
            url: "redis://127.0.0.1:1".to_owned(),
            prefix: "test".to_owned(),
            timeout: Duration::from_millis(10),
        };
        let index = Index::new(Kv::connect(&settings, &metrics, &tasks).unwrap());
        let (rebuilds, schedule_id) = (Arc::<Rebuilds>::default(), ScheduleId::new());
        let (rebuild, fresh) = rebuilds.begin(schedule_id);
        assert!(fresh && !rebuilds.begin(schedule_id).1);
        let ended = rebuild.done.notified_owned();
        let running =
            Running { rebuilds: rebuilds.clone(), index: index.clone(), schedule_id, done: false };
        let died = tasks.spawn("rebuilding a line", async move {
            let _running = running;
            panic!("planted");
        });
        assert_eq!(died.await.unwrap(), None::<()>);
        let told = tokio::time::timeout(Duration::from_secs(10), ended).await;
        assert!(told.is_ok(), "who waits for it is told");
        assert!(rebuilds.begin(schedule_id).1, "the next may rebuild");
        assert!(index.take_behind().contains(&schedule_id), "and somebody will");
    }
}
