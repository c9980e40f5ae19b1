//! Erasing who somebody is. What they bought and paid stays in the books, without a name.

use super::{AccountRefusal, Accounts, EndedSession, Proof, store, store::session};
use crate::{
    db::Tx,
    kernel::{Actor, Failure, SessionId},
};

impl Accounts {
    /// Erases address, name and password of who has proved who they are, and ends all of their sessions. Tell the ends with
    /// [`Accounts::tell_ended`] after the commit.
    ///
    /// # Errors
    /// [`AccountRefusal::WrongCredentials`] when the password was changed since, or a fault.
    pub async fn erase_in_tx(
        &self,
        tx: &Tx,
        actor: Actor,
        proof: &Proof,
    ) -> Result<Vec<EndedSession>, Failure<AccountRefusal>> {
        if !store::erase(tx, actor.person_id, proof).await? {
            return Err(Failure::Refused(AccountRefusal::WrongCredentials));
        }
        store::provider::forget(tx, actor.person_id).await?;
        // Nobody's id is nil, so none is left out.
        let nobody = SessionId(uuid::Uuid::nil());
        let mut ended = session::end_others(tx, actor.person_id, nobody, 0, self.times()).await?;
        if let Some(id) = actor.session_id {
            ended.extend(session::end_one(tx, id, actor.expires_at).await?.0);
        }
        Ok(ended)
    }
}
