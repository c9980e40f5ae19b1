//! The index of the line in Redis: ranks, presence, and the numbered stream of changes.
//!
//! Every script begins with the generation: where it is missing, the line was wiped or never built, and the answer is "no
//! line here", never "an empty line". All keys of a room share a hash tag, so that a Redis Cluster keeps them together.

use std::{collections::HashSet, sync::LazyLock, time::Duration};

use redis::Script;

use crate::{
    kernel::{Fault, FaultKind, PersonId, ScheduleId},
    kv::{Kv, Topic},
    waiting_room::{Event, QueueStatus},
};

static ENTER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/enter.lua")));
static LOOK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/look.lua")));
static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/publish.lua")));
static AWAY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/away.lua")));
static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/fill.lua")));
static SWAP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/swap.lua")));

/// So many people travel in one script call at most, to keep Redis responsive to others.
pub(in crate::waiting_room) const CHUNK: usize = 1_000;

/// Where people stand, as of a numbered change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::waiting_room) struct Ranks {
    pub generation: u64,
    pub seq: u64,
    pub waiting: i64,
    /// For each person asked about, in that order: 1 for the front, 0 when not in line.
    pub positions: Vec<i64>,
}

impl Ranks {
    fn parse(answer: Option<Vec<i64>>) -> Result<Option<Self>, Fault> {
        let Some(answer) = answer else { return Ok(None) };
        let [generation, seq, waiting, positions @ ..] = answer.as_slice() else {
            return Err(Fault::internal("a script of the waiting room answered too little"));
        };
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Some(Self {
            generation: unsigned(*generation),
            seq: unsigned(*seq),
            waiting: *waiting,
            positions: positions.to_vec(),
        }))
    }
}

#[derive(Debug, Clone)]
pub(in crate::waiting_room) struct Index {
    kv: Kv,
}

struct Keys {
    generation: String,
    waiting: String,
    seen: String,
    seq: String,
    /// Numbers that left a moment ago, so that nobody puts them back.
    left: String,
}

impl Index {
    pub(in crate::waiting_room) const fn new(kv: Kv) -> Self {
        Self { kv }
    }

    fn keys(&self, schedule_id: ScheduleId) -> Keys {
        let name = |suffix: &str| self.kv.name(&format!("room:{{{schedule_id}}}:{suffix}"));
        Keys {
            generation: name("generation"),
            waiting: name("waiting"),
            seen: name("seen"),
            seq: name("seq"),
            left: name("left"),
        }
    }

    /// Listens to what happens in a room.
    pub(in crate::waiting_room) async fn listen(&self, schedule_id: ScheduleId) -> Topic {
        self.kv.listen(&channel(schedule_id)).await
    }

    /// Puts people into the line; `None` when there is no line here.
    pub(in crate::waiting_room) async fn enter(
        &self,
        schedule_id: ScheduleId,
        people: &[(PersonId, i64)],
        presence: Duration,
    ) -> Result<Option<Ranks>, Fault> {
        let keys = self.keys(schedule_id);
        let mut call = ENTER.prepare_invoke();
        call.key(keys.generation).key(keys.waiting).key(keys.seen).key(keys.seq).key(keys.left);
        call.arg(self.kv.name(&channel(schedule_id))).arg(millis(presence));
        for (person, number) in people {
            call.arg(person.0.as_bytes()).arg(number);
        }
        Ranks::parse(self.kv.script(&call).await?)
    }

    /// Where people stand; `None` when there is no line here. They count as present for `presence`.
    pub(in crate::waiting_room) async fn look(
        &self,
        schedule_id: ScheduleId,
        people: &[PersonId],
        presence: Duration,
    ) -> Result<Option<Ranks>, Fault> {
        let keys = self.keys(schedule_id);
        let mut call = LOOK.prepare_invoke();
        call.key(keys.generation)
            .key(keys.waiting)
            .key(keys.seen)
            .key(keys.seq)
            .arg(millis(presence));
        for person in people {
            call.arg(person.0.as_bytes());
        }
        Ranks::parse(self.kv.script(&call).await?)
    }

    /// Takes everybody out of the line who is no longer WAITING, and tells all instances; `false` when there is no line
    /// here.
    pub(in crate::waiting_room) async fn publish(
        &self,
        schedule_id: ScheduleId,
        event: &Event,
    ) -> Result<bool, Fault> {
        let keys = self.keys(schedule_id);
        let json = serde_json::to_string(event)
            .map_err(|error| Fault::new(FaultKind::Internal, "writing a room event", error))?;
        let mut call = PUBLISH.prepare_invoke();
        call.key(keys.generation).key(keys.waiting).key(keys.seen).key(keys.seq).key(keys.left);
        call.arg(self.kv.name(&channel(schedule_id))).arg(json);
        for change in event.changes.iter().filter(|change| change.status != QueueStatus::Waiting) {
            call.arg(change.person_id.0.as_bytes()).arg(change.number);
        }
        let told: i64 = self.kv.script(&call).await?;
        Ok(told == 1)
    }

    /// Who of these people is away; nobody, when there is no line here to tell.
    pub(in crate::waiting_room) async fn away(
        &self,
        schedule_id: ScheduleId,
        people: &[PersonId],
    ) -> Result<HashSet<PersonId>, Fault> {
        let keys = self.keys(schedule_id);
        let mut call = AWAY.prepare_invoke();
        call.key(keys.generation).key(keys.seen);
        for person in people {
            call.arg(person.0.as_bytes());
        }
        let flags: Option<Vec<i64>> = self.kv.script(&call).await?;
        let flags = flags.unwrap_or_default();
        Ok(people
            .iter()
            .zip(flags)
            .filter(|(_, away)| *away == 1)
            .map(|(person, _)| *person)
            .collect())
    }

    /// Adds a part to the line of a new generation, which is being built beside the one in use.
    pub(in crate::waiting_room) async fn fill(
        &self,
        schedule_id: ScheduleId,
        generation: i64,
        people: &[(PersonId, i64)],
        presence: Duration,
    ) -> Result<(), Fault> {
        let keys = self.keys(schedule_id);
        let mut call = FILL.prepare_invoke();
        call.key(format!("{}:{generation}", keys.waiting))
            .key(format!("{}:{generation}", keys.seen))
            .arg(millis(presence));
        for (person, number) in people {
            call.arg(person.0.as_bytes()).arg(number);
        }
        let _done: i64 = self.kv.script(&call).await?;
        Ok(())
    }

    /// Puts the line of a new generation into use, and has every instance read its ranks again.
    pub(in crate::waiting_room) async fn swap(
        &self,
        schedule_id: ScheduleId,
        generation: i64,
    ) -> Result<(), Fault> {
        let keys = self.keys(schedule_id);
        let mut call = SWAP.prepare_invoke();
        let (waiting_new, seen_new) =
            (format!("{}:{generation}", keys.waiting), format!("{}:{generation}", keys.seen));
        call.key(keys.generation).key(keys.waiting).key(keys.seen).key(keys.seq);
        call.key(waiting_new).key(seen_new);
        call.arg(generation).arg(self.kv.name(&channel(schedule_id)));
        let _swapped: i64 = self.kv.script(&call).await?;
        Ok(())
    }
}

fn channel(schedule_id: ScheduleId) -> String {
    format!("room:{{{schedule_id}}}:events")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
