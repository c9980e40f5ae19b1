//! People who sign in at an identity provider: its access tokens are taken as ours are, and checked by the keys that it publishes.
//!
//! A token costs no query once its key and its person are known here. The first token of a person makes their account.

mod claims;
mod keys;

use std::{fmt, sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use quick_cache::sync::Cache;
use reqwest::Url;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use self::{claims::Claims, keys::Keys};
use super::{TokenRefusal, store};
use crate::{
    db::Db,
    kernel::{Actor, Failure, Fault, PersonId, Role, SessionId},
    tasks::Tasks,
};

/// How far the provider's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(30);
/// People who are remembered.
const PEOPLE_MAX: usize = 100_000;
/// How long it is not looked again whether somebody still has their account.
const TRUSTED: Duration = Duration::from_secs(600);

/// Which provider, and what is taken of it.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// What stands in `iss`.
    pub issuer: String,
    /// What has to stand in `aud`.
    pub audience: String,
    /// Where its keys are.
    pub jwks_url: KeysAddress,
    /// The claim that tells roles, by a path of names: `roles`, `realm_access/roles`.
    pub role_claim: Option<String>,
    /// What stands there for organizers.
    pub organizer_role: String,
}

/// Where a provider publishes its keys: `https://`, or `http://` on this machine.
#[derive(Clone)]
pub struct KeysAddress(Url);

impl std::str::FromStr for KeysAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url =
            Url::parse(text).map_err(|_| "it is no address; it is written https://host/path")?;
        let near = match url.host_str() {
            Some("localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
            None => return Err("it has no host; it is written https://host/path"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user, and needs none; keys are public");
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if near => Ok(Self(url)),
            _ => Err("it has to begin with https://: whoever is on the way could make sessions"),
        }
    }
}

impl fmt::Debug for KeysAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Fetches a provider's keys once, and counts those that can check a token.
///
/// # Errors
/// When the provider cannot be asked, or the system has no certificates to trust.
pub async fn count_keys(settings: &ProviderSettings, tasks: Tasks) -> Result<usize, Fault> {
    Keys::new(settings.jwks_url.0.clone(), tasks)?.count().await
}

/// Checks the tokens of a provider; cheap to clone.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    settings: ProviderSettings,
    keys: Keys,
    db: Db,
    people: Cache<String, Known>,
}

/// Whose a subject is.
#[derive(Debug, Clone, Copy)]
struct Known {
    person_id: PersonId,
    role: Role,
    since: Instant,
}

impl Provider {
    /// A provider whose people are in `db`. Its keys are fetched when the first token comes.
    ///
    /// # Errors
    /// When the system has no certificates to trust.
    pub fn new(settings: ProviderSettings, db: Db, tasks: Tasks) -> Result<Self, Fault> {
        let keys = Keys::new(settings.jwks_url.0.clone(), tasks)?;
        let people = Cache::new(PEOPLE_MAX);
        Ok(Self(Arc::new(Inner { settings, keys, db, people })))
    }

    /// Whether a token says that it is signed as this provider signs; ours never are.
    pub fn may_have_signed(token: &str) -> bool {
        decode_header(token).is_ok_and(|header| is_taken(header.alg))
    }

    /// Who a token belongs to. The first token of a person makes their account.
    ///
    /// # Errors
    /// A [`TokenRefusal`], or a fault when it cannot be told: keys or people cannot be asked for.
    pub async fn verify(&self, token: &str) -> Result<Actor, Failure<TokenRefusal>> {
        let claims = self.read(token).await?;
        let role = claims.role(&self.0.settings);
        let known = self.known(&claims, role).await?;
        let expires_at = claims.expires_at().ok_or(Failure::Refused(TokenRefusal::Invalid))?;
        let session_id = Some(session_id(&claims, token));
        Ok(Actor { person_id: known.person_id, role, session_id, expires_at })
    }

