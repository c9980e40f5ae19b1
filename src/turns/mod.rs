//! Lines in front of something scarce: a connection, a place among one person's requests.
//!
//! They serve in the order of arrival. Nobody waits in a line that stands still: when nobody was served for as long as one
//! is patient, more waiting is no use, and the caller is told that there is no place. Nobody waits beyond their request's
//! deadline.

pub mod deadline;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

/// In a line that moves, the wait ends after this many times the patience.
const PATIENCES: u32 = 2;

/// A number of places and the line in front of them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns {
    places: Arc<Semaphore>,
    /// How many have had their turn: tells whether the line moves.
    served: Arc<AtomicU64>,
    patience: Duration,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub struct Turn {
    served: Arc<AtomicU64>,
    _place: OwnedSemaphorePermit,
}

impl Turns {
    /// This many places, one at least. `patience` is how long somebody waits while nobody else is served; twice as long they
    /// wait at most.
    pub fn new(places: usize, patience: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))), served: Arc::default(), patience }
    }

    /// Waits for a place; `None` when the line stands still, is too long, or is closed, or the request's deadline is over.
    pub async fn turn(&self) -> Option<Turn> {
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        let since = Instant::now();
        let mut seen = self.served.load(Ordering::Relaxed);
        loop {
            tokio::select! {
                biased;
                place = &mut place => return place.ok().map(|place| self.taken(place)),
                () = sleep(deadline::at_most(self.patience)) => {}
            }
            let served = self.served.load(Ordering::Relaxed);
            let late = deadline::at_most(self.patience).is_zero();
            // Nobody was served during a whole wait: the line stands still.
            if served == seen || late || since.elapsed() >= self.patience * PATIENCES {
                return None;
            }
            seen = served;
        }
    }

    /// A place, if one is free and nobody waits for it.
    pub fn free_turn(&self) -> Option<Turn> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.ok().map(|place| self.taken(place))
    }

    /// Sends everybody away who waits, and everybody who comes later.
    pub fn close(&self) {
        self.places.close();
    }

    fn taken(&self, place: OwnedSemaphorePermit) -> Turn {
        Turn { served: Arc::clone(&self.served), _place: place }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_in_a_line_that_stands_still() {
        let turns = Turns::new(2, Duration::from_millis(20));
        let (_one, two) = (turns.turn().await.unwrap(), turns.turn().await.unwrap());
        assert!(turns.free_turn().is_none());
        assert!(turns.turn().await.is_none());
        drop(two);
        assert!(turns.free_turn().is_some());
        turns.close();
        assert!(turns.turn().await.is_none());
    }

    /// Takes a turn for some time; whether there was one.
    async fn served(turns: &Turns, time: Duration) -> bool {
        let turn = turns.turn().await;
        sleep(time).await;
        turn.is_some()
    }

    #[tokio::test]
    async fn a_line_that_moves_is_worth_waiting_in() {
        let turns = Turns::new(1, Duration::from_secs(10));
        let people = (0..20).map(|_| served(&turns, Duration::from_millis(1)));
        assert!(join_all(people).await.into_iter().all(|served| served));
    }

    #[tokio::test]
    async fn there_is_an_end_to_waiting_in_a_line_that_moves() {
        let turns = Turns::new(1, Duration::from_millis(20));
        // They would take ten times the time that anybody waits.
        let people = (0..40).map(|_| served(&turns, Duration::from_millis(10)));
        let served = join_all(people).await.into_iter().filter(|served| *served).count();
        assert!((1..40).contains(&served), "{served}");
    }
}
