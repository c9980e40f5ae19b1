//! Giving somebody a wallet who has never charged.

use super::{Wallets, store};
use crate::kernel::{Fault, PersonId};

impl Wallets {
    /// Makes sure that a person has a wallet, even an empty one: the ledger refers to it. Charging does so by itself.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn open(&self, person_id: PersonId) -> Result<(), Fault> {
        store::open(&self.money, person_id).await
    }
}
