//! Charges that have arrived together: how a lane serves them.

use super::{
    WalletEntry,
    store::{self, Charge},
};
use crate::{
    db::Db,
    kernel::{Fault, PersonId},
    lanes::{Claims, GroupWork},
};

/// What the lanes of charges do.
#[derive(Debug)]
pub(super) struct Charging {
    pub db: Db,
}

impl GroupWork for Charging {
    type Request = Charge;
    type Outcome = Option<WalletEntry>;
    type Key = PersonId;

    /// One charge of a person at a time: the next would only meet the first one's lock.
    fn claims(&self, charge: &Charge) -> Claims<PersonId> {
        Claims { alone: vec![charge.person_id], shared: Vec::new() }
    }

    async fn serve(&self, group: &[Charge]) -> Result<Vec<Option<WalletEntry>>, Fault> {
        Ok(store::charge_group(&self.db, group).await?)
    }

    /// A wallet is its owner's business.
    async fn tell(&self, _group: &[Charge], _outcomes: &[Option<WalletEntry>]) {}
}
