//! `frontrow audit`.

use std::process::ExitCode;

use clap::Args;

use super::{Failed, database, failed::NOT_KNOWN};
use crate::{
    app::{DatabaseArgs, GatewayArgs},
    audit::{self, Check},
    db::Db,
    gateway::CardGateway,
    kernel::Fault,
    telemetry::Metrics,
};

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    card_gateway: GatewayArgs,
    /// Compare payments by card with the gateway's own list, too; exit status 2 when it cannot be asked.
    #[arg(long)]
    gateway: bool,
}

/// Exit status 0 when all agree, 1 when something was found, and 2 when it is not known: nobody could look.
pub(super) async fn run(args: &AuditArgs) -> Result<ExitCode, Failed> {
    look(args).await.map_err(|failed| failed.at(&args.database).could_not_look())
}

async fn look(args: &AuditArgs) -> Result<ExitCode, Failed> {
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
    let settings = args.card_gateway.settings();
    let gateway = CardGateway::new(&settings, Metrics::new())?;
    if gateway.name().is_none() {
        return Err(Failed::new(
            "FRONTROW_CARD_GATEWAY is not set: there is no gateway to compare with.",
        ));
    }
    let told = |fault: Fault| {
        let words = fault.report().to_string();
        match (words.strip_prefix("asking the card gateway: "), settings.provider.place()) {
            (Some(words), Some(place)) => {
                Failed::new(format!("The card gateway at {place} was asked, and {words}."))
            }
            _ => fault.into(),
        }
    };
    audit::compare(db, &gateway).await.map_err(told)
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
