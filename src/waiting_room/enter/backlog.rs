//! The people who wait on this instance: to be written into the journal, and then to be answered. Each room has a list in
//! memory for either, and a task that has the duty to empty it. How people are written stands in `mod.rs`, how they are
//! answered in `newcomers`.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    kernel::{Failure, Fault, PersonId, ScheduleId},
    telemetry::Span,
    waiting_room::{Place, QueueRefusal, QueueToken},
};

/// People in one commit at most.
const BATCH: usize = 500;
/// People of one room who may wait on this instance, for a commit or for the answer after it; more are told to come back.
const WAITING_MAX: usize = 20_000;

/// Where the answer goes.
pub(super) type Reply = oneshot::Sender<Result<Place, Failure<QueueRefusal>>>;

/// Somebody who asks for a place.
pub(super) struct Entry {
    pub person_id: PersonId,
    pub reply: Reply,
    /// Waits for the answer.
    pub span: Span,
}

/// Somebody whose place is committed, and who has not been told.
pub(super) struct Newcomer {
    pub token: QueueToken,
    pub reply: Reply,
    pub span: Span,
}

/// The lists of all rooms. A room is here as long as anybody is in its lists, or a task has the duty to empty them.
#[derive(Default)]
pub(in crate::waiting_room) struct Backlog {
    rooms: Mutex<HashMap<ScheduleId, Lists>>,
}

#[derive(Default)]
struct Lists {
    /// The people who wait to be written, in order of arrival.
    entries: Vec<Entry>,
    /// A task writes them.
    writing: bool,
    /// The people who wait to be put into the index and answered, in the order of their commits.
    newcomers: Vec<Newcomer>,
    /// A task answers them.
    answering: bool,
    /// How many have been taken from `newcomers` and are not answered yet.
    in_hand: usize,
}

impl Lists {
    const fn idle(&self) -> bool {
        !self.writing && !self.answering && self.entries.is_empty() && self.newcomers.is_empty()
    }
}

impl std::fmt::Debug for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backlog")
    }
}

impl Backlog {
    fn rooms(&self) -> MutexGuard<'_, HashMap<ScheduleId, Lists>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry. A caller who is given the duty to write has to start the task that does.
    ///
    /// # Errors
    /// When too many wait.
    pub(super) fn push(
        self: &Arc<Self>,
        schedule_id: ScheduleId,
        entry: Entry,
    ) -> Result<Option<Duty>, Fault> {
        let mut rooms = self.rooms();
        let lists = rooms.entry(schedule_id).or_default();
        if lists.entries.len() + lists.newcomers.len() + lists.in_hand >= WAITING_MAX {
            return Err(Fault::unavailable("too many people entering at once"));
        }
        lists.entries.push(entry);
        let fresh = !mem::replace(&mut lists.writing, true);
        Ok(fresh.then(|| Duty::new(self, schedule_id, Work::Writing)))
    }

    /// Adds people who were committed, in that order. A caller who is given the duty to answer has to start the task that
    /// does.
    pub(super) fn committed(
        self: &Arc<Self>,
        schedule_id: ScheduleId,
        newcomers: Vec<Newcomer>,
    ) -> Option<Duty> {
        let mut rooms = self.rooms();
        let lists = rooms.entry(schedule_id).or_default();
        lists.newcomers.extend(newcomers);
        let fresh = !mem::replace(&mut lists.answering, true);
        fresh.then(|| Duty::new(self, schedule_id, Work::Answering))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Writing,
    Answering,
}

/// Held by the task that empties a list. Should that die, the list goes with it: those in it are told to come back, and the
/// first of them starts another task.
pub(super) struct Duty {
    backlog: Arc<Backlog>,
    schedule_id: ScheduleId,
    work: Work,
    done: bool,
}

impl Duty {
    fn new(backlog: &Arc<Backlog>, schedule_id: ScheduleId, work: Work) -> Self {
        Self { backlog: backlog.clone(), schedule_id, work, done: false }
    }

    /// The next people to be written in one commit, in order of arrival. With nothing, the duty is over: the next one to
    /// come is given it anew.
    pub(super) fn entries(&mut self) -> Option<Vec<Entry>> {
        self.take(|lists| {
            let rest = lists.entries.split_off(lists.entries.len().min(BATCH));
            let batch = mem::replace(&mut lists.entries, rest);
            lists.writing = !batch.is_empty();
            batch
        })
    }

    /// Everybody who is to be answered, in the order of their commits; those who were taken before have been. With nothing,
    /// the duty is over.
    pub(super) fn newcomers(&mut self) -> Option<Vec<Newcomer>> {
        self.take(|lists| {
            let newcomers = mem::take(&mut lists.newcomers);
            lists.in_hand = newcomers.len();
            lists.answering = !newcomers.is_empty();
            newcomers
        })
    }

