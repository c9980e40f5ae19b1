//! Table `person`.

use sea_orm::entity::prelude::*;

use crate::kernel::{PersonId, Role, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "person")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PersonId,
    pub email: String,
    pub name: String,
    /// Of who signs in elsewhere there is none.
    pub password_hash: Option<String>,
    pub role: Role,
    pub created_at: Timestamp,
    pub erased_at: Option<Timestamp>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
