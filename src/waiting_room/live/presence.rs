//! People who watch are here: their presence is renewed, and they are put back where they stood if they were passed over.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{follow::ticks, room::Room};
use crate::{
    kernel::Fault,
    waiting_room::{WaitingRooms, index::CHUNK, rules, store},
};

/// A passing over may become visible this long after its time.
const WELCOME_MARGIN: Duration = Duration::from_secs(30);

impl WaitingRooms {
    /// Puts watchers back to the front who were passed over all the same: they are here. `welcomed` is when that was last
    /// done. People who were passed over since, and for some time before, are looked at.
    pub(super) async fn welcome_watchers(&self, room: &Room, welcomed: &mut Option<Instant>) {
        let (schedule_id, start) = (room.schedule_id, Instant::now());
        let within = welcomed.map_or(rules::AWAY_LIMIT, |last| last.elapsed() + WELCOME_MARGIN);
        let welcome = async {
            let passed_over = store::passed_over(&self.background, schedule_id, within).await?;
            let here: Vec<i64> =
                passed_over.into_iter().filter(|number| room.watches(*number)).collect();
            if here.is_empty() {
                Ok(0)
            } else {
                store::welcome(&self.background, schedule_id, &here).await
            }
        };
        match welcome.await {
            Ok(back) => {
                *welcomed = Some(start);
                if back > 0 {
                    self.kick(schedule_id);
                }
            }
            Err(fault) => {
                let fault: Fault = fault;
                tracing::warn!(%schedule_id, fault = %fault.report(), "watchers who were passed over are still so");
            }
        }
    }

    pub(super) async fn renew_presence(self, room: Arc<Room>) {
        let mut renew = ticks(rules::PRESENCE_RENEWAL);
        loop {
            renew.tick().await;
            for chunk in room.present().chunks(CHUNK) {
                // One call that fails must not make those behind it count as away. While Redis is down the others fail at
                // once.
                drop(self.index.look(room.schedule_id, chunk, rules::ACTIVE_PRESENCE).await);
            }
        }
    }
}
