//! Another password, and the end of all other sessions.

use secrecy::{ExposeSecret, SecretString};

use super::{
    AccountRefusal, Accounts, LoggedIn, refresh_token::RefreshToken, rules, store, store::session,
};
use crate::kernel::{Actor, Checks, Failure, Fault, SessionId};

impl Accounts {
    /// Changes the password of who knows the old one, ends all other sessions of theirs, and gives their own out anew.
    ///
    /// # Errors
    /// [`AccountRefusal::WrongCredentials`], [`AccountRefusal::PasswordWeak`], or both; or a fault.
    pub async fn change_password(
        &self,
        actor: Actor,
        old: SecretString,
        new: SecretString,
    ) -> Result<LoggedIn, Failure<Vec<AccountRefusal>>> {
        let proof = self.proof(actor).await?;
        // Who signs in elsewhere has no password here that could be changed.
        let known = proof.password_hash.is_some() && self.knows(actor, &proof, old).await?;
        let mut checks = Checks::default();
        checks.unless(known, || AccountRefusal::WrongCredentials);
        checks.keep(rules::password(new.expose_secret(), &[&proof.email, &proof.name]));
        checks.outcome(()).map_err(Failure::Refused)?;
        let new = self.hasher.hash(new).await?;
        let (token, id) = (RefreshToken::new(), actor.session_id.unwrap_or_else(SessionId::new));
        let times = self.times();
        let (open, ended) = self
            .db
            .tx(async |tx| {
                // Their log-ins wait from here on, and find the new password.
                if !store::set_password(tx, actor.person_id, &proof, &new).await? {
                    return Err(Failure::Refused(AccountRefusal::WrongCredentials));
                }
                let ended = session::end_others(tx, actor.person_id, id, 0, times).await?;
                let open = session::open(tx, id, actor.person_id, &token.hashes(), times).await?;
                Ok((open, ended))
            })
            .await?;
        self.tell_ended(&ended).await;
        Ok(self.logged_in(open, &token)?)
    }

    /// Whether this person knows their password.
    ///
    /// # Errors
    /// [`AccountRefusal::WrongCredentials`], or a fault: [`Fault::caller_gone`] when they have no account any more.
    pub async fn prove(
        &self,
        actor: Actor,
        password: SecretString,
    ) -> Result<Proof, Failure<AccountRefusal>> {
        let proof = self.proof(actor).await?;
        if self.knows(actor, &proof, password).await? {
            Ok(proof)
        } else {
            Err(Failure::Refused(AccountRefusal::WrongCredentials))
        }
    }

    async fn proof(&self, actor: Actor) -> Result<Proof, Fault> {
        store::proof(&self.db, actor.person_id).await?.ok_or_else(Fault::caller_gone)
    }

    async fn knows(
        &self,
        actor: Actor,
        proof: &Proof,
        password: SecretString,
    ) -> Result<bool, Fault> {
        if !rules::may_be_password(password.expose_secret()) {
            return Ok(false);
        }
        match &proof.password_hash {
            Some(hash) => {
                let verify = self.hasher.verify(password, Some(hash.clone()));
                self.attempt(&actor.person_id.to_string(), None, verify).await
            }
            // Their provider has let them in; there is nothing that they could know here.
            None => Ok(password.expose_secret().is_empty()),
        }
    }
}

/// What was known of a person when they proved who they are.
#[derive(Debug, Clone)]
pub struct Proof {
    pub(super) email: String,
    pub(super) name: String,
    /// Of who signs in elsewhere there is none.
    pub(super) password_hash: Option<String>,
}
