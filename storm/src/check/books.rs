//! What the database says: everything that an acknowledgement can be compared with.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use stampede::history::Ms;

use crate::Result;

/// A place in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) schedule: String,
    pub(crate) person: String,
    pub(crate) status: String,
    pub(crate) entered_at: Ms,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) person: String,
    pub(crate) schedule: String,
    pub(crate) status: String,
    pub(crate) price: i64,
    pub(crate) seats: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) reservation: String,
    pub(crate) amount: i64,
    pub(crate) status: String,
}

/// An entry of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) person: String,
    pub(crate) purpose: String,
    pub(crate) key: String,
    pub(crate) delta: i64,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Books {
    pub(crate) tokens: Vec<Token>,
    /// By id.
    pub(crate) reservations: BTreeMap<String, Reservation>,
    /// By person and key.
    pub(crate) payments: BTreeMap<(String, String), Payment>,
    pub(crate) ledger: Vec<Moved>,
    /// By person.
    pub(crate) balances: BTreeMap<String, i64>,
}

impl Books {
    /// Reads everything, in the transaction of this session if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn read(session: &mut PgConnection) -> Result<Self> {
        const TOKENS: &str = "SELECT schedule_id::text, person_id::text, status,
            (extract(epoch FROM date_trunc('milliseconds', entered_at)) * 1000)::bigint FROM queue_token";
        const RESERVATIONS: &str = "SELECT r.id::text, r.person_id::text, r.schedule_id::text, r.status, r.total_price,
            array(SELECT l.seat_id::text FROM reservation_seat l WHERE l.reservation_id = r.id ORDER BY 1)
            FROM reservation r";
        const PAYMENTS: &str = "SELECT person_id::text, idempotency_key, id::text, reservation_id::text, amount, status FROM payment";
        const LEDGER: &str = "SELECT person_id::text, purpose, key, delta FROM wallet_entry";
        const BALANCES: &str = "SELECT person_id::text, balance FROM wallet";
        let tokens: Vec<(String, String, String, Ms)> =
            sqlx::query_as(TOKENS).fetch_all(&mut *session).await?;
        let reservations: Vec<(String, String, String, String, i64, Vec<String>)> =
            sqlx::query_as(RESERVATIONS).fetch_all(&mut *session).await?;
        let payments: Vec<(String, String, String, String, i64, String)> =
            sqlx::query_as(PAYMENTS).fetch_all(&mut *session).await?;
        let ledger: Vec<(String, String, String, i64)> =
            sqlx::query_as(LEDGER).fetch_all(&mut *session).await?;
        let balances: Vec<(String, i64)> =
            sqlx::query_as(BALANCES).fetch_all(&mut *session).await?;
        Ok(Self {
            tokens: tokens
                .into_iter()
                .map(|(schedule, person, status, entered_at)| Token {
                    schedule,
                    person,
                    status,
                    entered_at,
                })
                .collect(),
            reservations: reservations
                .into_iter()
                .map(|(id, person, schedule, status, price, seats)| {
                    (id, Reservation { person, schedule, status, price, seats })
                })
                .collect(),
            payments: payments
                .into_iter()
                .map(|(person, key, id, reservation, amount, status)| {
                    ((person, key), Payment { id, reservation, amount, status })
                })
                .collect(),
            ledger: ledger
                .into_iter()
                .map(|(person, purpose, key, delta)| Moved { person, purpose, key, delta })
                .collect(),
            balances: balances.into_iter().collect(),
        })
    }
}
