//! Making an account, of a fan or of an organizer.

use secrecy::{ExposeSecret, SecretString};

use super::{
    AccountRefusal, Accounts, LoggedIn, Person, address, refresh_token::RefreshToken, rules, store,
    store::session,
};
use crate::kernel::{Failure, PersonId, Role, SessionId};

/// Who wants an account.
#[derive(Debug, Clone)]
pub struct NewPerson {
    /// Their address; trimmed, in its one spelling, and unique whatever its case.
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
                let id = PersonId::new();
                store::insert(tx, id, &checked.as_new(Role::Fan)).await?;
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
        let checked = self.checked(new).await?;
        let made = store::insert(&self.db, PersonId::new(), &checked.as_new(Role::Organizer)).await;
        made.map_err(Failure::from)
    }

    async fn checked(&self, new: NewPerson) -> Result<Checked, Failure<Vec<AccountRefusal>>> {
        let (email, name) = rules::person(&new.email, &new.name, new.password.expose_secret())
            .map_err(Failure::Refused)?;
        let spellings = address::spellings(&new.email);
        let password_hash = self.hasher.hash(new.password).await?;
        Ok(Checked { email, spellings, name, password_hash })
    }
}

/// What an account is made of.
struct Checked {
    email: String,
    /// How else the address may have been stored.
    spellings: Vec<String>,
    name: String,
    password_hash: String,
}

impl Checked {
    fn as_new(&self, role: Role) -> store::NewRow<'_> {
        let Self { email, spellings, name, password_hash } = self;
        store::NewRow { email, spellings, name, password_hash: Some(password_hash), role }
    }
}
