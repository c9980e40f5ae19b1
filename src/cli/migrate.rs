//! `frontrow migrate`.

use std::process::ExitCode;

use clap::Args;

use super::{Failed, database};
use crate::{
    app::DatabaseArgs,
    db::{
        app_role::{self, RoleRefusal},
        migrations,
    },
    kernel::Failure,
};

#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// The role that the server logs in as. It is granted what the server needs: no tables are made, nothing is deleted, and what is
    /// in the ledger is not changed. Make it first: CREATE ROLE ... LOGIN PASSWORD '...'.
    #[arg(long, env = "FRONTROW_APP_ROLE", value_name = "NAME")]
    app_role: Option<String>,
}

pub(super) async fn run(args: &MigrateArgs) -> Result<ExitCode, Failed> {
    let db = database::connect(&args.database).await?;
    let ran = migrations::migrate(&db).await?;
    if ran.is_empty() {
        println!("The tables are up to date.");
    } else {
        println!("Migrated: {}.", ran.join(", "));
    }
    if let Some(role) = &args.app_role {
        app_role::grant(&db, role).await.map_err(refused)?;
        println!("The role has what the server needs, and cannot change the ledger.");
    }
    db.close().await;
    Ok(ExitCode::SUCCESS)
}

/// The name is not repeated: somebody may have put an address there.
fn refused(failure: Failure<RoleRefusal>) -> Failed {
    Failed::new(match failure {
        Failure::Fault(fault) => return fault.into(),
        Failure::Refused(RoleRefusal::Missing) => {
            "The role of --app-role does not exist; make it first: CREATE ROLE name LOGIN PASSWORD '...'."
        }
        Failure::Refused(RoleRefusal::Mighty) => {
            "The role of --app-role could change the ledger whatever it is granted: it is a superuser, owns the tables, or is a \
             member of a role that does; choose one that is none of these."
        }
        Failure::Refused(RoleRefusal::MakesTables) => {
            "The role of --app-role may make tables, as everybody may in this database; run REVOKE CREATE ON SCHEMA public FROM \
             PUBLIC, and then this again."
        }
    })
}
