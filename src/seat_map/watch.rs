//! Keeping boards current, and telling subscribers what changed.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{SeatChange, SeatFilter, SeatMaps, SeatView, board::Board, seat_channel, store};
use crate::{
    kernel::{Fault, ScheduleId, Timestamp},
    kv::{Signal, Topic},
};

/// Without Redis a board is loaded again when it is this old.
const MAX_AGE_UNTOLD: Duration = Duration::from_secs(1);
/// Seats in one batch at most: a message has to fit what a socket may buffer.
const BATCH: usize = 500;
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// How often a board that is looked at is compared with Postgres: a message that was never published tells nobody.
const COMPARE_EVERY: Duration = Duration::from_secs(2);
/// A caller who finds a board that nobody has compared for this long compares it first.
const COMPARED_LATELY: Duration = Duration::from_secs(6);

impl SeatMaps {
    /// Batches of seats that changed since the call; each seat with its newest state.
    ///
    /// # Errors
    /// When the board has to be loaded and Postgres cannot be asked.
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
        // The second one waits for the first. If the first gives up, the second tries.
        let follow = async || {
            let mut topic = Some(self.listen(&board).await);
            let (maps, board, over) = (self.clone(), board.clone(), CancellationToken::new());
            self.tasks.keep("following a hall", over.clone(), move || {
                maps.clone().follow(board.clone(), topic.take(), over.clone())
            });
        };
        board.followed.get_or_init(follow).await;
        if !self.current(&board) {
            self.reload(&board).await?;
        } else if board.begin_comparison(COMPARED_LATELY)
            && let Err(fault) = self.compare(&board).await
        {
            // It is shown as it was told.
            tracing::warn!(fault = %fault.report(), "a seat map could not be compared");
        }
        Ok(board)
    }

    async fn listen(&self, board: &Board) -> Topic {
        let topic = self.kv.listen(&seat_channel(board.schedule_id)).await;
        // What was loaded before the subscription stood may have missed something.
        board.doubt();
        topic
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

    /// Finds what was changed and never told: its instance had no Redis, or died between the commit and the message.
    pub(super) async fn compare(&self, board: &Board) -> Result<(), Fault> {
        let shown = board.tally();
        let truth = store::tally(&self.db, board.schedule_id).await?;
        if truth.seats != shown.seats {
            board.doubt();
            return self.reload(board).await;
        }
        // Messages on their way make a difference too. What they will say is read a moment early, and does no harm.
        if truth != shown {
            board.apply(&store::states(&self.db, board.schedule_id).await?);
        }
        Ok(())
    }

    /// Follows one hall until nobody has looked at it for a while, and says then that it is over. One that takes over from a
    /// follower that died listens anew.
    async fn follow(self, board: Arc<Board>, topic: Option<Topic>, over: CancellationToken) {
        let topic = match topic {
            Some(topic) => topic,
            None => self.listen(&board).await,
        };
        // Side by side, so that no messages pile up behind a slow database.
        tokio::select! {
            () = take_in(&board, topic) => {}
            () = self.look_after(&board) => {}
        }
        over.cancel();
    }

    async fn look_after(&self, board: &Arc<Board>) {
        let mut tick = interval(LOOK_AROUND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if self.forget_if_idle(board) {
                return;
            }
            if !board.looked_at() {
                continue;
            }
            // Subscribers do not ask, so a doubtful board has to be loaded for them.
            let kept = if !self.current(board) {
                self.reload(board).await
            } else if board.begin_comparison(COMPARE_EVERY) {
                self.compare(board).await
            } else {
                Ok(())
            };
            if let Err(fault) = kept {
                tracing::warn!(fault = %fault.report(), "a seat map could not be kept current");
            }
        }
    }
}

/// Takes in what is told about one hall, as long as anything is.
async fn take_in(board: &Board, mut topic: Topic) {
    while let Some(signal) = topic.next().await {
        match signal {
            Signal::Message(bytes) => match serde_json::from_slice::<Vec<SeatChange>>(&bytes) {
                Ok(changes) => board.apply(&changes),
                Err(error) => {
                    tracing::warn!(%error, "changed seats could not be read");
                    board.doubt();
                }
            },
            Signal::Gap => board.doubt(),
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
