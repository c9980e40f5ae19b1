//! Table `concert`.

use sea_orm::entity::prelude::*;

use crate::kernel::{ConcertId, PersonId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "concert")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ConcertId,
    pub organizer_id: PersonId,
    pub title: String,
    pub artist: String,
    pub venue: String,
    pub description: String,
    pub time_zone: String,
    pub created_at: Timestamp,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
