//! The calls of Redis: ranks, presence, and the numbered stream of changes. What they do stands in `lua/`.
//!
//! Every script begins with the generation: where it is missing, or bound to another run of the server, the line was wiped,
//! rolled back or never built, and the answer is "no line here", never "an empty line". All keys of a room share a hash tag,
//! so that a Redis Cluster keeps them together.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    kernel::{Fault, FaultKind, PersonId, RebuildId, ScheduleId},
    kv::{Kv, Script, ScriptCall, Topic},
    waiting_room::Event,
};

macro_rules! script {
    ($name:literal) => {
        LazyLock::new(|| {
            let text = concat!(include_str!("lua/line.lua"), include_str!(concat!("lua/", $name)));
            Script::new($name, text)
        })
    };
}

static ENTER: LazyLock<Script> = script!("enter.lua");
static LOOK: LazyLock<Script> = script!("look.lua");
static PUBLISH: LazyLock<Script> = script!("publish.lua");
static AWAY: LazyLock<Script> = script!("away.lua");
static CLAIM: LazyLock<Script> = script!("claim.lua");
static FILL: LazyLock<Script> = script!("fill.lua");
static RELEASE: LazyLock<Script> = script!("release.lua");
static RETIRE: LazyLock<Script> = script!("retire.lua");
static SWAP: LazyLock<Script> = script!("swap.lua");

/// How many people travel in one script call at most, to keep Redis responsive to others.
pub(in crate::waiting_room) const CHUNK: usize = 1_000;
/// As many when a line is built, which is one command for all of them.
const FILL_CHUNK: usize = 2_000;
/// A builder that gives no sign of life for this long has lost its claim.
const CLAIM_LIVES: Duration = Duration::from_secs(3);
/// How long the keys of a room stay after its sale is over: longer than anybody asks where they stood.
const RETIRED_LIVES: Duration = Duration::from_secs(60 * 60);

/// Where people stand, as of a numbered change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::waiting_room) struct Ranks {
    pub generation: u64,
    pub seq: u64,
    pub waiting: i64,
    /// What the numbers of everybody in line add up to, as in `Tally` of `waiting_room::store::rebuild`.
    pub sum: i64,
    /// For each person asked about, in that order: 1 for the front, 0 when not in line.
    pub positions: Vec<i64>,
}

impl Ranks {
    fn parse(answer: Option<Vec<i64>>) -> Result<Option<Self>, Fault> {
        let Some(answer) = answer else { return Ok(None) };
        let [generation, seq, waiting, sum, positions @ ..] = answer.as_slice() else {
            return Err(Fault::internal("a script of the waiting room answered too little"));
        };
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(Some(Self {
            generation: unsigned(*generation),
            seq: unsigned(*seq),
            waiting: *waiting,
            sum: *sum,
            positions: positions.to_vec(),
        }))
    }
}

#[derive(Debug, Clone)]
pub(in crate::waiting_room) struct Index {
    kv: Kv,
    /// Rooms with a change that could not be written: the index lacks it, whatever it looks like.
    behind: Arc<Mutex<HashSet<ScheduleId>>>,
}

struct Keys {
    /// The generation of the line, and the run of the server that it was built on.
    generation: String,
    waiting: String,
    seen: String,
    seq: String,
    /// Numbers that left a moment ago, so that nobody puts them back.
    left: String,
    sum: String,
    /// The largest number that ever came.
    high: String,
    /// Who is building the line anew.
    builder: String,
    /// The line that is being built.
    built: String,
    built_sum: String,
}

/// What came of asking to build a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::waiting_room) enum Claim {
    /// The caller is to build it.
    Granted,
    /// Somebody else is building it. The generation in use, or 0.
    Taken(i64),
    /// Somebody else has built it since the caller first asked.
    Done,
}

impl Index {
    pub(in crate::waiting_room) fn new(kv: Kv) -> Self {
        Self { kv, behind: Arc::default() }
    }

