//! The audit that the server runs by itself, now and then, and what it shows of it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::store;
use crate::{
    db::Db,
    kernel::Fault,
    telemetry::{CheckLabels, Metrics},
};

/// Audits the books when it is time; cheap to clone.
///
/// Of all instances one does so at a time, and all of them show what was found: it is kept in Postgres.
#[derive(Debug, Clone)]
pub struct Auditing {
    db: Db,
    metrics: Metrics,
    every: Option<Duration>,
}

impl Auditing {
    /// An audit every so often; with `None` never.
    pub fn new(db: &Db, metrics: Metrics, every: Option<Duration>) -> Self {
        // Connections of its own: it may take a minute, and takes none from requests, nor from rounds.
        Self { db: db.for_commands(), metrics, every }
    }

    /// How often the books are audited; `None` for never.
    pub const fn every(&self) -> Option<Duration> {
        self.every
    }

    /// Audits when it is time and no other instance does, and shows what the last audit found, whoever ran it.
    ///
    /// # Errors
    /// When Postgres cannot be asked; the audit is tried again when its time comes again.
    pub async fn run_due(&self) -> Result<(), Fault> {
        let Some(every) = self.every else { return Ok(()) };
        if store::claim(&self.db, every).await? {
            let began = Instant::now();
            let checks = store::run_gently(&self.db).await?;
            for check in checks.iter().filter(|check| check.count > 0) {
                let (check, faults, first) = (check.name, check.count, check.faults.first());
                tracing::error!(
                    check,
                    faults,
                    first,
                    "the books do not agree; `frontrow audit` tells more"
                );
            }
            let faults: BTreeMap<&str, i64> =
                checks.iter().map(|check| (check.name, check.count)).collect();
            store::finish(&self.db, began.elapsed(), &faults).await?;
        }
        if let Some(run) = store::last_run(&self.db).await? {
            self.show(&run);
        }
        Ok(())
    }

    fn show(&self, run: &store::LastRun) {
        self.metrics.audit_finished.set(run.finished_at);
        self.metrics.audit_seconds.set(run.seconds);
        for (check, faults) in &run.faults {
            let labels = CheckLabels { check: check.clone() };
            self.metrics.audit_faults.get_or_create(&labels).set(*faults);
        }
    }
}
