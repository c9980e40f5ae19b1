//! Taking a place in line, with grouped commits: everybody who enters while a commit is running shares the next one.
//!
//! Nobody waits for a batch to fill: an entry that finds no commit running starts one at once. Under load batches grow by
//! themselves, and one commit carries hundreds of people. Redis is not asked here: people who are committed are put into the
//! index and answered in `newcomers`, while the next commit runs. All who wait are in `backlog`.

mod backlog;
mod newcomers;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

pub(super) use backlog::Backlog;
use backlog::{Duty, Entry, Newcomer};
use tokio::{sync::oneshot, time::timeout};

use super::{
    Change, Event, Place, QueueRefusal, QueueToken, WaitingRooms,
    store::{
        enter::{self, Outcome},
        journal,
    },
};
use crate::{
    kernel::{Actor, Failure, Fault, FaultKind, PersonId, ScheduleId},
    telemetry::{Span, Step},
    turns::deadline,
};

/// How often a statement is tried for people who had a place when it began, and have lost it since.
const ATTEMPTS: usize = 5;
/// How long somebody waits for the commit that they are in. Their request's deadline is usually nearer. Afterwards they may
/// be in line without having been told.
const ANSWER_PATIENCE: Duration = Duration::from_secs(8);

/// What became of the people of one commit.
#[derive(Default)]
struct Written {
    /// Everybody's live token after it.
    tokens: HashMap<PersonId, QueueToken>,
    /// How many of them are new.
    entered: usize,
    refused: HashMap<PersonId, QueueRefusal>,
    /// People whose account was deleted.
    gone: HashSet<PersonId>,
    /// What kept the others from being written or refused.
    failed: Option<FaultKind>,
}

impl Written {
    /// Those that nothing is known of yet.
    fn others(&self, people: &[PersonId]) -> Vec<PersonId> {
        let known = |person: &PersonId| {
            self.tokens.contains_key(person)
                || self.refused.contains_key(person)
                || self.gone.contains(person)
        };
        people.iter().copied().filter(|person| !known(person)).collect()
    }

    fn nobody(&self) -> bool {
        self.tokens.is_empty() && self.refused.is_empty() && self.gone.is_empty()
    }

    /// Why somebody has no place.
    fn why_not(&self, person: PersonId) -> Failure<QueueRefusal> {
        if let Some(refusal) = self.refused.get(&person) {
            Failure::Refused(*refusal)
        } else if self.gone.contains(&person) {
            Fault::caller_gone().into()
        } else if let Some(kind) = self.failed {
            Fault::alike(kind, "the journal could not be written").into()
        } else {
            Fault::unavailable("entering and leaving at the same time").into()
        }
    }
}

/// Whether one entry alone may be the cause of a fault: then the others are better tried without it.
const fn is_about_an_entry(fault: &Fault) -> bool {
    matches!(fault.kind(), FaultKind::Internal | FaultKind::CallerGone)
}

impl WaitingRooms {
    /// Takes a place for a person. Called again while the place lives, it returns the same one.
    ///
    /// When this returns, the place is committed in Postgres: no crash of any part loses it.
    ///
    /// # Errors
    /// A [`QueueRefusal`], or a fault.
    pub async fn enter(
        &self,
        actor: Actor,
        schedule_id: ScheduleId,
    ) -> Result<Place, Failure<QueueRefusal>> {
        let (reply, answer) = oneshot::channel();
        let step = Step::journal();
        let entry = Entry { person_id: actor.person_id, reply, span: step.span() };
        if let Some(duty) = self.backlog.push(schedule_id, entry)? {
            let rooms = self.clone();
            self.tasks.spawn_vital("writing a journal", async move {
                rooms.write_journal(schedule_id, duty).await;
            });
        }
        // Whether they were written is not known. Entering is safe to repeat.
        let lost =
            || Err(Fault::alike(FaultKind::Unanswered, "a journal commit gave no answer").into());
        match step.run(timeout(deadline::at_most(ANSWER_PATIENCE), answer)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => lost(),
        }
    }

    /// Writes until nobody waits to be written.
    async fn write_journal(&self, schedule_id: ScheduleId, mut duty: Duty) {
        while let Some(batch) = duty.entries() {
            self.commit(schedule_id, batch).await;
        }
    }

