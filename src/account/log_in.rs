//! Logging in: a session for who knows the password.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};

use super::{
    AccountRefusal, Accounts, LoggedIn, SESSIONS_MAX, address, refresh_token::RefreshToken, rules,
    store, store::session,
};
use crate::kernel::{Failure, Fault, SessionId};

impl Accounts {
    /// Opens a session. `address` is where the caller is, if that is known. A person has twenty at most: the one that was not
    /// refreshed for the longest time ends.
    ///
    /// An address that nobody has and a wrong password get the same answer after the same time, so that nobody learns
    /// who has an account.
    ///
    /// # Errors
    /// [`AccountRefusal::WrongCredentials`], or a fault; [`crate::kernel::FaultKind::TooOften`] after too many wrong passwords, and
    /// then the right one is not looked at either.
    pub async fn log_in(
        &self,
        email: &str,
        password: SecretString,
        address: Option<IpAddr>,
    ) -> Result<LoggedIn, Failure<AccountRefusal>> {
        let wrong = Failure::Refused(AccountRefusal::WrongCredentials);
        if !rules::may_be_password(password.expose_secret()) {
            return Err(wrong);
        }
        // A text that is no address is looked up as well, like one that nobody has: the answer takes the same time.
        let spellings = address::spellings(email);
        let found = store::credentials(&self.db, &spellings).await?;
        let account = match &found {
            Some(found) => found.person.id.to_string(),
            None => address::email(email).unwrap_or_default().to_lowercase(),
        };
        let hash = found.as_ref().and_then(|found| found.password_hash.clone());
        let verify = self.hasher.verify(password, hash.clone());
        let verified = self.attempt(&account, address, verify).await?;
        let Some((found, hash)) = found.zip(hash).filter(|_| verified) else {
            return Err(wrong);
        };
        let (id, token, times) = (SessionId::new(), RefreshToken::new(), self.times());
        let (open, ended) = self
            .db
            .tx(async |tx| {
                // The password may have been changed while it was checked, and then it opens nothing any more.
                if !store::still_has(tx, found.person.id, &hash).await? {
                    return Err(wrong);
                }
                let others = SESSIONS_MAX - 1;
                let ended = session::end_others(tx, found.person.id, id, others, times).await?;
                let open = session::open(tx, id, found.person.id, &token.hashes(), times).await?;
                Ok((open, ended))
            })
            .await?;
        self.tell_ended(&ended).await;
        self.count("opened");
        Ok(self.logged_in(open, &token)?)
    }

    /// Looks at a password, unless too many wrong ones were given. Only a wrong one goes on counting.
    pub(super) async fn attempt(
        &self,
        account: &str,
        address: Option<IpAddr>,
        verify: impl Future<Output = Result<bool, Fault>>,
    ) -> Result<bool, Fault> {
        let Some(attempts) = &self.attempts else { return verify.await };
        let attempt = attempts.begin(account, address).await?;
        let verified = verify.await;
        if !matches!(verified, Ok(false)) {
            attempt.forgive().await;
        }
        verified
    }
}
