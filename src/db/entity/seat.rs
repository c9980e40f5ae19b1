//! Table `seat`.

use sea_orm::entity::prelude::*;

use crate::kernel::{Points, ReservationId, ScheduleId, SeatId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "seat")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SeatId,
    pub schedule_id: ScheduleId,
    pub section: String,
    pub row_label: String,
    pub row_index: i32,
    pub number: i32,
    pub grade: String,
    pub price: Points,
    pub preference: i32,
    pub status: String,
    pub version: i32,
    pub reservation_id: Option<ReservationId>,
    pub hold_expires_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
