//! The wallet's tables.

use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};

use super::{WalletEntry, WalletEntryKind};
use crate::{
    db::{Db, Session, entity::wallet_entry, text_column},
    kernel::{Fault, Page, PageRequest, PaymentId, PersonId, Points, Timestamp, WalletEntryId},
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

/// Adds points and writes the entry, in one statement. The wallet's row lock makes the ledger's order that of the balance.
///
/// A key that was used before violates `wallet_entry_purpose_unique`, and then nothing was added.
pub(super) async fn charge(
    db: &Db,
    person_id: PersonId,
    amount: Points,
    key: &str,
) -> Result<WalletEntry, DbErr> {
    const SQL: &str = "
        WITH funded AS (
            INSERT INTO wallet AS w (person_id, balance) VALUES ($1, $2)
            ON CONFLICT (person_id) DO UPDATE SET balance = w.balance + excluded.balance
            RETURNING w.balance
        )
        INSERT INTO wallet_entry (id, person_id, kind, delta, balance_after, purpose, key, created_at)
        SELECT $3, $1, 'CHARGE', $2, funded.balance, 'CHARGE', $4, clock_timestamp() FROM funded
        RETURNING id, sequence, kind, delta, balance_after, payment_id, created_at";
    let values = vec![person_id.into(), amount.into(), WalletEntryId::new().into(), key.into()];
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
