//! `frontrow audit`.

use std::process::ExitCode;

use clap::Args;

use super::{Failed, database};
use crate::{
    app::{DatabaseArgs, GatewayArgs},
    audit::{self, Check},
    db::Db,
    gateway::CardGateway,
    telemetry::Metrics,
};

/// The gateway could not be asked: whether it agrees is not known.
const NOT_KNOWN: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    card_gateway: GatewayArgs,
    /// Compare payments by card with the gateway's own list, too; exit status 2 when it cannot be asked.
    #[arg(long)]
    gateway: bool,
}

pub(super) async fn run(args: &AuditArgs) -> Result<ExitCode, Failed> {
    let db = database::connect_migrated(&args.database).await?;
    let mut checks = audit::audit(&db).await?;
    let compared = if args.gateway { Some(compare(args, &db).await) } else { None };
    db.close().await;
    let unknown = match compared {
        Some(Ok(check)) => {
            checks.push(check);
            None
        }
        Some(Err(failed)) => Some(failed),
        None => None,
    };
    let true_books = tell(&checks);
    if let Some(failed) = unknown {
        eprintln!("frontrow: {failed}");
    } else if true_books {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(if true_books { ExitCode::from(NOT_KNOWN) } else { ExitCode::FAILURE })
}

async fn compare(args: &AuditArgs, db: &Db) -> Result<Check, Failed> {
    let gateway = CardGateway::new(&args.card_gateway.settings(), Metrics::new())?;
    if gateway.name().is_none() {
        return Err(Failed::new(
            "FRONTROW_CARD_GATEWAY is not set: there is no gateway to compare with.",
        ));
    }
    Ok(audit::compare(db, &gateway).await?)
}

/// Prints what was found; `true` when all checks hold.
fn tell(checks: &[Check]) -> bool {
    let failed: Vec<_> = checks.iter().filter(|check| check.count > 0).collect();
    if failed.is_empty() {
        println!("All {} checks hold.", checks.len());
        return true;
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
    false
}
