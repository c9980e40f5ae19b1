//! Table `schedule`.

use sea_orm::entity::prelude::*;

use crate::kernel::{ConcertId, ScheduleId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ScheduleId,
    pub concert_id: ConcertId,
    pub status: String,
    pub starts_at: Timestamp,
    pub sales_open_at: Timestamp,
    pub sales_close_at: Timestamp,
    pub max_seats_per_person: i32,
    pub seat_count: i32,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
