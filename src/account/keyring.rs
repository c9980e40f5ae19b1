//! Signed tokens: HS256 with a fixed algorithm, and an audience that tells one kind of token from another.
//!
//! A token of one audience is never accepted as another, whatever its other claims say (RFC 8725, section 3.9).

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use crate::kernel::{Fault, FaultKind};

/// The shortest secret that is accepted, in bytes: as long as the HMAC's output (RFC 7518, section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Its time is over.
    Expired,
    /// Not a token of this server for this purpose.
    Invalid,
}

/// The secrets that tokens are signed with.
#[derive(Clone)]
pub struct Keyring {
    signing: EncodingKey,
    /// The current secret first, then those before and after it, so that rotation ends no session.
    verifying: Vec<DecodingKey>,
}

impl Keyring {
    /// A keyring that signs with `current` and also accepts what `others` have signed: the secret before the last rotation,
    /// and the one after the next.
    pub fn new<'a>(
        current: &'a SecretString,
        others: impl IntoIterator<Item = &'a SecretString>,
    ) -> Self {
        let verifying = std::iter::once(current).chain(others);
        Self {
            signing: EncodingKey::from_secret(current.expose_secret().as_bytes()),
            verifying: verifying
                .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()))
                .collect(),
        }
    }

    /// Signs claims. They must carry `aud`, and `exp` where the token is to end by itself.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Fault> {
        encode(&Header::new(Algorithm::HS256), claims, &self.signing)
            .map_err(|error| Fault::new(FaultKind::Internal, "signing a token", error))
    }

    /// The claims of a token, after its signature, audience and end were checked. `required` names the claims that
    /// must be there.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub fn verify<T: DeserializeOwned + Clone>(
        &self,
        token: &str,
        audience: &str,
        required: &[&str],
    ) -> Result<T, TokenRefusal> {
        self.read(token, audience, required, true)
    }

    /// The same for a token that may have ended.
    ///
    /// # Errors
    /// [`TokenRefusal::Invalid`].
    pub fn verify_ended<T: DeserializeOwned + Clone>(
        &self,
        token: &str,
        audience: &str,
        required: &[&str],
    ) -> Result<T, TokenRefusal> {
        self.read(token, audience, required, false)
    }

    fn read<T: DeserializeOwned + Clone>(
        &self,
        token: &str,
        audience: &str,
        required: &[&str],
        must_live: bool,
    ) -> Result<T, TokenRefusal> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = must_live;
        validation.leeway = 0;
        // In the second of its end a token is over already (RFC 7519, section 4.1.4); the crate alone would take it.
        validation.reject_tokens_expiring_in_less_than = u64::from(must_live);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(required);
        let mut refusal = TokenRefusal::Invalid;
        for key in &self.verifying {
            match decode::<T>(token, key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error)
                    if matches!(
                        error.kind(),
                        jsonwebtoken::errors::ErrorKind::ExpiredSignature
                    ) =>
                {
                    refusal = TokenRefusal::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refusal)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}
