//! Logging in: a session for who knows the password.

use secrecy::{ExposeSecret, SecretString};

use super::{AccountRefusal, Accounts, LoggedIn, rules, store};
use crate::kernel::Failure;

impl Accounts {
    /// Opens a session.
    ///
    /// An address that nobody has and a wrong password get the same answer after the same time, so that nobody learns
    /// who has an account.
    ///
    /// # Errors
    /// [`AccountRefusal::WrongCredentials`], or a fault.
    pub async fn log_in(
        &self,
        email: &str,
        password: SecretString,
    ) -> Result<LoggedIn, Failure<AccountRefusal>> {
        let wrong = Failure::Refused(AccountRefusal::WrongCredentials);
        if !rules::may_be_password(password.expose_secret()) {
            return Err(wrong);
        }
        // A text that is no address is looked up as well, like one that nobody has: the answer takes the same time.
        let found = store::credentials(&self.db, rules::email(email).unwrap_or_default()).await?;
        let hash = found.as_ref().map(|found| found.password_hash.clone());
        let verified = self.hasher.verify(password, hash).await?;
        let Some(found) = found.filter(|_| verified) else {
            return Err(wrong);
        };
        let session = self.sessions.open(found.person.id, found.person.role, found.now)?;
        Ok(LoggedIn { session, person: found.person })
    }
}