    /// Rooms with changes that could not be written since this was last asked.
    pub(in crate::waiting_room) fn take_behind(&self) -> HashSet<ScheduleId> {
        std::mem::take(&mut self.behind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers that a room's index lacks a change.
    pub(in crate::waiting_room) fn fell_behind(&self, schedule_id: ScheduleId) {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner).insert(schedule_id);
    }

    /// Runs a script that writes a change of the journal.
    async fn write<T: redis::FromRedisValue>(
        &self,
        schedule_id: ScheduleId,
        call: &ScriptCall<'_>,
    ) -> Result<T, Fault> {
        self.kv.script(call).await.inspect_err(|_| self.fell_behind(schedule_id))
    }

    fn keys(&self, schedule_id: ScheduleId) -> Keys {
        let name = |suffix: &str| self.kv.name(&format!("room:{{{schedule_id}}}:{suffix}"));
        Keys {
            generation: name("generation"),
            waiting: name("waiting"),
            seen: name("seen"),
            seq: name("seq"),
            left: name("left"),
            builder: name("builder"),
            built: name("built"),
            sum: name("sum"),
            high: name("high"),
            built_sum: name("built_sum"),
        }
    }

    /// Whether what is told arrives at the moment, as far as this instance can tell.
    pub(in crate::waiting_room) fn listening(&self) -> bool {
        self.kv.listening()
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
        let mut call = ENTER.on([
            keys.generation,
            keys.waiting,
            keys.seen,
            keys.seq,
            keys.left,
            keys.sum,
            keys.high,
        ]);
        call.arg(self.channel(schedule_id)).arg(millis(presence));
        for (person, number) in people {
            call.arg(person.0.as_bytes()).arg(number);
        }
        Ranks::parse(self.write(schedule_id, &call).await?)
    }

    /// Where people stand; `None` when there is no line here. They count as present for `presence`.
    pub(in crate::waiting_room) async fn look(
        &self,
        schedule_id: ScheduleId,
        people: &[PersonId],
        presence: Duration,
    ) -> Result<Option<Ranks>, Fault> {
        let keys = self.keys(schedule_id);
        let mut call = LOOK.on([keys.generation, keys.waiting, keys.seen, keys.seq, keys.sum]);
        call.arg(millis(presence));
        for person in people {
            call.arg(person.0.as_bytes());
        }
        Ranks::parse(self.kv.script(&call).await?)
    }

    /// Takes everybody who is no longer WAITING out of the line, and tells all instances; `false` when there is no line
    /// here.
    pub(in crate::waiting_room) async fn publish(
        &self,
        schedule_id: ScheduleId,
        event: &Event,
    ) -> Result<bool, Fault> {
        let keys = self.keys(schedule_id);
        let json = serde_json::to_string(event)
            .map_err(|error| Fault::new(FaultKind::Internal, "writing a room event", error))?;
        let mut call =
            PUBLISH.on([keys.generation, keys.waiting, keys.seen, keys.seq, keys.left, keys.sum]);
        call.arg(self.channel(schedule_id)).arg(json);
        for change in event.changes.iter().filter(|change| change.leaves_line()) {
            call.arg(change.person_id.0.as_bytes()).arg(change.number);
        }
        let told: i64 = self.write(schedule_id, &call).await?;
        Ok(told == 1)
    }

    /// Which of these people are away. Nobody, when there is no line here to tell, or when Redis was away within `presence`:
    /// signs of life were not noted meanwhile.
    pub(in crate::waiting_room) async fn away(
        &self,
        schedule_id: ScheduleId,
        people: &[PersonId],
        presence: Duration,
    ) -> Result<HashSet<PersonId>, Fault> {
        let keys = self.keys(schedule_id);
        if self.kv.troubled_within(&keys.seen, presence).await {
            return Ok(HashSet::new());
        }
        let mut call = AWAY.on([keys.generation, keys.seen]);
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

    /// Asks to build the line anew. `seen` is the generation that an earlier answer told, if there was one.
    pub(in crate::waiting_room) async fn claim(
        &self,
        schedule_id: ScheduleId,
        token: RebuildId,
        seen: Option<i64>,
    ) -> Result<Claim, Fault> {
        let keys = self.keys(schedule_id);
        let mut call = CLAIM.on([keys.generation, keys.builder, keys.built, keys.built_sum]);
        call.arg(token.to_string()).arg(millis(CLAIM_LIVES));
        call.arg(seen.map_or_else(String::new, |generation| generation.to_string()));
        let (answer, generation): (i64, i64) = self.kv.script(&call).await?;
        Ok(match answer {
            1 => Claim::Granted,
            2 => Claim::Done,
            _ => Claim::Taken(generation),
        })
    }

    /// Adds a part to the line that is being built beside the one in use; `false` when the claim is lost.
    pub(in crate::waiting_room) async fn fill(
        &self,
        schedule_id: ScheduleId,
        token: RebuildId,
        people: &[(PersonId, i64)],
    ) -> Result<bool, Fault> {
        for chunk in people.chunks(FILL_CHUNK) {
            let keys = self.keys(schedule_id);
            let mut call = FILL.on([keys.builder, keys.built, keys.built_sum]);
            call.arg(token.to_string()).arg(millis(CLAIM_LIVES));
            for (person, number) in chunk {
                call.arg(number).arg(person.0.as_bytes());
            }
            let filled: i64 = self.kv.script(&call).await?;
            if filled == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives a claim up.
    pub(in crate::waiting_room) async fn release(
        &self,
        schedule_id: ScheduleId,
        token: RebuildId,
    ) -> Result<(), Fault> {
        let keys = self.keys(schedule_id);
        let mut call = RELEASE.on([keys.builder, keys.built, keys.built_sum]);
        call.arg(token.to_string());
        let _released: i64 = self.kv.script(&call).await?;
        Ok(())
    }

    /// Puts the line that was built into use, and has every instance read its ranks again; everybody counts as present for
    /// `presence`. Nobody who is in line and not in what was built has a number up to `last`. `false` when the claim is lost.
    pub(in crate::waiting_room) async fn swap(
        &self,
        schedule_id: ScheduleId,
        token: RebuildId,
        generation: i64,
        presence: Duration,
        last: i64,
    ) -> Result<bool, Fault> {
        let keys = self.keys(schedule_id);
        let mut call = SWAP.on([
            keys.generation,
            keys.waiting,
            keys.seen,
            keys.seq,
            keys.sum,
            keys.builder,
            keys.built,
            keys.built_sum,
            keys.high,
        ]);
        call.arg(token.to_string()).arg(self.channel(schedule_id));
        call.arg(generation).arg(millis(presence)).arg(last);
        let swapped: i64 = self.kv.script(&call).await?;
        Ok(swapped == 1)
    }

    /// Lets the line of a room whose sale is over end by itself, an hour from now. What is written later does not keep it.
    pub(in crate::waiting_room) async fn retire(
        &self,
        schedule_id: ScheduleId,
    ) -> Result<(), Fault> {
        let Keys { generation, waiting, seen, seq, left, sum, high, builder, built, built_sum } =
            self.keys(schedule_id);
        let mut call =
            RETIRE.on([generation, waiting, seen, seq, left, sum, high, builder, built, built_sum]);
        call.arg(RETIRED_LIVES.as_secs());
        let _retired: i64 = self.kv.script(&call).await?;
        Ok(())
    }

    fn channel(&self, schedule_id: ScheduleId) -> String {
        self.kv.name(&channel(schedule_id))
    }
}

fn channel(schedule_id: ScheduleId) -> String {
    format!("room:{{{schedule_id}}}:events")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
