//! Making an account, of a fan or of an organizer.

use secrecy::{ExposeSecret, SecretString};

use super::{
    AccountRefusal, Accounts, LoggedIn, Person, refresh_token::RefreshToken, rules, store,
    store::session,
};
use crate::kernel::{Failure, PersonId, Role, SessionId};

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
    /// Every refusal, each of which names the field at fault, or a fault. That an address is taken is only told of a form in which
    /// nothing else is wrong.
    pub async fn sign_up(&self, new: NewPerson) -> Result<LoggedIn, Failure<Vec<AccountRefusal>>> {
        let checked = self.checked(new).await?;
        let (token, times) = (RefreshToken::new(), self.times());
        let open = self
            .db
            .tx(async |tx| {
                let Checked { email, name, password_hash } = &checked;
                let id = PersonId::new();
                store::insert(tx, id, email, name, password_hash, Role::Fan).await?;
                let open = session::open(tx, SessionId::new(), id, &token.hashes(), times).await?;
                Ok::<_, Failure<AccountRefusal>>(open)
            })
            .await?;
        self.count("opened");
        Ok(self.logged_in(open, &token)?)
    }

    /// Makes an organizer's account. For operators: nobody becomes an organizer by themselves.
    ///
    /// # Errors
    /// As [`Accounts::sign_up`]; a fan's account is not turned into an organizer's.
    pub async fn add_organizer(
        &self,
        new: NewPerson,
    ) -> Result<Person, Failure<Vec<AccountRefusal>>> {
        let Checked { email, name, password_hash } = self.checked(new).await?;
        let id = PersonId::new();
        let made =
            store::insert(&self.db, id, &email, &name, &password_hash, Role::Organizer).await;
        made.map_err(Failure::from)
    }

    async fn checked(&self, new: NewPerson) -> Result<Checked, Failure<Vec<AccountRefusal>>> {
        let (email, name) = rules::person(&new.email, &new.name, new.password.expose_secret())
            .map_err(Failure::Refused)?;
        let (email, name) = (email.to_owned(), name.to_owned());
        let password_hash = self.hasher.hash(new.password).await?;
        Ok(Checked { email, name, password_hash })
    }
}

/// What an account is made of.
struct Checked {
    email: String,
    name: String,
    password_hash: String,
}
