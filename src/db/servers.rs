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
    /// What is set on each connection: statements.
    settings: Arc<str>,
    /// The one that was well the last time.
    last: Arc<AtomicUsize>,
}

impl Servers {
    /// `None` without any.
    pub(super) fn new(options: Vec<PgConnectOptions>) -> Option<Self> {
        let options: Arc<[_]> = options.into_iter().map(named).collect();
        let settings = Arc::from("");
        (!options.is_empty()).then(|| Self { options, settings, last: Arc::default() })
    }

    /// The same servers, with these settings for each connection, which are statements.
    pub(super) fn with(&self, settings: impl Into<Arc<str>>) -> Self {
        Self { settings: settings.into(), ..self.clone() }
    }

    /// The one that was well the last time, or the first.
    pub(super) fn last(&self) -> &PgConnectOptions {
        self.options.get(self.last.load(Relaxed)).unwrap_or(&self.options[0])
    }

    /// A connection to the one that takes writes.
    pub(super) async fn connect(&self) -> Result<Open, Lost> {
        if self.options.len() == 1 {
            return pool::connect(self.last(), &self.settings).await;
        }
        if let Ok(Ok(open)) = timeout(HEAD_START, pool::connect(self.last(), &self.settings)).await
        {
            return Ok(open);
        }
        let attempt =
            async |at: usize| (at, pool::connect(&self.options[at], &self.settings).await);
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

/// How a server and a pooler in between know us. Neither PgBouncer nor we have a use for more digits of floats as text.
fn named(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("frontrow").extra_float_digits(None)
}
