//! The audit: whether seats, reservations, money and the line agree, at any moment.
//!
//! All checks read one snapshot, and each change that matters is one statement or one transaction; so true books pass
//! while people buy. A check speaks of what is certain only: it never cries wolf.

mod auditing;
mod gateway;
mod store;

pub use auditing::Auditing;
pub use gateway::compare;

use crate::{db::Db, kernel::Fault};

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Names the check.
    pub name: &'static str,
    /// How many rows are at fault.
    pub count: i64,
    /// The rows at fault, a line each; of many only the first.
    pub faults: Vec<String>,
}

/// Runs every check.
///
/// # Errors
/// When Postgres cannot be asked; then nothing is known.
pub async fn audit(db: &Db) -> Result<Vec<Check>, Fault> {
    store::run(db).await
}
