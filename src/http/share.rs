//! A person's share: how many of one person's requests are answered at the same time.
//!
//! A person who waits for a lock of their own, or asks for the dearest answers there are, keeps to their share of the
//! server. The other connections and processors are everybody else's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{document::Kind, error::Refusal};
use crate::{
    api::Caller,
    kernel::{PersonId, RequestCode},
    turns::{Turn, Turns},
};

/// Mutations of one person at a time. Two, so that a lost answer can be asked for again at once; with more, one person who
/// waits for a lock would take the connections that are kept for payments.
const MUTATIONS_MAX: usize = 2;
/// Queries of one person at a time; a page asks several at once.
const QUERIES_MAX: usize = 4;
/// At most this many of a person's requests wait for their turn.
const WAITING_MAX: usize = 100;

/// The shares of all people who ask right now.
#[derive(Debug)]
pub(super) struct Shares {
    patience: Duration,
    people: Mutex<HashMap<PersonId, Share>>,
}

#[derive(Debug)]
struct Share {
    mutations: Turns,
    queries: Turns,
    /// Requests under way or waiting.
    requests: usize,
}

/// One request's part of its person's share, until it is answered.
#[derive(Debug)]
pub(super) struct Part {
    shares: Arc<Shares>,
    person_id: PersonId,
    turn: Option<Turn>,
}

impl Shares {
    /// Nobody asks yet. `patience` is how long a request waits while no other of the same person is answered.
    pub(super) fn new(patience: Duration) -> Arc<Self> {
        Arc::new(Self { patience, people: Mutex::default() })
    }

    /// Waits until the caller's other requests leave room for this one. A caller who is not signed in has no share.
    ///
    /// # Errors
    /// RATE_LIMITED when they do not.
    pub(super) async fn part_of(
        self: &Arc<Self>,
        caller: Caller,
        kind: Kind,
    ) -> Result<Option<Part>, Refusal> {
        match caller.0 {
            Some(actor) => self.part(actor.person_id, kind).await.map(Some),
            None => Ok(None),
        }
    }

    async fn part(self: &Arc<Self>, person_id: PersonId, kind: Kind) -> Result<Part, Refusal> {
        let turns = self.join(person_id, kind).ok_or_else(too_many)?;
        // Leaves the share when this future is dropped in line.
        let mut part = Part { shares: Arc::clone(self), person_id, turn: None };
        part.turn = Some(turns.turn().await.ok_or_else(too_many)?);
        Ok(part)
    }

    fn join(&self, person_id: PersonId, kind: Kind) -> Option<Turns> {
        let mut people = self.people();
        let share = people.entry(person_id).or_insert_with(|| Share {
            mutations: Turns::new(MUTATIONS_MAX, self.patience),
            queries: Turns::new(QUERIES_MAX, self.patience),
            requests: 0,
        });
        if share.requests >= WAITING_MAX + MUTATIONS_MAX + QUERIES_MAX {
            return None;
        }
        share.requests += 1;
        Some(if kind == Kind::Mutation { share.mutations.clone() } else { share.queries.clone() })
    }

    fn people(&self) -> MutexGuard<'_, HashMap<PersonId, Share>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // First the place, then the share: a request that comes in between finds both.
        self.turn = None;
        let mut people = self.shares.people();
        if let Some(share) = people.get_mut(&self.person_id) {
            share.requests -= 1;
            if share.requests == 0 {
                people.remove(&self.person_id);
            }
        }
    }
}

fn too_many() -> Refusal {
    let text =
        "You have too many requests under way; wait for their answers, then send this again.";
    Refusal::new(RequestCode::RateLimited, text).retry_after(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    fn somebody() -> PersonId {
        PersonId::new()
    }

    #[tokio::test]
    async fn one_persons_requests_leave_room_for_others() {
        let (shares, me) = (Shares::new(PATIENCE), somebody());
        let mut mine = Vec::new();
        for _ in 0..MUTATIONS_MAX {
            mine.push(shares.part(me, Kind::Mutation).await.unwrap());
        }
        let refused = shares.part(me, Kind::Mutation).await.unwrap_err();
        assert_eq!(refused.code, RequestCode::RateLimited);
        assert!(shares.part(me, Kind::Query).await.is_ok());
        assert!(shares.part(somebody(), Kind::Mutation).await.is_ok());
        drop(mine.pop());
        assert!(shares.part(me, Kind::Mutation).await.is_ok());
        mine.clear();
        assert!(shares.people().is_empty());
    }

    #[tokio::test]
    async fn a_flood_waits_in_a_short_line() {
        let (shares, me) = (Shares::new(PATIENCE), somebody());
        let flood = (0..1_000).map(|_| shares.part(me, Kind::Query));
        let parts = futures_util::future::join_all(flood).await;
        assert_eq!(parts.iter().filter(|part| part.is_ok()).count(), QUERIES_MAX);
        drop(parts);
        assert!(shares.people().is_empty());
    }
}
