//! The wallet's tables.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
    sea_query::ArrayType,
};

use super::{WalletEntry, WalletEntryKind};
use crate::{
    db::{Db, Session, array, bigints, entity::wallet_entry, text_column, uuids},
    kernel::{
        Fault, POINTS_MAX, Page, PageRequest, PaymentId, PersonId, Points, Timestamp, WalletEntryId,
    },
};

text_column!(WalletEntryKind);

#[derive(Debug, FromQueryResult)]
struct EntryRow {
    id: WalletEntryId,
    sequence: i64,
    kind: WalletEntryKind,
    delta: i64,
    balance_after: Points,
    payment_id: Option<PaymentId>,
    created_at: Timestamp,
}

impl From<EntryRow> for WalletEntry {
    fn from(row: EntryRow) -> Self {
        Self {
            id: row.id,
            sequence: row.sequence,
            kind: row.kind,
            delta: row.delta,
            balance_after: row.balance_after,
            payment_id: row.payment_id,
            created_at: row.created_at,
        }
    }
}

/// Points to be added, and to whose wallet.
#[derive(Debug, Clone)]
pub(super) struct Charge {
    pub person_id: PersonId,
    pub amount: Points,
    pub key: String,
}

/// Adds points for several people in one statement, and writes their entries; nothing for one whose key was used before,
/// whose wallet would be too full, or whose wallet somebody else has locked. Of one person's charges only the first is
/// looked at.
///
/// Nobody's lock is waited for. Wallets are opened in the order of people: two statements that open the same ones meet
/// there.
pub(super) async fn charge_group(
    db: &Db,
    charges: &[Charge],
) -> Result<Vec<Option<WalletEntry>>, DbErr> {
    const SQL: &str = "
        WITH ask AS MATERIALIZED (
            SELECT DISTINCT ON (a.person_id) a.*
            -- In subqueries, so that no plan is made for their length: each would look better than the one that is kept.
            FROM unnest((SELECT $1::uuid[]), (SELECT $2::bigint[]), (SELECT $3::uuid[]), (SELECT $4::text[]))
                WITH ORDINALITY AS a (person_id, amount, entry_id, key, n)
            ORDER BY a.person_id, a.n
        ),
        purse AS MATERIALIZED (
            SELECT ask.*, w.balance FROM ask, LATERAL (
                SELECT w.balance FROM wallet w WHERE w.person_id = ask.person_id AND w.balance <= $5 - ask.amount
                FOR NO KEY UPDATE SKIP LOCKED
            ) w
        ),
        opened AS (
            INSERT INTO wallet (person_id, balance)
            SELECT ask.person_id, ask.amount FROM ask
            WHERE (SELECT w.person_id FROM wallet w WHERE w.person_id = ask.person_id) IS NULL
            ORDER BY ask.person_id
            ON CONFLICT DO NOTHING
            RETURNING person_id
        ),
        entry AS (
            INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
            SELECT entry_id, person_id, 'CHARGE', amount, balance + amount, 'CHARGE', key, clock_timestamp() FROM purse
            UNION ALL
            SELECT ask.entry_id, ask.person_id, 'CHARGE', ask.amount, ask.amount, 'CHARGE', ask.key, clock_timestamp()
            FROM opened JOIN ask ON ask.person_id = opened.person_id
            -- A key that was used: only this one drops out, and the caller answers it.
            ON CONFLICT DO NOTHING
            RETURNING id, person_id, sequence, kind, delta, balance_after, payment_id, created_at
        ),
        funded AS (
            UPDATE wallet w SET balance = entry.balance_after
            FROM entry JOIN purse ON purse.entry_id = entry.id
            WHERE w.person_id = entry.person_id
        )
        SELECT id, sequence, kind, delta, balance_after, payment_id, created_at FROM entry";
    let entries: Vec<WalletEntryId> = charges.iter().map(|_| WalletEntryId::new()).collect();
    let values = vec![
        uuids(charges.iter().map(|charge| charge.person_id.0)),
        bigints(charges.iter().map(|charge| charge.amount.get())),
        uuids(entries.iter().map(|id| id.0)),
        array(ArrayType::String, charges.iter().map(|charge| charge.key.as_str().into())),
        POINTS_MAX.into(),
    ];
    let mut written: HashMap<WalletEntryId, WalletEntry> = HashMap::new();
    for row in db.rows::<EntryRow>(SQL, values).await? {
        written.insert(row.id, row.into());
    }
    Ok(entries.iter().map(|id| written.remove(id)).collect())
}

