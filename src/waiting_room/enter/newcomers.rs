//! Putting people into the index whose place is committed, in the order of their commits, and answering them.
//!
//! The order matters: a place that is told before people in front of it, already committed, are in line would rise. Those
//! whom another instance has committed and not brought yet stand in line without a name (`expect` in index/lua/line.lua).
//! While Redis is slow the answers wait, and all who were committed meanwhile go into the index together.

use std::collections::HashMap;

use super::backlog::{Duty, Newcomer};
use crate::{
    kernel::{PersonId, ScheduleId},
    telemetry::Span,
    waiting_room::{
        Place, QueueStatus, QueueToken, WaitingRooms, index::CHUNK, rules, status::Located,
    },
};

impl WaitingRooms {
    /// Answers until nobody waits to be answered.
    pub(super) async fn answer_newcomers(&self, schedule_id: ScheduleId, mut duty: Duty) {
        while let Some(newcomers) = duty.newcomers() {
            let group = Span::of_group("put into the line", newcomers.iter().map(|it| &it.span));
            group.run(self.answer(schedule_id, newcomers)).await;
        }
    }

    async fn answer(&self, schedule_id: ScheduleId, newcomers: Vec<Newcomer>) {
        // By person, because several requests of one person have the same place.
        let waiting: HashMap<PersonId, i64> = newcomers
            .iter()
            .filter(|newcomer| newcomer.token.status == QueueStatus::Waiting)
            .map(|newcomer| (newcomer.token.person_id, newcomer.token.number))
            .collect();
        let mut waiting: Vec<(PersonId, i64)> = waiting.into_iter().collect();
        waiting.sort_unstable_by_key(|(_, number)| *number);
        let (located, summary) =
            tokio::join!(self.index_newcomers(schedule_id, &waiting), self.summary(schedule_id));
        let summary = summary.ok().flatten();
        // Without the index, positions come from the journal. Where that fails too the place is known, and the position is
        // not.
        let line = if located.len() < waiting.len() {
            self.snapshot(schedule_id).await.ok()
        } else {
            None
        };
        for Newcomer { token, reply, .. } in newcomers {
            let located = self.locate_newcomer(&token, &located, line.as_deref()).await;
            // A person who has hung up needs no answer.
            _ = reply.send(Ok(Place::of(token, located, summary.as_ref())));
        }
        if !waiting.is_empty() {
            self.kick(schedule_id);
        }
    }

    /// Writes people into the index; their positions, or nothing when Redis is away.
    async fn index_newcomers(
        &self,
        schedule_id: ScheduleId,
        people: &[(PersonId, i64)],
    ) -> HashMap<PersonId, Located> {
        let mut located = HashMap::new();
        for chunk in people.chunks(CHUNK) {
            let mut ranks = self.index.enter(schedule_id, chunk, rules::POLL_PRESENCE).await;
            if matches!(ranks, Ok(None)) {
                self.rebuild_now(schedule_id).await;
                ranks = self.index.enter(schedule_id, chunk, rules::POLL_PRESENCE).await;
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
                    tracing::debug!(fault = %fault.report(), "newcomers are not in the index yet");
                    // The others would wait for the same. The room is rebuilt when Redis answers again.
                    break;
                }
            }
        }
        located
    }

    async fn locate_newcomer(
        &self,
        token: &QueueToken,
        located: &HashMap<PersonId, Located>,
        line: Option<&[i64]>,
    ) -> Option<Located> {
        if token.status != QueueStatus::Waiting {
            return None;
        }
        if let Err(fault) = self.welcome_back(token).await {
            tracing::warn!(fault = %fault.report(), "somebody who came back is still passed over");
        }
        let by_journal =
            |line| Located { position: rules::position_in(line, token.number), waiting: None };
        located.get(&token.person_id).copied().or_else(|| line.map(by_journal))
    }
}
