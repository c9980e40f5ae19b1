//! The servers of a database: which of them takes writes is found out by asking.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use sea_orm::sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::pool::{self, Lost, Open};

/// The server that was well the last time has so long for itself. Then, or when it says no, all are asked at once: one that has been
/// cut off says nothing until the patience of the connection is over.
const HEAD_START: Duration = Duration::from_millis(500);

/// Servers of which one takes writes; cheap to clone, and clones know together which.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    options: Arc<[PgConnectOptions]>,
    /// The one that was well the last time.
    last: Arc<AtomicUsize>,
}

impl Servers {
    /// `None` without any.
    pub(super) fn new(options: Vec<PgConnectOptions>) -> Option<Self> {
        (!options.is_empty()).then(|| Self { options: options.into(), last: Arc::default() })
    }

    /// The same servers, with these settings for each connection.
    pub(super) fn with(&self, settings: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        let options = self.options.iter().cloned().map(settings).collect();
        Self { options, last: Arc::clone(&self.last) }
    }

    /// The one that was well the last time, or the first.
    pub(super) fn last(&self) -> &PgConnectOptions {
        self.options.get(self.last.load(Relaxed)).unwrap_or(&self.options[0])
    }

    /// A connection to the one that takes writes.
    pub(super) async fn connect(&self) -> Result<Open, Lost> {
        if self.options.len() == 1 {
            return pool::connect(self.last()).await;
        }
        if let Ok(Ok(open)) = timeout(HEAD_START, pool::connect(self.last())).await {
            return Ok(open);
        }
        let attempt = async |at: usize| (at, pool::connect(&self.options[at]).await);
        let mut attempts: FuturesUnordered<_> = (0..self.options.len()).map(attempt).collect();
        let mut why = None;
        while let Some((at, found)) = attempts.next().await {
            match found {
                Ok(open) => {
                    self.last.store(at, Relaxed);
                    return Ok(open);
                }
                // That there are standbys is worth telling when nothing else is wrong.
                Err(Lost::NoConnection(pool::READ_ONLY, _)) if why.is_some() => {}
                Err(lost) => why = Some(lost),
            }
        }
        Err(why.unwrap_or(Lost::NoConnection(pool::FAILED, None)))
    }
}