/// Adds points as [`charge_group`] does, for one person, and waits until nobody else has a lock on their wallet. The row's
/// lock makes the ledger's order that of the balance.
///
/// A key that was used before violates `wallet_entry_purpose_unique`, and then nothing was added.
pub(super) async fn charge(db: &Db, charge: &Charge) -> Result<WalletEntry, DbErr> {
    const SQL: &str = "
        WITH funded AS (
            INSERT INTO wallet AS w (person_id, balance) VALUES ($1, $2)
            ON CONFLICT (person_id) DO UPDATE SET balance = w.balance + excluded.balance
            RETURNING w.balance
        )
        INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
        SELECT $3, $1, 'CHARGE', $2, funded.balance, 'CHARGE', $4, clock_timestamp() FROM funded
        RETURNING id, sequence, kind, delta, balance_after, payment_id, created_at";
    let values = vec![
        charge.person_id.into(),
        charge.amount.into(),
        WalletEntryId::new().into(),
        charge.key.as_str().into(),
    ];
    let row: Option<EntryRow> = db.row(SQL, values).await?;
    row.map(WalletEntry::from).ok_or_else(|| DbErr::RecordNotInserted)
}

/// An empty wallet for somebody who has none.
pub(super) async fn open(db: &Db, person_id: PersonId) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO wallet (person_id) VALUES ($1) ON CONFLICT DO NOTHING";
    db.run(SQL, vec![person_id.into()]).await?;
    Ok(())
}

/// The charge that a key was used for.
pub(super) async fn charge_by_key(
    db: &Db,
    person_id: PersonId,
    key: &str,
) -> Result<Option<WalletEntry>, Fault> {
    let row = wallet_entry::Entity::find()
        .filter(wallet_entry::Column::PersonId.eq(person_id))
        .filter(wallet_entry::Column::Purpose.eq("CHARGE"))
        .filter(wallet_entry::Column::Key.eq(key))
        .into_model::<EntryRow>()
        .one(db.connection())
        .await?;
    Ok(row.map(WalletEntry::from))
}

/// A ledger, newest first.
pub(super) async fn entries(
    db: &Db,
    person_id: PersonId,
    page: PageRequest<i64>,
) -> Result<Page<WalletEntry>, Fault> {
    let mut query =
        wallet_entry::Entity::find().filter(wallet_entry::Column::PersonId.eq(person_id));
    if let Some(after) = page.after {
        query = query.filter(wallet_entry::Column::Sequence.lt(after));
    }
    let rows = query
        .order_by_desc(wallet_entry::Column::Sequence)
        .limit(u64::from(page.first) + 1)
        .into_model::<EntryRow>()
        .all(db.connection())
        .await?;
    Ok(Page::from_rows(rows, page.first).map(WalletEntry::from))
}

#[derive(Debug, FromQueryResult)]
struct BalanceRow {
    balance: Points,
}

/// A wallet's balance; none yet is zero.
pub(super) async fn balance(db: &Db, person_id: PersonId) -> Result<Points, Fault> {
    const SQL: &str = "SELECT balance FROM wallet WHERE person_id = $1";
    let row: Option<BalanceRow> = db.row(SQL, vec![person_id.into()]).await?;
    Ok(row.map_or(Points::ZERO, |row| row.balance))
}
