//! Table `reservation`.

use sea_orm::entity::prelude::*;

use crate::kernel::{PersonId, Points, QueueTokenId, ReservationId, ScheduleId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReservationId,
    pub person_id: PersonId,
    pub schedule_id: ScheduleId,
    pub queue_token_id: QueueTokenId,
    pub status: String,
    pub seat_count: i32,
    pub total_price: Points,
    pub held_at: Timestamp,
    pub expires_at: Timestamp,
    pub extendable_until: Option<Timestamp>,
    pub confirmed_at: Option<Timestamp>,
    pub cancelled_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
