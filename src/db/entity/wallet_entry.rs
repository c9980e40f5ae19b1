//! Table `wallet_entry`.

use sea_orm::entity::prelude::*;

use crate::kernel::{PaymentId, PersonId, Points, Timestamp, WalletEntryId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "wallet_entry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: WalletEntryId,
    pub person_id: PersonId,
    pub sequence: i64,
    pub kind: String,
    pub delta: i64,
    pub balance_after: Points,
    pub purpose: String,
    pub key: String,
    pub payment_id: Option<PaymentId>,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