    async fn read(&self, token: &str) -> Result<Claims, Failure<TokenRefusal>> {
        let invalid = Failure::Refused(TokenRefusal::Invalid);
        let header = decode_header(token).map_err(|_| Failure::Refused(TokenRefusal::Invalid))?;
        if !is_taken(header.alg) {
            return Err(invalid);
        }
        let keys = self.0.keys.find(header.kid.as_deref(), header.alg).await?;
        let validation = self.validation(header.alg);
        let mut refusal = TokenRefusal::Invalid;
        for key in keys {
            match decode::<Claims>(token, &key, &validation) {
                Ok(data) if data.claims.is_usable() => return Ok(data.claims),
                Ok(_) => {}
                Err(error) => {
                    if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::ExpiredSignature) {
                        refusal = TokenRefusal::Expired;
                    }
                }
            }
        }
        Err(Failure::Refused(refusal))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let ProviderSettings { issuer, audience, .. } = &self.0.settings;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    async fn known(&self, claims: &Claims, role: Role) -> Result<Known, Failure<TokenRefusal>> {
        if let Some(known) = self.0.people.get(&claims.sub)
            && known.role == role
            && known.since.elapsed() < TRUSTED
        {
            return Ok(known);
        }
        let newcomer = claims.newcomer(role);
        let since = Instant::now();
        let issuer = &self.0.settings.issuer;
        let person_id = store::provider::person(&self.0.db, issuer, &claims.sub, &newcomer).await?;
        let known = Known { person_id, role, since };
        self.0.people.insert(claims.sub.clone(), known);
        Ok(known)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.0.settings.issuer).finish_non_exhaustive()
    }
}

/// The algorithms that are taken. None of them is symmetric, so a public key is never taken for a secret.
const fn is_taken(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::RS256 | Algorithm::ES256)
}

/// What names the session of a token, so that it can be ended here: the provider's own name for it, where it tells one.
fn session_id(claims: &Claims, token: &str) -> SessionId {
    let name = claims.sid.as_deref().or(claims.jti.as_deref()).unwrap_or(token);
    let digest = Sha256::digest(format!("{}\0{}\0{name}", claims.iss, claims.sub));
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, of)| *byte = of);
    SessionId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// What is known of somebody who comes for the first time.
#[derive(Debug, Clone)]
pub(super) struct Newcomer {
    pub(super) id: PersonId,
    /// One that the provider has checked.
    pub(super) email: Option<String>,
    pub(super) name: String,
    pub(super) role: Role,
}

impl Newcomer {
    /// An address for who brings none: nobody receives mail there (RFC 2606), and nobody can guess it.
    pub(super) fn made_up_email() -> String {
        format!("external-{}@external.invalid", Uuid::new_v4().simple())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in [
            "https://id.example/jwks.json",
            "https://id.example:8443/a?b=c",
            "http://localhost:9000/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]:8080/",
        ] {
            assert!(good.parse::<KeysAddress>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "id.example/jwks",
            "http://id.example/jwks",
            "http://localhost.evil.example/",
            "https://user:secret@id.example/",
            "file:///etc/passwd",
            "ftp://id.example/",
        ] {
            assert!(bad.parse::<KeysAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn our_own_tokens_are_nobody_elses() {
        let token = |header: &str| format!("{header}.e30.c2ln");
        // {"alg":"HS256"}, {"alg":"none"}, {"alg":"RS256"}, {"alg":"ES256"}
        assert!(!Provider::may_have_signed(&token("eyJhbGciOiJIUzI1NiJ9")));
        assert!(!Provider::may_have_signed(&token("eyJhbGciOiJub25lIn0")));
        assert!(Provider::may_have_signed(&token("eyJhbGciOiJSUzI1NiJ9")));
        assert!(Provider::may_have_signed(&token("eyJhbGciOiJFUzI1NiJ9")));
        assert!(!Provider::may_have_signed("x"));
    }
}
