//! Finding people.

use super::{Accounts, Person, store};
use crate::kernel::{Fault, PersonId};

impl Accounts {
    /// The person of an id, if there is one.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn person(&self, id: PersonId) -> Result<Option<Person>, Fault> {
        Ok(self.people(&[id]).await?.pop())
    }

    /// The people of some ids, in no particular order; ids that name nobody are left out.
    ///
    /// # Errors
    /// When Postgres cannot be asked.
    pub async fn people(&self, ids: &[PersonId]) -> Result<Vec<Person>, Fault> {
        store::people(&self.db, ids).await
    }
}
