//! Going on with a session: a new access token, and a new refresh token for the one that is used up.

use super::{
    AccountRefusal, Accounts, LoggedIn, refresh_token::RefreshToken, rules, rules::Presented, store,
};
use crate::kernel::Failure;

/// How often a token is tried that was used elsewhere at the same instant.
const ATTEMPTS: usize = 3;

impl Accounts {
    /// Gives a session out anew for its refresh token, which is used up by that.
    ///
    /// For a minute the used token is answered with the very same: whoever lost the answer asks again, and two
    /// tabs that ask at once go on together. A token that comes later than that is in two hands, and ends its session.
    ///
    /// # Errors
    /// [`AccountRefusal::SessionEnded`], [`AccountRefusal::SessionUnused`], [`AccountRefusal::SessionAged`], or a fault.
    pub async fn refresh(&self, refresh_token: &str) -> Result<LoggedIn, Failure<AccountRefusal>> {
        let ended = Failure::Refused(AccountRefusal::SessionEnded);
        let Some(token) = RefreshToken::parse(refresh_token) else { return Err(ended) };
        for _ in 0..ATTEMPTS {
            let salt = RefreshToken::salt();
            let next = token.next(salt);
            let (now, then) = (token.hashes(), next.hashes());
            let rotated = store::session::rotate(&self.db, &now, &then, salt, self.times()).await?;
            if let Some(open) = rotated {
                self.count("refreshed");
                return Ok(self.logged_in(open, &next)?);
            }
            let Some(found) = store::session::find(&self.db, &now, self.times()).await? else {
                break;
            };
            match rules::presented(&found.facts) {
                Presented::Again => {}
                Presented::Gone => break,
                Presented::Unused => return Err(Failure::Refused(AccountRefusal::SessionUnused)),
                Presented::Aged => return Err(Failure::Refused(AccountRefusal::SessionAged)),
                Presented::Repeated => {
                    let Some(salt) = found.salt else { break };
                    self.count("repeated");
                    return Ok(self.logged_in(found.open, &token.next(salt))?);
                }
                Presented::Reused => {
                    let person_id = found.open.person.id;
                    tracing::warn!(%person_id, "a refresh token came again after its time; its session was ended");
                    self.count("reused");
                    let id = found.open.session_id;
                    let until = found.open.refreshed_at + self.sessions.lifetime();
                    self.end_one(id, until).await?;
                    break;
                }
            }
        }
        Err(ended)
    }
}
