//! How long statements and their answers may take, by kind of work, and how a connection is told.

use std::time::Duration;

/// How long statements may take on the server, and how long their answers may take.
pub(super) struct Pace {
    /// No statement runs longer than this.
    pub(super) statement: &'static str,
    /// No statement waits longer for somebody else's lock.
    pub(super) lock: &'static str,
    /// No answer is waited for any longer. Both of the server's limits end before.
    pub(super) answer: Duration,
}

/// Of requests, whose deadline ([`deadline`](crate::turns::deadline)) may be nearer: 5 seconds for all that one of them
/// does.
pub(super) const REQUESTS: Pace =
    Pace { statement: "3500ms", lock: "2s", answer: Duration::from_secs(4) };
/// Of what runs by itself. A lost connection keeps a round waiting for this long at most.
pub(super) const BACKGROUND: Pace =
    Pace { statement: "4500ms", lock: "2s", answer: Duration::from_secs(5) };
/// Of commands, which read and write more than any request.
pub(super) const COMMANDS: Pace =
    Pace { statement: "60s", lock: "30s", answer: Duration::from_secs(65) };

/// A process that stops in the middle of a transaction loses it after this time, so that its locks are free again.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "5s";

impl Pace {
    /// What is set on a new connection, as statements. Settings that come with the start of a connection are refused by PgBouncer, and
    /// ignored by some that ignore what they do not know.
    pub(super) fn settings(&self) -> String {
        let settings = [
            ("statement_timeout", self.statement),
            ("lock_timeout", self.lock),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            // An on-sale fills empty tables within seconds. A plan made while they were empty reads whole tables, and is kept
            // until somebody analyses them. Every statement of a request has its index.
            ("enable_seqscan", "off"),
            // The server's side of a connection that the network has lost: it ends, and with it what it has locked.
            ("client_connection_check_interval", "2s"),
            ("tcp_user_timeout", "10s"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "3"),
            ("tcp_keepalives_count", "3"),
        ];
        settings.iter().map(|(name, value)| format!("SET {name} = '{value}'; ")).collect()
    }
}