    async fn commit(&self, schedule_id: ScheduleId, batch: Vec<Entry>) {
        let mut seen = HashSet::new();
        let people: Vec<PersonId> = batch
            .iter()
            .map(|entry| entry.person_id)
            .filter(|person| seen.insert(*person))
            .collect();
        let group = Span::of_group("commit to the journal", batch.iter().map(|it| &it.span));
        match group.run(self.write(schedule_id, &people)).await {
            Ok(written) => {
                #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
                self.metrics.journal_batch.observe(people.len() as f64);
                self.metrics.queue_entered.inc_by(u64::try_from(written.entered).unwrap_or(0));
                self.hand_over(schedule_id, batch, &written);
            }
            // One entry that Postgres cannot take must not cost the others their place: the batch is tried in halves.
            Err(fault) if batch.len() > 1 && is_about_an_entry(&fault) => {
                let mut first = batch;
                let second = first.split_off(first.len() / 2);
                Box::pin(self.commit(schedule_id, first)).await;
                Box::pin(self.commit(schedule_id, second)).await;
            }
            Err(fault) => {
                tracing::error!(%schedule_id, fault = %fault.report(), "journal commit failed");
                for entry in batch {
                    let told = Fault::alike(fault.kind(), "the journal could not be written");
                    // A person who has hung up needs no answer.
                    _ = entry.reply.send(Err(told.into()));
                }
            }
        }
    }

    /// Answers at once those who have no place, and hands the others over to be put into the index and answered.
    fn hand_over(&self, schedule_id: ScheduleId, batch: Vec<Entry>, written: &Written) {
        let mut newcomers = Vec::with_capacity(batch.len());
        for Entry { person_id, reply, span } in batch {
            match written.tokens.get(&person_id) {
                Some(token) => newcomers.push(Newcomer { token: token.clone(), reply, span }),
                None => _ = reply.send(Err(written.why_not(person_id))),
            }
        }
        if newcomers.is_empty() {
            return;
        }
        if let Some(duty) = self.backlog.committed(schedule_id, newcomers) {
            let rooms = self.clone();
            self.tasks.spawn_vital("answering newcomers", async move {
                rooms.answer_newcomers(schedule_id, duty).await;
            });
        }
    }

    /// Writes people who ask for a place. A fault that comes when some are written takes nothing from these; the others are
    /// told of it.
    async fn write(&self, schedule_id: ScheduleId, people: &[PersonId]) -> Result<Written, Fault> {
        let mut written = Written::default();
        match self.write_all(schedule_id, people, &mut written).await {
            Err(fault) if written.nobody() || is_about_an_entry(&fault) => Err(fault),
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
        let mut others = people.to_vec();
        for _ in 0..ATTEMPTS {
            let (mut lapsed, mut holding) = (Vec::new(), Vec::new());
            for (person, outcome) in enter::enter(&self.db, schedule_id, &others).await? {
                match outcome {
                    Outcome::New(token) => {
                        written.entered += 1;
                        written.tokens.insert(person, token);
                    }
                    // Their ACTIVE time is over and nobody has tidied yet.
                    Outcome::Live(token) if token.status.ended() => lapsed.push(person),
                    Outcome::Live(token) => _ = written.tokens.insert(person, token),
                    Outcome::Refused(refusal) => _ = written.refused.insert(person, refusal),
                    Outcome::Gone => _ = written.gone.insert(person),
                    Outcome::Holding => holding.push(person),
                }
            }
            holding.retain(|person| written.tokens.contains_key(person));
            if !holding.is_empty() {
                self.settle(schedule_id, &holding, written).await?;
            }
            if !lapsed.is_empty() {
                // Not left to a round, which may be at work elsewhere.
                self.end_lapsed(schedule_id, &lapsed).await?;
            }
            // Some had a place when the statement began and none when it was over: they have just left it.
            others = written.others(people);
            if others.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Takes the new place from those whose payment, which was under way, has made them own as many seats as they may.
    async fn settle(
        &self,
        schedule_id: ScheduleId,
        holding: &[PersonId],
        written: &mut Written,
    ) -> Result<(), Fault> {
        let changes = enter::settle(&self.db, schedule_id, holding).await?;
        for change in &changes {
            written.tokens.remove(&change.person_id);
            written.refused.insert(change.person_id, QueueRefusal::SeatLimitReached);
        }
        self.tell_ended(schedule_id, changes);
        Ok(())
    }

    async fn end_lapsed(&self, schedule_id: ScheduleId, people: &[PersonId]) -> Result<(), Fault> {
        let changes = journal::end_lapsed(&self.db, schedule_id, people).await?;
        self.tell_ended(schedule_id, changes);
        Ok(())
    }

    /// Announces who is not in any more, without waiting for it.
    fn tell_ended(&self, schedule_id: ScheduleId, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let rooms = self.clone();
        self.tasks.spawn("announcing who lapsed", async move {
            rooms.announce(schedule_id, Event { changes, ..Event::default() }).await;
            rooms.kick(schedule_id);
        });
    }
}
