//! The database schema of frontrow as a list of raw SQL files, oldest first.
//!
//! `frontrow migrate` runs what is missing. A file that has been released is never edited: a change is a new file.
//! Nothing here imports the server's code, so that old migrations keep working when the code moves on.

use std::hash::{DefaultHasher, Hash, Hasher};

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{prelude::*, sea_orm::ConnectionTrait};

/// Runs every migration of this crate in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        SCRIPTS.iter().map(|script| Box::new(*script) as Box<dyn MigrationTrait>).collect()
    }
}

const SCRIPTS: &[Script] = &[
    Script { name: "0001_account", sql: include_str!("sql/0001_account.sql") },
    Script { name: "0002_catalogue", sql: include_str!("sql/0002_catalogue.sql") },
    Script { name: "0003_waiting_room", sql: include_str!("sql/0003_waiting_room.sql") },
    Script { name: "0004_reservation", sql: include_str!("sql/0004_reservation.sql") },
    Script { name: "0005_money", sql: include_str!("sql/0005_money.sql") },
    Script { name: "0006_audit", sql: include_str!("sql/0006_audit.sql") },
    Script { name: "0007_draw", sql: include_str!("sql/0007_draw.sql") },
    Script { name: "0008_front", sql: include_str!("sql/0008_front.sql") },
    Script {
        name: "0009_reservation_follows_its_token",
        sql: include_str!("sql/0009_reservation_follows_its_token.sql"),
    },
    Script {
        name: "0010_turns_end_with_the_last_seat",
        sql: include_str!("sql/0010_turns_end_with_the_last_seat.sql"),
    },
    Script { name: "0011_unsold", sql: include_str!("sql/0011_unsold.sql") },
    Script { name: "0013_sale", sql: include_str!("sql/0013_sale.sql") },
    Script { name: "0014_cards", sql: include_str!("sql/0014_cards.sql") },
    Script { name: "0015_card_attempts", sql: include_str!("sql/0015_card_attempts.sql") },
    Script { name: "0016_calling_off", sql: include_str!("sql/0016_calling_off.sql") },
    Script { name: "0017_auditing", sql: include_str!("sql/0017_auditing.sql") },
    Script { name: "0018_lean_payments", sql: include_str!("sql/0018_lean_payments.sql") },
    Script { name: "0020_session", sql: include_str!("sql/0020_session.sql") },
    Script { name: "0021_external_identity", sql: include_str!("sql/0021_external_identity.sql") },
    Script { name: "0022_resting", sql: include_str!("sql/0022_resting.sql") },
    Script { name: "0023_concert_lists", sql: include_str!("sql/0023_concert_lists.sql") },
    Script { name: "0024_why_ended", sql: include_str!("sql/0024_why_ended.sql") },
    Script {
        name: "0025_payments_of_reservation",
        sql: include_str!("sql/0025_payments_of_reservation.sql"),
    },
    Script { name: "0026_one_spelling", sql: include_str!("sql/0026_one_spelling.sql") },
    Script { name: "0028_resting_is_stable", sql: include_str!("sql/0028_resting_is_stable.sql") },
];

/// Tells one state of the migrations from another, for caches of migrated databases.
pub fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    for script in SCRIPTS {
        script.sql.hash(&mut hasher);
    }
    hasher.finish()
}

#[derive(Clone, Copy)]
struct Script {
    name: &'static str,
    sql: &'static str,
}

impl MigrationName for Script {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Script {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(self.sql).await.map(|_| ())
    }
}
