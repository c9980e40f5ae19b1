//! Password hashes: argon2id with the crate's defaults (19 MiB, two passes, one lane; OWASP's first choice).
//!
//! Hashing takes some 20 ms of a core and 19 MiB. It runs off the async threads, on half of the cores at most, so that a
//! rush of log-ins neither starves the requests of people who are in already nor eats the memory. The line in front of it is
//! short: whoever cannot be served within about a second is told so at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use argon2::{
    Argon2, PasswordHasher, PasswordVerifier,
    password_hash::{Error, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::rules;
use crate::{
    kernel::{Fault, FaultKind},
    turns::deadline::at_most,
};

/// How long a request waits for its turn before it is told that the server is busy.
const TURN_TIMEOUT: Duration = Duration::from_secs(4);
/// Passwords that wait for each turn that there is; more are told that the server is busy without waiting.
const WAITING_MAX: usize = 50;

/// Checked for an address that nobody has, so that the answer takes the same time. No password is known for it, and
/// what it says is never looked at.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$ZnJvbnRyb3cgbm9ib2R5IQ$\
                      b25seSB0aGUgdGltZSB0aGF0IGl0IHRha2VzIGNvdW4";

/// Hashes and checks passwords; cheap to clone, and clones share the turns.
#[derive(Debug, Clone)]
pub(super) struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

/// Passwords that wait for their turn.
#[derive(Debug)]
struct Waiting {
    now: AtomicUsize,
    most: usize,
}

/// A password's place in the line; free when this is dropped.
struct Place<'a>(&'a Waiting);

impl Waiting {
    /// A place, if the line is not too long.
    fn place(&self) -> Option<Place<'_>> {
        let more = |now: usize| (now < self.most).then_some(now + 1);
        self.now.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Relaxed);
    }
}

impl Hasher {
    /// A hasher with a turn for every second core, one at least.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_turns((cores / 2).max(1))
    }

    fn with_turns(turns: usize) -> Self {
        let waiting = Waiting { now: AtomicUsize::new(0), most: turns.saturating_mul(WAITING_MAX) };
        Self { turns: Arc::new(Semaphore::new(turns)), waiting: Arc::new(waiting) }
    }

    /// The hash to store for a password in its one spelling, with a salt of its own.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String, Fault> {
        self.in_turn(move || {
            let password = rules::opaque(password.expose_secret());
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(broken)
        })
        .await
    }

    /// Whether the password is the one behind `stored`; without one, takes as long and says no. One whose letters are not composed is
    /// looked at a second time as it was given: before there was one spelling, it was stored so.
    pub(super) async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, Fault> {
        self.in_turn(move || {
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(NOBODY)).map_err(broken)?;
            let given = password.expose_secret();
            let spelled = rules::opaque(given);
            let as_given = Some(given).filter(|given| *given != spelled);
            for password in std::iter::once(&*spelled).chain(as_given) {
                match Argon2::default().verify_password(password.as_bytes(), &hash) {
                    Ok(()) => return Ok(stored.is_some()),
                    Err(Error::PasswordInvalid) => {}
                    Err(error) => return Err(broken(error)),
                }
            }
            Ok(false)
        })
        .await
    }

    /// Runs `work` on a blocking thread when it is its turn. The turn ends with the work, not with the caller, who may
    /// have hung up.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        const BUSY: Fault = Fault::unavailable("too many passwords to check");
        let place = self.waiting.place().ok_or(BUSY)?;
        let turn = timeout(at_most(TURN_TIMEOUT), Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| BUSY)?
            .map_err(|_| Fault::internal("the password hasher is closed"))?;
        drop(place);
        let done = spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|error| Fault::new(FaultKind::Internal, "hashing a password", error))?
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::new(FaultKind::Internal, "hashing a password", error)
}

#[cfg(test)]
mod tests {
    use argon2::Params;
    use futures_util::{StreamExt, stream::FuturesUnordered};

    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_opens_its_hash() {
        let hasher = Hasher::new();
        let hash = hasher.hash("seven opossums".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("seven opossums".into(), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify("seven opossumS".into(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn a_password_opens_however_its_letters_are_composed_also_one_that_was_stored_before() {
        let hasher = Hasher::new();
        let (composed, apart) = ("zoë im café", "zoe\u{308} im cafe\u{301}");
        let hash = hasher.hash(apart.into()).await.unwrap();
        for password in [composed, apart, "zoë\u{A0}im\u{3000}café"] {
            assert!(hasher.verify(password.into(), Some(hash.clone())).await.unwrap());
        }
        let before = Argon2::default().hash_password(apart.as_bytes()).unwrap().to_string();
        assert!(hasher.verify(apart.into(), Some(before.clone())).await.unwrap());
        assert!(!hasher.verify("zoe im cafe".into(), Some(before)).await.unwrap());
    }

    #[tokio::test]
    async fn a_flood_is_refused_at_once_and_the_line_goes_on() {
        let hasher = Hasher::with_turns(1);
        let busy = Arc::clone(&hasher.turns).acquire_owned().await.unwrap();
        let flood = (0..WAITING_MAX + 5).map(|_| hasher.verify("seven opossums".into(), None));
        let mut flood: FuturesUnordered<_> = flood.collect();
        for _ in 0..5 {
            let refused = flood.next().await.unwrap().unwrap_err();
            assert_eq!(refused.kind(), FaultKind::Unavailable);
        }
        assert_eq!(hasher.waiting.now.load(Relaxed), WAITING_MAX);
        drop(flood);
        assert_eq!(hasher.waiting.now.load(Relaxed), 0);
        drop(busy);
        assert!(!hasher.verify("seven opossums".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_no_password_but_costs_the_same() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(Params::try_from(&nobody).unwrap().m_cost(), Params::DEFAULT.m_cost());
        assert_eq!(Params::try_from(&nobody).unwrap().t_cost(), Params::DEFAULT.t_cost());
        assert_eq!(Params::try_from(&nobody).unwrap().p_cost(), Params::DEFAULT.p_cost());
        assert_eq!(nobody.hash.map(|hash| hash.len()), Some(Params::DEFAULT_OUTPUT_LEN));
        assert!(!Hasher::new().verify("seven opossums".into(), None).await.unwrap());
    }
}