    fn take<T>(&mut self, take: impl FnOnce(&mut Lists) -> Vec<T>) -> Option<Vec<T>> {
        let mut rooms = self.backlog.rooms();
        let taken = rooms.get_mut(&self.schedule_id).map(take).unwrap_or_default();
        self.done = taken.is_empty();
        if rooms.get(&self.schedule_id).is_some_and(Lists::idle) {
            rooms.remove(&self.schedule_id);
        }
        (!self.done).then_some(taken)
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut abandoned = Lists::default();
        let mut rooms = self.backlog.rooms();
        if let Some(lists) = rooms.get_mut(&self.schedule_id) {
            match self.work {
                Work::Writing => {
                    mem::swap(&mut lists.entries, &mut abandoned.entries);
                    lists.writing = false;
                }
                Work::Answering => {
                    mem::swap(&mut lists.newcomers, &mut abandoned.newcomers);
                    (lists.in_hand, lists.answering) = (0, false);
                }
            }
            if lists.idle() {
                rooms.remove(&self.schedule_id);
            }
        }
        drop(rooms);
        // Outside of the lock: dropping them tells all who wait that there will be no answer.
        drop(abandoned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{QueueTokenId, Timestamp},
        tasks::Tasks,
        telemetry::Metrics,
        waiting_room::QueueStatus,
    };

    type Answer = oneshot::Receiver<Result<Place, Failure<QueueRefusal>>>;

    fn entry() -> (Entry, Answer) {
        let (reply, answer) = oneshot::channel();
        (Entry { person_id: PersonId::new(), reply, span: Span::default() }, answer)
    }

    fn newcomer(schedule_id: ScheduleId, number: i64) -> (Newcomer, Answer) {
        let (entry, answer) = entry();
        let token = QueueToken {
            id: QueueTokenId::new(),
            schedule_id,
            person_id: entry.person_id,
            number,
            status: QueueStatus::Waiting,
            version: 0,
            entered_at: Timestamp::UNIX_EPOCH,
            passed_over_at: None,
            activated_at: None,
            expires_at: None,
            ended_because: None,
            now: Timestamp::UNIX_EPOCH,
        };
        (Newcomer { token, reply: entry.reply, span: entry.span }, answer)
    }

    #[tokio::test]
    #[expect(clippy::panic, reason = "that is what is tried")]
    async fn a_room_takes_people_again_when_its_writer_died() {
        let (backlog, schedule_id) = (Arc::<Backlog>::default(), ScheduleId::new());
        let tasks = Tasks::new(&Metrics::new());
        let (first, first_answer) = entry();
        let (second, second_answer) = entry();
        let mut writing = backlog.push(schedule_id, first).unwrap().expect("the first writes");
        assert!(backlog.push(schedule_id, second).unwrap().is_none());
        let died = tasks.spawn_vital("writing a journal", async move {
            let _batch = writing.entries();
            panic!("planted");
        });
        assert_eq!(died.await.unwrap(), None::<()>);
        assert!(first_answer.await.is_err() && second_answer.await.is_err(), "nobody waits on");
        let (third, _answer) = entry();
        let mut writing = backlog.push(schedule_id, third).unwrap().expect("another writes");
        assert_eq!(writing.entries().map(|batch| batch.len()), Some(1));
        assert!(writing.entries().is_none() && backlog.rooms().is_empty(), "all is done");
        // One whose duty is over takes nobody along.
        let (fourth, mut answer) = entry();
        let _next = backlog.push(schedule_id, fourth).unwrap().expect("another writes");
        drop(writing);
        assert!(answer.try_recv().is_err_and(|it| it == oneshot::error::TryRecvError::Empty));
    }

    #[tokio::test]
    async fn newcomers_are_answered_in_the_order_of_their_commits_and_by_one_task() {
        let (backlog, schedule_id) = (Arc::<Backlog>::default(), ScheduleId::new());
        let [(one, _a), (two, _b), (three, lost)] = [1, 2, 3].map(|n| newcomer(schedule_id, n));
        let mut answering = backlog.committed(schedule_id, vec![one]).expect("a duty");
        assert!(backlog.committed(schedule_id, vec![two]).is_none());
        let numbers = |people: Vec<Newcomer>| -> Vec<i64> {
            people.iter().map(|newcomer| newcomer.token.number).collect()
        };
        assert_eq!(answering.newcomers().map(numbers), Some(vec![1, 2]));
        assert!(backlog.committed(schedule_id, vec![three]).is_none(), "it will look again");
        drop(answering);
        assert!(lost.await.is_err(), "nobody waits on");
        assert!(backlog.rooms().is_empty());
        let (four, _d) = newcomer(schedule_id, 4);
        assert!(backlog.committed(schedule_id, vec![four]).is_some(), "another answers");
    }

    #[tokio::test]
    async fn whoever_waits_for_an_answer_counts_among_those_who_may_wait() {
        let (backlog, schedule_id) = (Arc::<Backlog>::default(), ScheduleId::new());
        let crowd = (0..1_000).map(|number| newcomer(schedule_id, number).0).collect();
        let mut answering = backlog.committed(schedule_id, crowd).expect("a duty");
        let in_hand = answering.newcomers().expect("a thousand");
        let more = (1_001..WAITING_MAX).map(|_| newcomer(schedule_id, 1).0);
        assert!(backlog.committed(schedule_id, more.collect()).is_none());
        let _writing = backlog.push(schedule_id, entry().0).unwrap().expect("room for one");
        assert!(backlog.push(schedule_id, entry().0).is_err(), "and for no more");
        drop(in_hand);
        assert!(answering.newcomers().is_some_and(|people| people.len() == WAITING_MAX - 1_001));
        assert!(backlog.push(schedule_id, entry().0).is_ok(), "a thousand were answered");
    }
}
