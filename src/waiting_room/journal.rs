//! Grouped commits: everybody who enters while a commit is running shares the next one.
//!
//! There is no waiting for a batch to fill: an entry that finds no commit running starts one at once. Under load batches
//! grow by themselves, and one commit carries hundreds of people.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{
    Event, Place, QueueRefusal, QueueStatus, QueueToken, RoomStatus, Summary, WaitingRooms, rules,
    status::Located,
    store::{self, index::Ranks},
};
use crate::{
    kernel::{Failure, Fault, FaultKind, PersonId, ScheduleId},
    turns::deadline,
};

/// People in one commit at most.
const BATCH: usize = 500;
/// People of one room who may wait for a commit on this instance; more are told to come back.
const BACKLOG: usize = 20_000;
/// How long newcomers wait for those before them to come into the index: so many looks, with a pause before each.
const HOLE_LOOKS: usize = 5;
const HOLE_PAUSE: Duration = Duration::from_millis(10);
/// So many times people are written who had a place when the statement began and have lost it since.
const ATTEMPTS: usize = 5;
/// How long somebody waits for the commit that they are in, where their request's deadline is not nearer, as it usually is;
/// afterwards they may be in line without having been told.
const ANSWER_PATIENCE: Duration = Duration::from_secs(8);

/// Heard when a batch is in the index, or cannot be for now.
type Indexed = oneshot::Receiver<()>;
type Reply = oneshot::Sender<Result<Place, Failure<QueueRefusal>>>;

/// What became of the people of one commit.
#[derive(Default)]
struct Written {
    /// Everybody's live token after it. Who is not among them was refused.
    tokens: HashMap<PersonId, QueueToken>,
    /// How many of them are new.
    entered: usize,
    /// Whose account was deleted.
    gone: HashSet<PersonId>,
    /// What kept the others from being written or refused.
    failed: Option<FaultKind>,
}

/// Whether a fault may be of one entry, so that the others are better tried without it.
const fn is_about_an_entry(fault: &Fault) -> bool {
    matches!(fault.kind(), FaultKind::Internal | FaultKind::CallerGone)
}

struct Entry {
    person_id: PersonId,
    reply: Reply,
}

/// Who waits to be written, per room. A room that has a list here has a task that empties it.
#[derive(Default)]
pub(super) struct Journal {
    lines: Mutex<HashMap<ScheduleId, Vec<Entry>>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal {
    /// Adds an entry; `true` when the caller has to start the room's task.
    fn push(&self, schedule_id: ScheduleId, entry: Entry) -> Result<bool, Fault> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let running = lines.contains_key(&schedule_id);
        let line = lines.entry(schedule_id).or_default();
        if line.len() >= BACKLOG {
            return Err(Fault::unavailable("too many people entering at once"));
        }
        line.push(entry);
        Ok(!running)
    }

    /// The next batch, in order of arrival; empty when nobody waits to be written.
    fn take(&self, schedule_id: ScheduleId) -> Vec<Entry> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(line) = lines.get_mut(&schedule_id) else { return Vec::new() };
        let rest = line.split_off(line.len().min(BATCH));
        std::mem::replace(line, rest)
    }

    /// Drops everybody who waits to be written, because nobody will write them.
    fn abandon(&self, schedule_id: ScheduleId) {
        let abandoned =
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(&schedule_id);
        drop(abandoned);
    }

    /// `true` ends the room's task; not while somebody waits to be written.
    fn end(&self, schedule_id: ScheduleId) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lines.get(&schedule_id).is_none_or(Vec::is_empty);
        if idle {
            lines.remove(&schedule_id);
        }
        idle
    }
}

/// Held by the task that writes a room's journal. Should that die, the room's list goes with it: those in it are told to come
/// back, and the first of them starts another.
struct Writing(Option<(Arc<Journal>, ScheduleId)>);

impl Writing {
    fn new(journal: &Arc<Journal>, schedule_id: ScheduleId) -> Self {
        Self(Some((journal.clone(), schedule_id)))
    }

    /// Nobody waits any more.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some((journal, schedule_id)) = self.0.take() {
            journal.abandon(schedule_id);
        }
    }
}

