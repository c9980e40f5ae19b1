//! `frontrow migrate`.

use std::process::ExitCode;

use super::{Failed, database};
use crate::{app::DatabaseArgs, db::migrations};

pub(super) async fn run(args: &DatabaseArgs) -> Result<ExitCode, Failed> {
    let db = database::connect(args).await?;
    let ran = migrations::migrate(&db).await?;
    if ran.is_empty() {
        println!("The tables are up to date.");
    } else {
        println!("Migrated: {}.", ran.join(", "));
    }
    db.close().await;
    Ok(ExitCode::SUCCESS)
}
