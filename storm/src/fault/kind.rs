//! The kinds of faults: what each does, for how long, and what must hold meanwhile and after.

use std::time::Duration;

use clap::ValueEnum;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// SIGKILL for one instance.
    KillOne,
    /// SIGKILL for both instances at once.
    KillBoth,
    /// SIGSTOP for one instance.
    StopOne,
    /// SIGTERM and a new start, one instance after the other.
    Rolling,
    /// Every connection of the server ended by Postgres.
    BackendsKilled,
    /// Every connection of the server ended by Postgres, again every two seconds.
    ConnectionsCut,
    /// Postgres restarted as by `pg_ctl -m immediate`.
    PostgresImmediate,
    /// What one instance asks arrives at Postgres, the answers do not; then its connections are cut.
    RepliesSwallowed,
    /// No byte between one instance and Postgres, and no RST.
    SilenceOne,
    /// No byte between both instances and Postgres, and no RST.
    SilenceBoth,
    /// Postgres refuses one instance, whose connections were cut.
    PostgresAway,
    /// Every byte between both instances and Postgres comes 30 ms later.
    PostgresSlow,
    /// No room is left on the disk of Postgres.
    DiskFull,
    /// Somebody else has all connections that Postgres gives away.
    ConnectionsHogged,
    /// One wallet's row locked from outside, and 40 requests for it.
    WalletLocked,
    /// SIGKILL for Redis, which comes back empty.
    RedisKilled,
    /// FLUSHALL.
    RedisWiped,
    /// SIGSTOP for Redis.
    RedisStopped,
    /// Redis refuses both instances, whose connections were cut.
    RedisAway,
    /// Redis has no memory left, and evicts nothing.
    RedisFull,
    /// Redis ends the subscribers' connections, again and again.
    PubsubKilled,
    /// SCRIPT FLUSH, again and again.
    ScriptsFlushed,
}

/// Who must be able to buy while a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// Nobody; what was acknowledged stays true.
    Nobody,
    /// Those who ask the instance that has nothing to do with it.
    ElsewhereOnly,
    /// Everybody, at both instances.
    Everybody,
}

/// What a kind is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sheet {
    pub(crate) lasts: Duration,
    /// From the end of the fault until both instances are ready and have sold something.
    pub(crate) recovers: Duration,
    pub(crate) meanwhile: Meanwhile,
}

/// A lost or silent network has to be made good so soon after it is back.
const SOON: Duration = Duration::from_secs(5);
/// Processes that start again, and people who come back, may take longer.
const LATER: Duration = Duration::from_secs(10);

impl Kind {
    /// All of them, in the order of the table.
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// As on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// In a sentence.
    pub(crate) fn tells(self) -> String {
        let help =
            self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// Whether it befalls one instance, which the scheduler chooses.
    pub(crate) const fn chooses_one(self) -> bool {
        matches!(
            self,
            Self::KillOne
                | Self::StopOne
                | Self::RepliesSwallowed
                | Self::SilenceOne
                | Self::PostgresAway
        )
    }

    /// How long it lasts, and what must hold.
    pub(crate) const fn sheet(self) -> Sheet {
        use Meanwhile::{ElsewhereOnly, Everybody, Nobody};
        let (seconds, recovers, meanwhile) = match self {
            Self::KillOne => (2, LATER, ElsewhereOnly),
            Self::KillBoth => (2, LATER, Nobody),
            Self::StopOne => (6, LATER, ElsewhereOnly),
            // It takes as long as it takes.
            Self::Rolling => (0, LATER, Nobody),
            Self::BackendsKilled | Self::PostgresImmediate => (0, SOON, Nobody),
            Self::ConnectionsCut => (30, SOON, Everybody),
            Self::RepliesSwallowed => (2, SOON, ElsewhereOnly),
            Self::SilenceOne => (12, SOON, ElsewhereOnly),
            Self::SilenceBoth => (12, SOON, Nobody),
            Self::PostgresAway => (5, SOON, ElsewhereOnly),
            Self::PostgresSlow => (5, SOON, Everybody),
            Self::DiskFull => (8, LATER, Nobody),
            Self::ConnectionsHogged => (6, LATER, Nobody),
            Self::WalletLocked => (8, SOON, Everybody),
            Self::RedisKilled => (2, LATER, Everybody),
            Self::RedisStopped | Self::RedisAway | Self::RedisFull => (6, LATER, Everybody),
            Self::RedisWiped => (0, LATER, Everybody),
            Self::PubsubKilled | Self::ScriptsFlushed => (3, LATER, Everybody),
        };
        Sheet { lasts: Duration::from_secs(seconds), recovers, meanwhile }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_sentence() {
        for kind in Kind::all() {
            assert!(!kind.name().is_empty() && kind.tells().len() > 5, "{kind:?}");
        }
        assert_eq!(Kind::PubsubKilled.name(), "pubsub-killed");
    }

    #[test]
    fn where_one_instance_is_hit_the_other_one_sells() {
        for kind in Kind::all() {
            let elsewhere = kind.sheet().meanwhile == Meanwhile::ElsewhereOnly;
            assert_eq!(kind.chooses_one(), elsewhere, "{kind:?}");
        }
    }
}