impl WaitingRooms {
    /// Has a person written into the journal with the next commit.
    pub(super) async fn enter_with_next_commit(
        &self,
        person_id: PersonId,
        schedule_id: ScheduleId,
    ) -> Result<Place, Failure<QueueRefusal>> {
        let (reply, answer) = oneshot::channel();
        if self.journal.push(schedule_id, Entry { person_id, reply })? {
            let (rooms, writing) = (self.clone(), Writing::new(&self.journal, schedule_id));
            self.tasks.spawn_vital("writing a journal", async move {
                rooms.write_journal(schedule_id).await;
                writing.ended();
            });
        }
        // Whether they were written is not known. Entering is safe to repeat.
        let lost =
            || Err(Fault::alike(FaultKind::Unanswered, "a journal commit gave no answer").into());
        match timeout(deadline::at_most(ANSWER_PATIENCE), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => lost(),
        }
    }

    /// Empties a room's list of people who wait to be written.
    async fn write_journal(&self, schedule_id: ScheduleId) {
        let mut indexed = None;
        loop {
            let batch = self.journal.take(schedule_id);
            if !batch.is_empty() {
                self.commit(schedule_id, batch, &mut indexed).await;
                continue;
            }
            // A new task would not know what it has to wait for.
            if let Some(indexed) = indexed.take() {
                _ = indexed.await;
            }
            if self.journal.end(schedule_id) {
                return;
            }
        }
    }

    async fn commit(
        &self,
        schedule_id: ScheduleId,
        batch: Vec<Entry>,
        indexed: &mut Option<Indexed>,
    ) {
        let mut seen = HashSet::new();
        let people: Vec<PersonId> = batch
            .iter()
            .map(|entry| entry.person_id)
            .filter(|person| seen.insert(*person))
            .collect();
        match self.write(schedule_id, &people).await {
            Ok(written) => {
                #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
                self.metrics.journal_batch.observe(people.len() as f64);
                self.metrics.queue_entered.inc_by(u64::try_from(written.entered).unwrap_or(0));
                // The next commit need not wait for the index. The index takes the batches in their order: else people
                // would be shown a place in front of those who are committed and not in line yet.
                let rooms = self.clone();
                let (done, next) = oneshot::channel();
                let before = indexed.replace(next);
                self.tasks.spawn_vital("answering newcomers", async move {
                    if let Some(before) = before {
                        _ = before.await;
                    }
                    rooms.answer(schedule_id, batch, written, done).await;
                });
            }
            // One entry that Postgres cannot take must not cost the others their place: the batch is tried in halves.
            Err(fault) if batch.len() > 1 && is_about_an_entry(&fault) => {
                let mut first = batch;
                let second = first.split_off(first.len() / 2);
                Box::pin(self.commit(schedule_id, first, indexed)).await;
                Box::pin(self.commit(schedule_id, second, indexed)).await;
            }
            Err(fault) => {
                tracing::error!(%schedule_id, fault = %fault.report(), "journal commit failed");
                for entry in batch {
                    let told = Fault::alike(fault.kind(), "the journal could not be written");
                    // Who has hung up needs no answer.
                    _ = entry.reply.send(Err(told.into()));
                }
            }
        }
    }

    /// Writes people who ask for a place. A fault that comes when some are written takes nothing from these; the others are
    /// told of it.
    async fn write(&self, schedule_id: ScheduleId, people: &[PersonId]) -> Result<Written, Fault> {
        let mut written = Written::default();
        match self.write_all(schedule_id, people, &mut written).await {
            Err(fault) if written.tokens.is_empty() || is_about_an_entry(&fault) => Err(fault),
            Err(fault) => {
                tracing::warn!(%schedule_id, fault = %fault.report(), "a part of a batch was not written");
                Ok(Written { failed: Some(fault.kind()), ..written })
            }
            Ok(()) => Ok(written),
        }
    }

