//! Keeping boards current, and telling subscribers what changed.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{MissedTickBehavior, interval},
};

use super::{SeatFilter, SeatMaps, SeatView, board::Board, store};
use crate::{
    kernel::{Fault, ScheduleId, Timestamp},
    kv::{Signal, Topic},
    reservation::{SeatChange, seat_channel},
};

/// Without Redis a board is loaded again when it is this old.
const MAX_AGE_UNTOLD: Duration = Duration::from_secs(1);
/// Seats in one batch at most: a message has to fit what a socket may buffer.
const BATCH: usize = 500;
const LOOK_AROUND: Duration = Duration::from_secs(1);

impl SeatMaps {
    /// Batches of seats that changed since the call; each seat with its newest state.
    ///
    /// # Errors
    /// A fault when the board has to be loaded and Postgres cannot be asked.
    pub async fn changes(
        &self,
        schedule_id: ScheduleId,
    ) -> Result<impl Stream<Item = Arc<[SeatView]>> + Send + use<>, Fault> {
        let board = self.board(schedule_id).await?;
        let receiver = board.subscribe();
        let batches = stream::unfold((board, receiver), next_batch);
        Ok(batches.flat_map(|batch| {
            let chunks: Vec<Arc<[SeatView]>> = batch.chunks(BATCH).map(Arc::from).collect();
            stream::iter(chunks)
        }))
    }

    /// A board that may be shown.
    pub(super) async fn board(&self, schedule_id: ScheduleId) -> Result<Arc<Board>, Fault> {
        let board = self.slot(schedule_id);
        // Whoever comes second waits for the first; if the first gives up, the second tries.
        let follow = async || {
            let topic = self.kv.listen(&seat_channel(schedule_id)).await;
            // What was loaded before the subscription stood may have missed something.
            board.doubt();
            tokio::spawn(self.clone().follow(board.clone(), topic));
        };
        board.followed.get_or_init(follow).await;
        if !self.current(&board) {
            self.reload(&board).await?;
        }
        Ok(board)
    }

    fn current(&self, board: &Board) -> bool {
        let told = self.kv.listening() || board.age().is_some_and(|age| age < MAX_AGE_UNTOLD);
        board.sound() && told && board.age().is_some()
    }

    async fn reload(&self, board: &Board) -> Result<(), Fault> {
        let _one_at_a_time = board.loading.lock().await;
        if self.current(board) {
            return Ok(());
        }
        board.begin_load();
        match store::seats(&self.db, board.schedule_id).await {
            Ok((now, seats)) => {
                board.load(now.unwrap_or(Timestamp::UNIX_EPOCH), seats);
                Ok(())
            }
            Err(fault) => {
                board.doubt();
                Err(fault)
            }
        }
    }

    /// Follows one hall until nobody has looked at it for a while.
    async fn follow(self, board: Arc<Board>, mut topic: Topic) {
        let mut tick = interval(LOOK_AROUND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                signal = topic.next() => match signal {
                    Some(Signal::Message(bytes)) => match serde_json::from_slice::<Vec<SeatChange>>(&bytes) {
                        Ok(changes) => board.apply(&changes),
                        Err(error) => {
                            tracing::warn!(%error, "changed seats could not be read");
                            board.doubt();
                        }
                    },
                    Some(Signal::Gap) => board.doubt(),
                    None => return,
                },
                _ = tick.tick() => {
                    if self.forget_if_idle(&board) {
                        return;
                    }
                    // Subscribers do not ask, so a doubtful board has to be loaded for them.
                    if !self.current(&board) && let Err(fault) = self.reload(&board).await {
                        tracing::warn!(fault = %fault.report(), "a seat map could not be loaded again");
                    }
                }
            }
        }
    }
}

type Receiver = broadcast::Receiver<Arc<[SeatView]>>;

async fn next_batch(
    (board, mut receiver): (Arc<Board>, Receiver),
) -> Option<(Arc<[SeatView]>, (Arc<Board>, Receiver))> {
    match receiver.recv().await {
        Ok(batch) => Some((batch, (board, receiver))),
        // Too slow for single changes: the whole hall once, and on from there.
        Err(RecvError::Lagged(_)) => {
            receiver = board.subscribe();
            Some((board.seats(&SeatFilter::default()).into(), (board, receiver)))
        }
        Err(RecvError::Closed) => None,
    }
}
