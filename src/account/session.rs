//! Access tokens: signed texts that name the person, their role and their session until they end. They are checked in memory.
//! A session that ended before its time is known by its name (`ended`).

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::{
    EndedSession, Keyring, Provider, TokenRefusal,
    ended::{EndedSessions, WatchedSession},
};
use crate::kernel::{Actor, Failure, Fault, PersonId, Role, SessionId, Timestamp};

const AUDIENCE: &str = "frontrow:session";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: PersonId,
    role: String,
    /// Tokens of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    iat: i64,
    exp: i64,
}

impl Claims {
    fn actor(&self) -> Result<Actor, TokenRefusal> {
        let role = Role::parse(&self.role).ok_or(TokenRefusal::Invalid)?;
        let expires_at = DateTime::from_timestamp(self.exp, 0).ok_or(TokenRefusal::Invalid)?;
        Ok(Actor { person_id: self.sub, role, session_id: self.sid, expires_at })
    }
}

/// A signed access token and when it ends.
#[derive(Debug, Clone)]
pub struct SessionToken {
    /// What the client sends as `Authorization: Bearer ...`.
    pub access_token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Signs and checks access tokens; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    keyring: Keyring,
    lifetime: Duration,
    ended: EndedSessions,
    provider: Option<Provider>,
}

impl Sessions {
    /// Sessions whose access tokens live for `lifetime`.
    pub fn new(keyring: Keyring, lifetime: Duration) -> Self {
        Self { keyring, lifetime, ended: EndedSessions::default(), provider: None }
    }

    /// The same, which also take what an identity provider has signed.
    pub fn with_provider(self, provider: Option<Provider>) -> Self {
        Self { provider, ..self }
    }

    /// How long an access token lives.
    pub(super) const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// An access token of a session of its own, which nothing refreshes.
    ///
    /// # Errors
    /// When signing fails.
    pub fn open(
        &self,
        person_id: PersonId,
        role: Role,
        now: Timestamp,
    ) -> Result<SessionToken, Fault> {
        self.give(SessionId::new(), person_id, role, now, None)
    }

    /// An access token of a session, given out at `now`. It does not outlive the session, which ends at `ends_at` at the latest.
    /// The same question gets the same token.
    pub(super) fn give(
        &self,
        id: SessionId,
        person_id: PersonId,
        role: Role,
        now: Timestamp,
        ends_at: Option<Timestamp>,
    ) -> Result<SessionToken, Fault> {
        let iat = now.timestamp();
        let exp = iat.saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let exp = ends_at.map_or(exp, |ends_at| exp.min(ends_at.timestamp()));
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            sub: person_id,
            role: role.as_str().to_owned(),
            sid: Some(id),
            iat,
            exp,
        };
        let expires_at =
            DateTime::from_timestamp(exp, 0).ok_or(Fault::internal("session end out of range"))?;
        Ok(SessionToken { access_token: self.keyring.sign(&claims)?, expires_at })
    }

    /// Who an access token belongs to: one of ours, or of the identity provider.
    ///
    /// # Errors
    /// [`TokenRefusal`] when it is not one of a live session. A fault when the provider signs as this token says, and cannot be
    /// asked for the key; or when the person cannot be looked for.
    pub async fn verify(&self, access_token: &str) -> Result<Actor, Failure<TokenRefusal>> {
        let actor = match self.provider_of(access_token) {
            // In a box, so that nobody else's request keeps room for it.
            Some(provider) => Box::pin(provider.verify(access_token)).await?,
            None => {
                let claims =
                    self.keyring.verify::<Claims>(access_token, AUDIENCE, &["exp", "aud", "sub"]);
                claims.and_then(|claims| claims.actor()).map_err(Failure::Refused)?
            }
        };
        if actor.session_id.is_some_and(|id| self.ended.contains(id)) {
            return Err(Failure::Refused(TokenRefusal::Expired));
        }
        Ok(actor)
    }

    fn provider_of(&self, access_token: &str) -> Option<&Provider> {
        self.provider.as_ref().filter(|_| Provider::may_have_signed(access_token))
    }

    /// Who an access token belonged to, whether or not it has ended. It proves nothing but that it was theirs: enough to log
    /// out, and for nothing else. A token of the identity provider must not have ended by itself.
    ///
    /// # Errors
    /// [`TokenRefusal`] when it never was a token of this server; a fault as [`Sessions::verify`].
    pub async fn verify_whose(&self, access_token: &str) -> Result<Actor, Failure<TokenRefusal>> {
        if let Some(provider) = self.provider_of(access_token) {
            return Box::pin(provider.verify(access_token)).await;
        }
        let claims =
            self.keyring.verify_ended::<Claims>(access_token, AUDIENCE, &["exp", "aud", "sub"]);
        claims.and_then(|claims| claims.actor()).map_err(Failure::Refused)
    }

    /// Watches a session, to know when it ends before its time.
    pub fn watch(&self, id: SessionId) -> WatchedSession {
        self.ended.watch(id)
    }

    /// These have ended. What nobody needs to remember any more is forgotten.
    pub(super) fn note_ended(&self, sessions: &[EndedSession]) {
        self.ended.note(sessions);
    }

    /// Forgets ended sessions whose tokens are over by themselves.
    pub(super) fn forget_over(&self) {
        self.ended.forget_over(SystemTime::now().into());
    }
}
