//! How often one address and one person may ask, in all and for what is dear or contested.
//!
//! Each instance counts by itself: an instance more serves more, and lets a person ask more. What has to be counted for all
//! instances together, wrong passwords and lapsed holds, is counted where it is decided.

use std::net::IpAddr;

use super::{document::Work, error::Refusal};
use crate::{
    api::Caller,
    app::RateArgs,
    kernel::{PersonId, RequestCode},
    rates::{Rate, Rates, Wait},
    telemetry::{LimitLabels, Metrics},
};

/// So many seconds' requests may come at once.
const BURST_SECONDS: u32 = 10;

/// How often; `None` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateSettings {
    /// Requests of an address.
    pub address: Option<Rate>,
    /// Requests of a person.
    pub person: Option<Rate>,
    /// Entering, holding and paying of a person, each by itself.
    pub orders: Option<Rate>,
    /// Log-ins from an address.
    pub log_ins: Option<Rate>,
    /// Accounts made from an address.
    pub sign_ups: Option<Rate>,
}

impl RateSettings {
    /// What the operator set.
    pub(super) fn of(rates: &RateArgs) -> Self {
        let per_second = |times: u32| Rate::per_second(times, times.saturating_mul(BURST_SECONDS));
        Self {
            address: per_second(rates.requests_per_address),
            person: per_second(rates.requests_per_person),
            orders: Rate::per_minute(rates.orders_per_person, rates.orders_per_person / 2),
            log_ins: Rate::per_minute(rates.log_ins_per_address, rates.log_ins_per_address),
            sign_ups: Rate::per_minute(rates.sign_ups_per_address, rates.sign_ups_per_address),
        }
    }
}

/// Counts what addresses and people do.
#[derive(Debug)]
pub(super) struct RateLimits {
    address: Rates<IpAddr>,
    person: Rates<PersonId>,
    enter: Rates<PersonId>,
    hold: Rates<PersonId>,
    pay: Rates<PersonId>,
    log_in: Rates<IpAddr>,
    sign_up: Rates<IpAddr>,
    metrics: Metrics,
}

impl RateLimits {
    /// Nobody has asked yet.
    pub(super) fn new(settings: RateSettings, metrics: &Metrics) -> Self {
        let RateSettings { address, person, orders, log_ins, sign_ups } = settings;
        Self {
            address: Rates::new(address),
            person: Rates::new(person),
            enter: Rates::new(orders),
            hold: Rates::new(orders),
            pay: Rates::new(orders),
            log_in: Rates::new(log_ins),
            sign_up: Rates::new(sign_ups),
            metrics: metrics.clone(),
        }
    }

    /// Counts a request of an address, whatever it asks for. An address that is not known has no limit.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub(super) fn request(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let text = "Too many requests come from your network. Wait a moment, then try again.";
        self.take(&self.address, address, "address", text)
    }

    /// Counts an operation, when it is known who asks, and for what.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub(super) fn operation(
        &self,
        address: Option<IpAddr>,
        caller: Caller,
        work: Work,
    ) -> Result<(), Refusal> {
        let person = caller.0.map(|actor| actor.person_id);
        let text = "You have sent too many requests in a short time. Wait, then send this again.";
        // What ends something makes room for others: nobody has to wait with that.
        if work != Work::Ending {
            self.take(&self.person, person, "person", text)?;
        }
        match work {
            Work::Enter => {
                let text = "You have entered queues too often in a short time. Your places are kept; wait, then enter again.";
                self.take(&self.enter, person, "enter", text)
            }
            Work::Hold => {
                let text = "You have asked for seats too often in a short time. What you hold is kept; wait, then choose again.";
                self.take(&self.hold, person, "hold", text)
            }
            Work::Pay => {
                let text = "You have paid or charged too often in a short time. Nothing was done; wait, then send the same again.";
                self.take(&self.pay, person, "pay", text)
            }
            Work::LogIn => {
                let text = "Too many log-ins come from your network. Wait, then try again.";
                self.take(&self.log_in, address, "log_in", text)
            }
            Work::SignUp => {
                let text = "Too many accounts are made from your network. Wait, then try again.";
                self.take(&self.sign_up, address, "sign_up", text)
            }
            Work::Ending | Work::Usual => Ok(()),
        }
    }

    fn take<K: std::hash::Hash + Eq + Clone>(
        &self,
        rates: &Rates<K>,
        key: Option<K>,
        limit: &'static str,
        text: &'static str,
    ) -> Result<(), Refusal> {
        let taken = key.map_or(Ok(()), |key| rates.take(&key));
        taken.map_err(|wait| self.refusal(limit, text, wait))
    }

    fn refusal(&self, limit: &'static str, text: &'static str, wait: Wait) -> Refusal {
        self.metrics.rate_limited.get_or_create(&LimitLabels { limit }).inc();
        Refusal::new(RequestCode::RateLimited, text).retry_after(wait.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Actor, Role, Timestamp};

    fn somebody() -> Caller {
        let expires_at = Timestamp::from(std::time::SystemTime::now());
        Caller(Some(Actor {
            person_id: PersonId::new(),
            role: Role::Fan,
            session_id: None,
            expires_at,
        }))
    }

    fn limits(settings: RateSettings) -> RateLimits {
        RateLimits::new(settings, &Metrics::new())
    }

    #[test]
    fn entering_holding_and_paying_are_counted_apart() {
        let orders = Rate::per_minute(1, 2);
        let limits = limits(RateSettings { orders, ..RateSettings::default() });
        let (one, other) = (somebody(), somebody());
        for work in [Work::Enter, Work::Hold, Work::Pay] {
            let ask = |caller| limits.operation(None, caller, work).map_err(|refused| refused.code);
            assert_eq!([ask(one), ask(one)], [Ok(()); 2], "{work:?}");
            assert_eq!(ask(one), Err(RequestCode::RateLimited), "{work:?}");
            assert_eq!(ask(other), Ok(()), "{work:?}");
        }
        assert!((0..100).all(|_| limits.operation(None, one, Work::Ending).is_ok()));
        let label = |limit| LimitLabels { limit };
        let told = ["enter", "hold", "pay", "person"]
            .map(|limit| limits.metrics.rate_limited.get_or_create(&label(limit)).get());
        assert_eq!(told, [1, 1, 1, 0]);
    }

    #[test]
    fn nobody_has_to_wait_with_giving_back() {
        let person = Rate::per_minute(1, 1);
        let limits = limits(RateSettings { person, ..RateSettings::default() });
        let one = somebody();
        assert!(limits.operation(None, one, Work::Usual).is_ok());
        assert!(limits.operation(None, one, Work::Usual).is_err());
        assert!(limits.operation(None, one, Work::Ending).is_ok());
        // Who is nobody yet is counted by address alone.
        assert!((0..10).all(|_| limits.operation(None, Caller(None), Work::Usual).is_ok()));
    }

    #[test]
    fn an_address_that_is_not_known_has_no_limit() {
        let rate = Rate::per_minute(1, 1);
        let settings = RateSettings { address: rate, log_ins: rate, ..RateSettings::default() };
        let limits = limits(settings);
        let address = "192.0.2.1".parse().ok();
        assert!((0..10).all(|_| limits.request(None).is_ok()));
        assert!(limits.request(address).is_ok() && limits.request(address).is_err());
        let log_in = |from| limits.operation(from, Caller(None), Work::LogIn);
        assert!((0..10).all(|_| log_in(None).is_ok()));
        assert!(log_in(address).is_ok() && log_in(address).is_err());
    }
}
