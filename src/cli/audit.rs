//! `frontrow audit`.

use std::process::ExitCode;

use super::{Failed, database};
use crate::{app::DatabaseArgs, audit};

pub(super) async fn run(args: &DatabaseArgs) -> Result<ExitCode, Failed> {
    let db = database::connect_migrated(args).await?;
    let checks = audit::audit(&db).await?;
    db.close().await;
    let failed: Vec<_> = checks.iter().filter(|check| check.count > 0).collect();
    if failed.is_empty() {
        println!("All {} checks hold.", checks.len());
        return Ok(ExitCode::SUCCESS);
    }
    for check in &failed {
        println!("{}: {} at fault", check.name, check.count);
        for fault in &check.faults {
            println!("  {fault}");
        }
        let told = i64::try_from(check.faults.len()).unwrap_or(i64::MAX);
        if told < check.count {
            println!("  and {} more", check.count - told);
        }
    }
    println!("{} of {} checks failed.", failed.len(), checks.len());
    Ok(ExitCode::FAILURE)
}
