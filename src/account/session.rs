//! Sessions: a signed token that names the person and their role until it ends. Nothing about it is stored.

use std::time::Duration;

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::{Keyring, TokenRefusal};
use crate::kernel::{Actor, Fault, PersonId, Role, Timestamp};

const AUDIENCE: &str = "frontrow:session";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: PersonId,
    role: String,
    iat: i64,
    exp: i64,
}

/// A signed session and when it ends.
#[derive(Debug, Clone)]
pub struct SessionToken {
    /// What the client sends as `Authorization: Bearer ...`.
    pub access_token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Signs and checks sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    keyring: Keyring,
    lifetime: Duration,
}

impl Sessions {
    /// Sessions that live for `lifetime`.
    pub const fn new(keyring: Keyring, lifetime: Duration) -> Self {
        Self { keyring, lifetime }
    }

    /// Opens a session for a person whose password was checked at `now`.
    ///
    /// # Errors
    /// When signing fails.
    pub fn open(
        &self,
        person_id: PersonId,
        role: Role,
        now: Timestamp,
    ) -> Result<SessionToken, Fault> {
        let iat = now.timestamp();
        let exp = iat.saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            sub: person_id,
            role: role.as_str().to_owned(),
            iat,
            exp,
        };
        let expires_at =
            DateTime::from_timestamp(exp, 0).ok_or(Fault::internal("session end out of range"))?;
        Ok(SessionToken { access_token: self.keyring.sign(&claims)?, expires_at })
    }

    /// Who a session belongs to.
    ///
    /// # Errors
    /// [`TokenRefusal`] when the token is not a live session of this server.
    pub fn verify(&self, access_token: &str) -> Result<Actor, TokenRefusal> {
        let claims: Claims = self.keyring.verify(access_token, AUDIENCE, &["exp", "aud", "sub"])?;
        let role = Role::parse(&claims.role).ok_or(TokenRefusal::Invalid)?;
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(TokenRefusal::Invalid)?;
        Ok(Actor { person_id: claims.sub, role, expires_at })
    }
}
