//! Table `audit_run`: when the server audited last, and what it found.

use std::{collections::BTreeMap, time::Duration};

use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Session},
    kernel::Fault,
};

/// The one row.
const ROW: i32 = 1;

/// What the last audit found.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::audit) struct LastRun {
    /// Seconds since 1970.
    pub finished_at: i64,
    pub seconds: f64,
    /// Check and rows at fault.
    pub faults: BTreeMap<String, i64>,
}

/// Whether it is this caller's turn to audit: nobody has begun within so long.
pub(in crate::audit) async fn claim(db: &Db, every: Duration) -> Result<bool, Fault> {
    const SQL: &str = "
        UPDATE audit_run SET began_at = clock_timestamp()
        WHERE id = $1 AND began_at <= clock_timestamp() - make_interval(secs => $2)";
    Ok(db.run(SQL, vec![ROW.into(), every.as_secs_f64().into()]).await? > 0)
}

/// Notes what an audit found.
pub(in crate::audit) async fn finish(
    db: &Db,
    took: Duration,
    faults: &BTreeMap<&str, i64>,
) -> Result<(), Fault> {
    const SQL: &str = "UPDATE audit_run SET finished_at = clock_timestamp(), seconds = $2, faults = $3 WHERE id = $1";
    let faults = serde_json::to_string(faults)
        .map_err(|_| Fault::internal("what an audit found cannot be written"))?;
    db.run(SQL, vec![ROW.into(), took.as_secs_f64().into(), faults.into()]).await?;
    Ok(())
}

/// What the last audit found; `None` when there was none yet.
pub(in crate::audit) async fn last_run(db: &Db) -> Result<Option<LastRun>, Fault> {
    #[derive(FromQueryResult)]
    struct Row {
        finished_at: i64,
        seconds: f64,
        faults: String,
    }
    const SQL: &str = "
        SELECT extract(epoch FROM finished_at)::bigint AS finished_at, seconds, faults FROM audit_run
        WHERE id = $1 AND finished_at IS NOT NULL";
    let row: Option<Row> = db.row(SQL, vec![ROW.into()]).await?;
    let read = |Row { finished_at, seconds, faults }: Row| {
        let faults = serde_json::from_str(&faults)
            .map_err(|_| Fault::internal("what an audit found cannot be read"))?;
        Ok(LastRun { finished_at, seconds, faults })
    };
    row.map(read).transpose()
}