    async fn write_all(
        &self,
        schedule_id: ScheduleId,
        people: &[PersonId],
        written: &mut Written,
    ) -> Result<(), Fault> {
        let Written { tokens, entered, gone, .. } = written;
        let others = |tokens: &HashMap<PersonId, QueueToken>, gone: &HashSet<PersonId>| {
            let other = |person: &PersonId| !tokens.contains_key(person) && !gone.contains(person);
            people.iter().copied().filter(other).collect::<Vec<_>>()
        };
        for _ in 0..ATTEMPTS {
            let new = store::journal::enter(&self.db, schedule_id, &others(tokens, gone)).await?;
            *entered += new.len();
            tokens.extend(new.into_iter().map(|token| (token.person_id, token)));
            let refused = others(tokens, gone);
            if refused.is_empty() {
                break;
            }
            let live = store::journal::live(&self.db, schedule_id, &refused).await?;
            let (lapsed, live): (Vec<_>, Vec<_>) =
                live.into_iter().partition(|token| token.status.ended());
            tokens.extend(live.into_iter().map(|token| (token.person_id, token)));
            // Their ACTIVE time is over and nobody has tidied yet. Not left to a round, which may be at work elsewhere.
            let lapsed: Vec<_> = lapsed.into_iter().map(|token| token.person_id).collect();
            if !lapsed.is_empty() {
                self.end_lapsed(schedule_id, &lapsed).await?;
                continue;
            }
            gone.extend(store::journal::gone(&self.db, &others(tokens, gone)).await?);
            if others(tokens, gone).is_empty() || !self.takes_people(schedule_id).await? {
                break;
            }
            // The others had a place when the statement began and none when it was over: they have just left it.
        }
        Ok(())
    }

    async fn end_lapsed(&self, schedule_id: ScheduleId, people: &[PersonId]) -> Result<(), Fault> {
        let changes = store::journal::end_lapsed(&self.db, schedule_id, people).await?;
        if !changes.is_empty() {
            let rooms = self.clone();
            self.tasks.spawn("announcing who lapsed", async move {
                rooms.announce(schedule_id, Event { changes, ..Event::default() }).await;
                rooms.kick(schedule_id);
            });
        }
        Ok(())
    }

    /// Whether a newcomer would get a place right now.
    async fn takes_people(&self, schedule_id: ScheduleId) -> Result<bool, Fault> {
        // Somebody may be refused, and the reason should be today's.
        self.summaries.forget(schedule_id);
        let summary = self.summary(schedule_id).await?;
        Ok(summary.is_some_and(|summary| why_refused(Some(&summary), None).is_none()))
    }

    async fn answer(
        &self,
        schedule_id: ScheduleId,
        batch: Vec<Entry>,
        Written { tokens, gone, failed, .. }: Written,
        done: oneshot::Sender<()>,
    ) {
        let waiting: Vec<&QueueToken> =
            tokens.values().filter(|token| token.status == QueueStatus::Waiting).collect();
        let located = self.index_newcomers(schedule_id, &waiting).await;
        // Nobody waits for the last batch.
        _ = done.send(());
        let summary = self.summary(schedule_id).await.ok().flatten();
        for entry in batch {
            let reply = match tokens.get(&entry.person_id) {
                Some(token) => {
                    let located = self.newcomer_position(token, &located).await;
                    Ok(Place::of(token.clone(), located, summary.as_ref()))
                }
                None if gone.contains(&entry.person_id) => Err(Fault::caller_gone().into()),
                None if let Some(kind) = failed => {
                    Err(Fault::alike(kind, "the journal could not be written").into())
                }
                None => Err(why_refused(summary.as_ref(), Some(entry.person_id)).map_or_else(
                    || Fault::unavailable("entering and leaving at the same time").into(),
                    Failure::Refused,
                )),
            };
            _ = entry.reply.send(reply);
        }
        if !waiting.is_empty() {
            self.kick(schedule_id);
        }
    }

    /// Writes people into the index; their positions, or nothing when Redis is away.
    async fn index_newcomers(
        &self,
        schedule_id: ScheduleId,
        waiting: &[&QueueToken],
    ) -> HashMap<PersonId, Located> {
        let mut located = HashMap::new();
        let people: Vec<_> = waiting.iter().map(|token| (token.person_id, token.number)).collect();
        for chunk in people.chunks(store::index::CHUNK) {
            let mut ranks = self.index.enter(schedule_id, chunk, rules::POLL_PRESENCE).await;
            if matches!(ranks, Ok(None)) {
                self.rebuild_now(schedule_id).await;
                ranks = self.index.enter(schedule_id, chunk, rules::POLL_PRESENCE).await;
            }
            if let Ok(Some(first)) = &ranks
                && first.hole > 0
                && let Some(later) = self.look_without_hole(schedule_id, chunk, first).await
            {
                ranks = Ok(Some(later));
            }
            match ranks {
                Ok(Some(ranks)) => {
                    let waiting = Some(ranks.waiting);
                    let places = ranks
                        .positions
                        .iter()
                        .map(|position| Located { position: *position, waiting });
                    located.extend(chunk.iter().map(|(person, _)| *person).zip(places));
                }
                Ok(None) => {}
                Err(fault) => {
                    tracing::debug!(fault = %fault.report(), "newcomers are not in the index yet")
                }
            }
        }
        located
    }

