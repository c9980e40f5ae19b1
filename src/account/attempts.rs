//! Wrong passwords: how many are answered, for one account and from one address.
//!
//! Those for one account are counted in Redis, for all instances together: with every instance that is added an attacker would
//! have more tries. While Redis is away each instance counts by itself, and more strictly. Those from one address, for whatever
//! accounts, each instance counts by itself: they cost its own time.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    kernel::{Fault, TooOften},
    kv::{Kv, Script},
    rates::{Rate, Rates, Wait},
    telemetry::{LimitLabels, Metrics},
};

/// One more wrong password a minute is answered for one account, after the first ones.
const PER_MINUTE: u32 = 1;
/// For one account from all addresses together, as many times as from one.
const FROM_EVERYWHERE: u32 = 5;
/// While Redis is away an instance answers one wrong password in so many.
const ALONE: u32 = 3;

/// How many wrong passwords are answered; 0 for as many as are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptSettings {
    /// For one account, from one address, at once.
    pub per_account: u32,
    /// From one address, for whatever accounts, a minute.
    pub per_address: u32,
}

/// Counts attempts to log in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Attempts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kv: Kv,
    metrics: Metrics,
    script: Script,
    /// For an account from one address, and from everywhere; `None` when they are not counted.
    shared: Option<[Rate; 2]>,
    alone: Rates<u64>,
    hasher: RandomState,
    addresses: Rates<IpAddr>,
}

/// An attempt that was counted, until it is known whether the password was right.
#[derive(Debug)]
pub(super) struct Attempt {
    inner: Arc<Inner>,
    address: Option<IpAddr>,
    account: Account,
    /// It was counted by this instance alone.
    alone: bool,
}

/// The account that somebody wants to get into, whether there is one or not.
#[derive(Debug, Clone)]
struct Account {
    /// Of it from this address, and of it from everywhere.
    keys: [String; 2],
    alone: u64,
}

impl Attempts {
    /// Nobody has tried anything yet.
    pub fn new(kv: Kv, metrics: Metrics, settings: AttemptSettings) -> Self {
        let AttemptSettings { per_account, per_address } = settings;
        let everywhere = per_account.saturating_mul(FROM_EVERYWHERE);
        let rate = |burst| Rate::per_minute(PER_MINUTE, burst).filter(|_| per_account > 0);
        let alone = rate(per_account / ALONE);
        Self(Arc::new(Inner {
            kv,
            metrics,
            script: Script::new("attempts.lua", include_str!("attempts.lua")),
            shared: rate(per_account).zip(rate(everywhere)).map(|(one, all)| [one, all]),
            alone: Rates::new(alone),
            hasher: RandomState::new(),
            addresses: Rates::new(Rate::per_minute(per_address, per_address)),
        }))
    }

    /// Counts an attempt to get into an account, from an address, where that is known. The account is named by its person, or by the
    /// e-mail address that somebody tried and nobody has. It is given back when the
    /// password turns out to be right.
    ///
    /// # Errors
    /// When there were too many, and nothing may be looked at: not even whether this one is right.
    pub(super) async fn begin(
        &self,
        account: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, Fault> {
        let inner = &self.0;
        if let Some(address) = address
            && let Err(wait) = inner.addresses.take(&address)
        {
            return Err(inner.refused("wrong_passwords_address", wait));
        }
        let account = inner.account(account, address);
        let (counted, alone) = match inner.count(&account, 1).await {
            Ok(counted) => (counted, false),
            Err(fault) => {
                tracing::debug!(fault = %fault.report(), "wrong passwords are counted by this instance alone");
                (inner.alone.take(&account.alone), true)
            }
        };
        let attempt = Attempt { inner: inner.clone(), address, account, alone };
        match counted {
            Ok(()) => Ok(attempt),
            Err(wait) => {
                attempt.forgive_address();
                Err(inner.refused("wrong_passwords_account", wait))
            }
        }
    }
}

impl Attempt {
    /// The password was right, or was not looked at: the attempt counts no more.
    pub(super) async fn forgive(self) {
        self.forgive_address();
        if self.alone {
            self.inner.alone.give_back(&self.account.alone);
        } else if let Err(fault) = self.inner.count(&self.account, -1).await {
            // It counts for a while as if it had been wrong.
            tracing::debug!(fault = %fault.report(), "an attempt to log in could not be given back");
        }
    }

    fn forgive_address(&self) {
        if let Some(address) = &self.address {
            self.inner.addresses.give_back(address);
        }
    }
}

impl Inner {
    /// Counts attempts in Redis.
    ///
    /// # Errors
    /// When Redis is away; what it said else.
    async fn count(&self, account: &Account, attempts: i64) -> Result<Result<(), Wait>, Fault> {
        let Some(rates) = self.shared else { return Ok(Ok(())) };
        let mut call = self.script.on(account.keys.clone());
        call.arg(attempts);
        for rate in rates {
            let period = u64::try_from(rate.period().as_millis()).unwrap_or(u64::MAX);
            call.arg(period).arg(rate.burst());
        }
        let wait: u64 = self.kv.script(&call).await?;
        Ok(if wait == 0 { Ok(()) } else { Err(Wait::new(Duration::from_millis(wait))) })
    }

    /// Names an account in Redis by a digest: which accounts and addresses there are is nobody's business there.
    fn account(&self, account: &str, address: Option<IpAddr>) -> Account {
        let digest = |text: &str| {
            let digest = Sha256::digest(text.as_bytes());
            digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let from = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        let place = format!("wrong:{{{}}}", digest(account));
        let keys = [format!("{place}:{}", digest(&from)), format!("{place}:all")];
        let keys = keys.map(|key| self.kv.name(&key));
        Account { keys, alone: self.hasher.hash_one((account, address)) }
    }

    fn refused(&self, limit: &'static str, wait: Wait) -> Fault {
        self.metrics.rate_limited.get_or_create(&LimitLabels { limit }).inc();
        Fault::too_often(TooOften::WrongPasswords, wait.seconds())
    }
}
