//! Table `payment`.

use sea_orm::entity::prelude::*;

use crate::kernel::{PaymentId, PersonId, Points, ReservationId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentId,
    pub person_id: PersonId,
    pub purpose: String,
    pub reservation_id: Option<ReservationId>,
    pub method: String,
    pub amount: Points,
    pub status: String,
    pub failure_code: Option<String>,
    pub idempotency_key: String,
    pub fingerprint: Vec<u8>,
    pub created_at: Timestamp,
    pub approved_at: Option<Timestamp>,
    pub refunded_at: Option<Timestamp>,
    pub action_url: Option<String>,
    pub action_secret: Option<String>,
    pub action_expires_at: Option<Timestamp>,
    pub refund_status: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