    /// Ranks of newcomers once those have come whom another instance has committed before them and not indexed yet. Else
    /// they would be told a place that is too small, and see it rise. Waits for a moment only: that instance may be dead.
    async fn look_without_hole(
        &self,
        schedule_id: ScheduleId,
        people: &[(PersonId, i64)],
        first: &Ranks,
    ) -> Option<Ranks> {
        let persons: Vec<PersonId> = people.iter().map(|(person, _)| *person).collect();
        let (last, _) = people.iter().enumerate().max_by_key(|(_, (_, number))| *number)?;
        let wanted = first.positions.get(last)? + first.hole;
        let mut newest = None;
        for _ in 0..HOLE_LOOKS {
            tokio::time::sleep(HOLE_PAUSE).await;
            let looked = self.index.look(schedule_id, &persons, rules::POLL_PRESENCE).await;
            let Ok(Some(ranks)) = looked else { break };
            let filled = ranks.positions.get(last).is_some_and(|position| *position >= wanted);
            newest = Some(ranks);
            if filled {
                break;
            }
        }
        // Somebody of them may have left the line meanwhile.
        newest.filter(|ranks| ranks.positions.iter().all(|position| *position > 0))
    }

    /// Where somebody stands who has a place by now, whatever fails: then the position is not known, and the place is.
    async fn newcomer_position(
        &self,
        token: &QueueToken,
        located: &HashMap<PersonId, Located>,
    ) -> Option<Located> {
        if token.status != QueueStatus::Waiting {
            return None;
        }
        if let Err(fault) = self.welcome_back(token).await {
            tracing::warn!(fault = %fault.report(), "somebody who came back is still passed over");
        }
        if let Some(located) = located.get(&token.person_id) {
            return Some(*located);
        }
        let position = self.position_from_journal(token).await;
        position.ok().map(|position| Located { position, waiting: None })
    }
}

/// Why the journal took nobody; `None` for a room that does take people. The statement decides; this only finds the words.
/// A draft exists for its organizer alone.
fn why_refused(summary: Option<&Summary>, viewer: Option<PersonId>) -> Option<QueueRefusal> {
    match summary.filter(|summary| summary.visible_to(viewer)) {
        None => Some(QueueRefusal::ScheduleNotFound),
        Some(summary) if summary.draft => Some(QueueRefusal::SaleNotOpen),
        Some(summary) => match summary.status {
            RoomStatus::SoldOut => Some(QueueRefusal::SoldOut),
            RoomStatus::Closed => Some(QueueRefusal::SaleClosed),
            RoomStatus::Prequeue | RoomStatus::Open | RoomStatus::Paused => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{tasks::Tasks, telemetry::Metrics};

    fn entry() -> (Entry, oneshot::Receiver<Result<Place, Failure<QueueRefusal>>>) {
        let (reply, answer) = oneshot::channel();
        (Entry { person_id: PersonId::new(), reply }, answer)
    }

    #[tokio::test]
    #[expect(clippy::panic, reason = "that is what is tried")]
    async fn a_room_takes_people_again_when_its_writer_died() {
        let (journal, schedule_id) = (Arc::<Journal>::default(), ScheduleId::new());
        let metrics = Metrics::new();
        let tasks = Tasks::new(&metrics);
        let (first, first_answer) = entry();
        let (second, second_answer) = entry();
        assert!(journal.push(schedule_id, first).unwrap(), "the first starts a writer");
        assert!(!journal.push(schedule_id, second).unwrap());
        let writing = Writing::new(&journal, schedule_id);
        let held = journal.clone();
        let died = tasks.spawn_vital("writing a journal", async move {
            let _batch = held.take(schedule_id);
            let _writing = writing;
            panic!("planted");
        });
        assert_eq!(died.await.unwrap(), None::<()>);
        assert!(first_answer.await.is_err() && second_answer.await.is_err(), "nobody waits on");
        let (third, _answer) = entry();
        assert!(journal.push(schedule_id, third).unwrap(), "the next starts another writer");
        // One that ends well takes nobody along.
        Writing::new(&journal, schedule_id).ended();
        assert!(!journal.push(schedule_id, entry().0).unwrap());
    }
}
