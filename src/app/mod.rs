//! The composition root: builds every service once, from settings.

mod config;
mod documents;
mod networks;
mod origins;
mod traces;

use std::sync::Arc;

use tokio::sync::mpsc;

pub use config::{
    DatabaseArgs, GatewayArgs, GatewayChoice, ProviderArgs, RateArgs, SecretArgs, Settings,
    SocketArgs,
};
pub(crate) use config::{secret, some_secret};
pub use documents::{DocumentArgs, TrustedDocuments};
pub use networks::Networks;
pub use origins::Origins;
pub use traces::TraceArgs;

use crate::{
    account::{Accounts, Attempts, Keyring, Provider, Sessions},
    audit::Auditing,
    catalogue::Catalogue,
    db::Db,
    desk::Desk,
    erasure::Erasures,
    gateway::CardGateway,
    kernel::{Fault, ScheduleId},
    kv::Kv,
    payment::{Neighbours, PaymentSettings, Payments},
    reservation::{HoldSettings, Reservations},
    sale::Sales,
    seat_map::SeatMaps,
    tasks::Tasks,
    telemetry::Metrics,
    waiting_room::WaitingRooms,
    wallet::Wallets,
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
    /// What runs beside the requests, and how it fares.
    pub tasks: Tasks,
    /// Signs and checks sessions.
    pub sessions: Sessions,
    /// Signs people up and logs them in.
    pub accounts: Accounts,
    /// Accounts deleted.
    pub erasures: Erasures,
    /// Concerts, schedules and what is left of them.
    pub catalogue: Catalogue,
    /// Performances made, opened and closed.
    pub sales: Sales,
    /// Points.
    pub wallets: Wallets,
    /// Who may go in, and when.
    pub waiting_rooms: WaitingRooms,
    /// Seats held and owned.
    pub reservations: Reservations,
    /// Cards.
    pub card_gateway: CardGateway,
    /// Money against seats.
    pub payments: Payments,
    /// Whether the books agree, now and then.
    pub auditing: Auditing,
    /// What organizers see.
    pub desk: Desk,
    /// Halls in memory.
    pub seat_maps: SeatMaps,
}

impl App {
    /// Connects and builds everything. Redis may be away; Postgres may not.
    ///
    /// The receiver belongs to the workers: it tells which waiting rooms may have a free place.
    ///
    /// # Errors
    /// When Postgres cannot be reached or a setting is malformed.
    pub async fn start(settings: Settings) -> Result<(Self, mpsc::Receiver<ScheduleId>), Fault> {
        let metrics = Metrics::new();
        let tasks = Tasks::new(&metrics);
        let db = Db::connect(&settings.database.settings(), &tasks).await?;
        let kv = Kv::connect(&settings.kv(), &metrics, &tasks)?;
        let keyring = keyring(&settings);
        let sessions = sessions(&settings, keyring.clone(), &db, &tasks)?;
        let attempts = Attempts::new(kv.clone(), metrics.clone(), settings.rates.attempts());
        let accounts = Accounts::new(db.clone(), sessions.clone()).counting(attempts).serving(
            settings.secrets.lifetimes(),
            kv.clone(),
            metrics.clone(),
        );
        // Known before the first request comes; the worker goes on from there.
        accounts.learn_ended().await?;
        let (waiting_rooms, kicked) =
            WaitingRooms::new(db.clone(), &kv, keyring, metrics.clone(), tasks.clone());
        let seat_maps = SeatMaps::new(db.clone(), kv.clone(), tasks.clone());
        let reservations = Reservations::new(
            db.clone(),
            kv.clone(),
            waiting_rooms.clone(),
            seat_maps.clone(),
            metrics.clone(),
            &tasks,
            HoldSettings { terms: settings.hold_terms(), patience: settings.database.patience() },
        );
        let patience = settings.database.patience();
        let wallets = Wallets::new(db.clone(), &metrics, &tasks, patience);
        let card_gateway = CardGateway::new(&settings.gateway.settings(), metrics.clone())?;
        let neighbours = Neighbours {
            wallets: wallets.clone(),
            reservations: reservations.clone(),
            waiting_rooms: waiting_rooms.clone(),
            gateway: card_gateway.clone(),
        };
        let app = Self {
            erasures: Erasures::new(db.clone(), accounts.clone(), waiting_rooms.clone()),
            accounts,
            catalogue: Catalogue::new(db.clone()),
            sales: Sales::new(db.clone(), waiting_rooms.clone()),
            payments: Payments::new(
                db.clone(),
                neighbours,
                metrics.clone(),
                &tasks,
                PaymentSettings {
                    patience,
                    refund_within: settings.refund_within(),
                    cards: settings.cards(),
                },
            ),
            auditing: Auditing::new(&db, metrics.clone(), settings.audit_every()),
            desk: Desk::new(&db),
            card_gateway,
            seat_maps,
            settings: Arc::new(settings),
            db,
            kv,
            metrics,
            tasks,
            sessions,
            wallets,
            waiting_rooms,
            reservations,
        };
        Ok((app, kicked))
    }
}

/// The secret that signs, and those that are accepted besides.
fn keyring(settings: &Settings) -> Keyring {
    let SecretArgs { jwt_secret, jwt_secret_previous, jwt_secret_next, .. } = &settings.secrets;
    Keyring::new(jwt_secret, jwt_secret_previous.iter().chain(jwt_secret_next))
}

/// What checks access tokens: ours, and those of the identity provider where there is one.
fn sessions(
    settings: &Settings,
    keyring: Keyring,
    db: &Db,
    tasks: &Tasks,
) -> Result<Sessions, Fault> {
    let provider = settings.provider.settings();
    let provider = provider.map(|it| Provider::new(it, db.clone(), tasks.clone())).transpose()?;
    let lifetime = settings.secrets.session_lifetime();
    Ok(Sessions::new(keyring, lifetime).with_provider(provider))
}
