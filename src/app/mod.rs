//! The composition root: builds every service once, from settings.

mod config;

use std::sync::Arc;

pub(crate) use config::secret;
pub use config::{DatabaseArgs, SecretArgs, Settings, Switch};

use crate::{
    account::{Accounts, Keyring, Sessions},
    catalogue::Catalogue,
    db::Db,
    kernel::Fault,
    kv::Kv,
    telemetry::Metrics,
};

/// Every service, built and wired; cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// What the operator set.
    pub settings: Arc<Settings>,
    /// Postgres.
    pub db: Db,
    /// Redis.
    pub kv: Kv,
    /// What is counted.
    pub metrics: Metrics,
    /// Signs and checks sessions.
    pub sessions: Sessions,
    /// Signs people up and logs them in.
    pub accounts: Accounts,
    /// Concerts, schedules and what is left of them.
    pub catalogue: Catalogue,
}

impl App {
    /// Connects and builds everything. Redis may be away; Postgres may not.
    ///
    /// # Errors
    /// When Postgres cannot be reached or a setting is malformed.
    pub async fn start(settings: Settings) -> Result<Self, Fault> {
        let metrics = Metrics::new();
        let db = Db::connect(&settings.database.settings()).await?;
        let kv = Kv::connect(&settings.kv(), &metrics)?;
        let keyring = Keyring::new(
            &settings.secrets.jwt_secret,
            settings.secrets.jwt_secret_previous.as_ref(),
        );
        let sessions = Sessions::new(keyring, settings.secrets.session_lifetime());
        let accounts = Accounts::new(db.clone(), sessions.clone());
        let catalogue = Catalogue::new(db.clone());
        Ok(Self { settings: Arc::new(settings), db, kv, metrics, sessions, accounts, catalogue })
    }
}
