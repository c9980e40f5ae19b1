//! Table `waiting_room`.

use sea_orm::entity::prelude::*;

use crate::kernel::ScheduleId;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "waiting_room")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub schedule_id: ScheduleId,
    pub max_active: i32,
    pub admit_per_round: i32,
    pub round_ms: i32,
    pub idle_seconds: i32,
    pub active_seconds: i32,
    pub paused: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
