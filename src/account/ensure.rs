//! Accounts for demonstrations and rehearsals: made when missing, kept when there.

use secrecy::SecretString;

use super::{Accounts, NewPerson, Person, SessionToken, address, store};
use crate::{
    db::Tx,
    kernel::{Failure, Fault, PersonId, Role},
};

/// The domain of rehearsal fans' addresses; nobody receives mail there (RFC 2606).
const REHEARSAL_DOMAIN: &str = "load.frontrow.example";

impl Accounts {
    /// The person with this address; made when there is none. An existing account stays as it is, password included.
    ///
    /// The caller has to keep others from doing the same at the same time; see [`Tx::lock`].
    ///
    /// # Errors
    /// When Postgres cannot be asked, or an account appears although the caller has the lock.
    pub async fn ensure_in_tx(&self, tx: &Tx, new: NewPerson, role: Role) -> Result<Person, Fault> {
        let spellings = address::spellings(&new.email);
        if let Some(found) = store::credentials(tx, &spellings).await? {
            return Ok(found.person);
        }
        let hash = self.hasher.hash(new.password).await?;
        let row = store::NewRow {
            email: &new.email,
            spellings: &spellings,
            name: &new.name,
            password_hash: Some(&hash),
            role,
        };
        match store::insert(tx, PersonId::new(), &row).await {
            Ok(person) => Ok(person),
            Err(Failure::Refused(_)) => Err(Fault::internal("an account appeared under the lock")),
            Err(Failure::Fault(fault)) => Err(fault),
        }
    }

    /// The first `count` rehearsal fans with a session each; those that are missing are made, all with one password.
    ///
    /// # Errors
    /// When Postgres cannot be asked, or a session cannot be signed.
    pub async fn rehearsal_fans(
        &self,
        count: u32,
        password: SecretString,
    ) -> Result<Vec<(PersonId, SessionToken)>, Fault> {
        /// People per statement.
        const BATCH: u32 = 5_000;
        let hash = self.hasher.hash(password).await?;
        let mut fans = Vec::new();
        let mut first = 1;
        while first <= count {
            let last = count.min(first.saturating_add(BATCH - 1));
            let emails: Vec<String> =
                (first..=last).map(|n| format!("fan-{n:06}@{REHEARSAL_DOMAIN}")).collect();
            for (id, now) in store::ensure_fans(&self.db, &emails, &hash).await? {
                fans.push((id, self.sessions.open(id, Role::Fan, now)?));
            }
            first = last.saturating_add(1);
        }
        Ok(fans)
    }
}
