//! Making an account, of a fan or of an organizer.

use secrecy::{ExposeSecret, SecretString};

use super::{AccountRefusal, Accounts, LoggedIn, Person, rules, store};
use crate::kernel::{Failure, PersonId, Role, Timestamp};

/// Who wants an account.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Their address; trimmed, and unique whatever its case.
    pub email: String,
    /// What to call them; 1 to 100 characters.
    pub name: String,
    /// 8 to 128 characters.
    pub password: SecretString,
}

impl Accounts {
    /// Makes a fan's account and opens their first session.
    ///
    /// # Errors
    /// A refusal that names the field at fault, or a fault.
    pub async fn sign_up(&self, new: NewPerson) -> Result<LoggedIn, Failure<AccountRefusal>> {
        let (person, now) = self.add(new, Role::Fan).await?;
        let session = self.sessions.open(person.id, person.role, now)?;
        Ok(LoggedIn { session, person })
    }

    /// Makes an organizer's account. For operators: nobody becomes an organizer by themselves.
    ///
    /// # Errors
    /// As [`Accounts::sign_up`]; a fan's account is not turned into an organizer's.
    pub async fn add_organizer(&self, new: NewPerson) -> Result<Person, Failure<AccountRefusal>> {
        Ok(self.add(new, Role::Organizer).await?.0)
    }

    async fn add(
        &self,
        new: NewPerson,
        role: Role,
    ) -> Result<(Person, Timestamp), Failure<AccountRefusal>> {
        let email = rules::email(&new.email).map_err(Failure::Refused)?;
        let name = rules::name(&new.name).map_err(Failure::Refused)?;
        rules::password(new.password.expose_secret(), email).map_err(Failure::Refused)?;
        let password_hash = self.hasher.hash(new.password).await?;
        store::insert(&self.db, PersonId::new(), email, name, &password_hash, role).await
    }
}
