//! The keys that a provider publishes: fetched when they are needed, kept while it is away.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use reqwest::{Client, Url, redirect::Policy};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    kernel::{Fault, FaultKind},
    tasks::Tasks,
};

/// How long fetching the keys may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest list of keys that is read.
const KEYS_BYTES_MAX: usize = 256 * 1024;
/// Keys that are kept.
const KEYS_MAX: usize = 64;
/// How old keys may be before they are fetched anew, beside the requests.
const FRESH: Duration = Duration::from_secs(600);
/// The provider is not asked more often: tokens with keys that nobody knows cost it nothing.
const PAUSE: Duration = Duration::from_secs(5);

/// A key, and the one algorithm that it is for.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<String, Key>,
    nameless: Vec<Key>,
    fetched: Option<Instant>,
}

/// The keys of one provider; cheap to clone.
#[derive(Clone)]
pub(super) struct Keys(Arc<Inner>);

struct Inner {
    url: Url,
    client: Client,
    tasks: Tasks,
    kept: RwLock<Kept>,
    /// When the provider was asked last. Whoever asks holds it.
    asked: Mutex<Option<Instant>>,
}

impl Keys {
    /// Keys that have not been fetched yet.
    ///
    /// # Errors
    /// When the system has no certificates to trust.
    pub(super) fn new(url: Url, tasks: Tasks) -> Result<Self, Fault> {
        let client = Client::builder()
            .connect_timeout(FETCH_TIMEOUT)
            // Nobody elsewhere says which keys are good.
            .redirect(Policy::none())
            .user_agent(concat!("frontrow/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| {
                Fault::internal("fetching keys needs the system's certificates (ca-certificates)")
            })?;
        let (kept, asked) = (RwLock::default(), Mutex::default());
        Ok(Self(Arc::new(Inner { url, client, tasks, kept, asked })))
    }

    /// The keys that may have signed a token with this header: none when the provider has no such key.
    ///
    /// # Errors
    /// When there are no keys yet, and the provider cannot be asked.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Arc<DecodingKey>>, Fault> {
        let (found, age) = self.kept(id, algorithm);
        if found.is_empty() || age.is_none() {
            // A key that is not known may have been published just now.
            let fetched = self.fetch(Instant::now()).await;
            let (found, age) = self.kept(id, algorithm);
            return match (fetched, age) {
                // What is signed by a key that we do not have cannot be told from what is forged.
                (Err(fault), None) => Err(fault),
                _ => Ok(found),
            };
        }
        if age.is_some_and(|age| age > FRESH) {
            let keys = self.clone();
            let now = Instant::now();
            self.0.tasks.spawn("fetching a provider's keys", async move {
                if let Err(fault) = keys.fetch(now).await {
                    tracing::warn!(fault = %fault.report(), "the provider's keys stay as they were");
                }
            });
        }
        Ok(found)
    }

    /// Fetches the keys now, and counts those that can check a token.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub(super) async fn count(&self) -> Result<usize, Fault> {
        self.fetch(Instant::now()).await?;
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        Ok(kept.by_id.len() + kept.nameless.len())
    }

    fn kept(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> (Vec<Arc<DecodingKey>>, Option<Duration>) {
        let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
        let fits = |key: &&Key| key.algorithm == algorithm;
        let keys: Vec<_> = match id {
            Some(id) => kept.by_id.get(id).into_iter().chain(&kept.nameless).filter(fits).collect(),
            None => kept.by_id.values().chain(&kept.nameless).filter(fits).collect(),
        };
        let keys = keys.into_iter().map(|key| Arc::clone(&key.key)).collect();
        (keys, kept.fetched.map(|fetched| fetched.elapsed()))
    }

    /// Fetches the keys, unless somebody has done so since `wanted`, or a moment before.
    async fn fetch(&self, wanted: Instant) -> Result<(), Fault> {
        let mut asked = self.0.asked.lock().await;
        if asked.is_some_and(|at| at + PAUSE > wanted) {
            let kept = self.0.kept.read().unwrap_or_else(PoisonError::into_inner);
            return match kept.fetched {
                Some(_) => Ok(()),
                None => Err(away("it could not be asked a moment ago")),
            };
        }
        *asked = Some(Instant::now());
        let fetched = timeout(FETCH_TIMEOUT, self.download()).await;
        let set = fetched.map_err(|_| away("it did not answer in time"))??;
        let mut kept = self.0.kept.write().unwrap_or_else(PoisonError::into_inner);
        *kept = sorted(set);
        Ok(())
    }

    async fn download(&self) -> Result<JwkSet, Fault> {
        let answer = self.0.client.get(self.0.url.clone()).send().await;
        let mut answer = answer.map_err(|_| away("it cannot be reached"))?;
        if !answer.status().is_success() {
            return Err(away("it has no keys where they should be"));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|_| away("its answer broke off"))? {
            if body.len() + piece.len() > KEYS_BYTES_MAX {
                return Err(away("its answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        serde_json::from_slice(&body).map_err(|_| away("its answer is no list of keys"))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

fn away(words: &'static str) -> Fault {
    Fault::new(FaultKind::Unavailable, "asking the identity provider for its keys", words)
}

/// Those keys of a list that can check a token. Others are passed over: a provider publishes keys for other purposes, too.
fn sorted(set: JwkSet) -> Kept {
    let mut kept = Kept { fetched: Some(Instant::now()), ..Kept::default() };
    for jwk in set.keys.iter().take(KEYS_MAX) {
        let Some(key) = usable(jwk) else { continue };
        match &jwk.common.key_id {
            Some(id) => drop(kept.by_id.insert(id.clone(), key)),
            None => kept.nameless.push(key),
        }
    }
    kept
}

fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        _ => return None,
    };
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let agrees = matches!(
        (jwk.common.key_algorithm, algorithm),
        (None, _)
            | (Some(KeyAlgorithm::RS256), Algorithm::RS256)
            | (Some(KeyAlgorithm::ES256), Algorithm::ES256)
    );
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && agrees)?;
    Some(Key { algorithm, key: Arc::new(key) })
}
