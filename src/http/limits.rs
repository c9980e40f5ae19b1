//! Everything that one client, one address, one person and all of them together may cost at the edge, in times and counts: one
//! struct, made once. Sizes stand beside the code that keeps to them. docs/limits.md says the same to operators.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::rate_limits::RateSettings;
use crate::app::{Networks, Settings};

/// Each connection costs some 20 kB while it is kept alive, and the server has other things to remember.
const CONNECTIONS_MAX: u64 = 100_000;
/// Open files that are no connections: Postgres, Redis, and what the runtime needs.
const FILES_RESERVED: u64 = 512;

/// Requests that are answered at the same time, for each core; most of them wait for a commit that they share.
const AT_ONCE_PER_CORE: usize = 256;
/// On one core, so that a crowd that enters at one instant finds room.
const AT_ONCE_LEAST: usize = 512;

/// The limits of the edge.
#[derive(Debug, Clone)]
pub struct Limits {
    // Of connections.
    /// How long a new connection may stay silent.
    pub first_byte: Duration,
    /// How long a request's head may take, from its first byte on.
    pub head: Duration,
    /// How long a connection may stay open without a request. nginx and cloud balancers keep theirs for a minute: the side
    /// that hangs up first has to be the client, or a request crosses with our goodbye.
    pub idle: Duration,
    /// How long a connection without a request is kept when the server stops. What comes on it meanwhile is answered, with the
    /// word that it is the last. A proxy's idle connections have to end before, by the proxy's doing: less than this after
    /// their last answer. One that is closed while a request is on its way costs that request, and proxies do not send a POST
    /// again.
    pub goodbye: Duration,
    /// While something waits to be sent, `WRITTEN_BYTES_MIN` have to go out in this time, again and again. The system passes
    /// on up to 64 KiB at a time, so shorter times would cut off readers who are only slow.
    pub write: Duration,
    /// Open connections in all.
    pub connections: usize,
    /// Open connections from one address, or from one network of 64 bits with IPv6.
    pub connections_per_address: usize,
    /// Peers that no limit per address is for, because they speak for many.
    pub trusted: Networks,
    /// Bytes of answers that wait to be sent, in all.
    pub waiting_bytes: usize,
    /// Bytes of answers that wait to be sent to one address.
    pub waiting_bytes_per_address: usize,

    // Of requests.
    /// Whether anybody may ask for the schema.
    pub introspection: bool,
    /// How long a client may take to send a request's body, or a WebSocket's message.
    pub body: Duration,
    /// How long a request may take. A query is broken off; a mutation runs to its end, and nothing in it waits any longer.
    pub request: Duration,
    /// How long an operation may take without a word in the log; none is slow without.
    pub slow: Option<Duration>,
    /// How often an address and a person may ask.
    pub rates: RateSettings,
    /// How long a request waits while no other of the same person is answered.
    pub patience: Duration,
    /// Requests that are answered at the same time.
    pub at_once: usize,
    /// Requests besides that pay, give back or end something.
    pub vital_at_once: usize,
    /// Nobody waits for longer in a line of all requests in which nobody was served meanwhile, or that is older than `crowd`.
    pub line: Duration,
    /// A crowd that came at one instant is served within this time. A line that is older is one that does not end.
    pub crowd: Duration,

    // Of WebSockets, and of event streams beside them.
    /// Of one address, of one person, both kinds together; 0 for as many as come.
    pub sockets_per_address: usize,
    pub sockets_per_person: usize,
    /// How long one lives; a quarter less at most.
    pub socket_age: Duration,
    /// How long a WebSocket may stay without `connection_init`.
    pub init: Duration,
    /// How often a WebSocket is pinged, and an event stream says that it is there.
    pub ping: Duration,
    /// How long a WebSocket's peer may be silent, pongs included, and how long TCP may wait for word from any peer.
    pub silence: Duration,
    /// How long a WebSocket's peer may take to read one message.
    pub send: Duration,
    /// How long before its session ends a WebSocket's client is told, at most; of short sessions their last third.
    pub warning: Duration,
    /// Frames that one client may send over one WebSocket in a minute.
    pub frames_per_minute: u32,
    /// Subscriptions that may run on one WebSocket at once.
    pub subscriptions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            goodbye: Duration::from_secs(3),
            write: Duration::from_secs(20),
            connections: connections(),
            connections_per_address: 2_000,
            trusted: Networks::default(),
            waiting_bytes: 128 * 1024 * 1024,
            waiting_bytes_per_address: 32 * 1024 * 1024,
            introspection: true,
            body: Duration::from_secs(10),
            request: Duration::from_secs(5),
            slow: Some(Duration::from_secs(1)),
            rates: RateSettings::default(),
            patience: Duration::from_millis(200),
            at_once: at_once(),
            vital_at_once: 128,
            line: Duration::from_millis(150),
            crowd: Duration::from_secs(1),
            sockets_per_address: 2_000,
            sockets_per_person: 20,
            socket_age: Duration::from_secs(6 * 3600),
            init: Duration::from_secs(3),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(45),
            send: Duration::from_secs(20),
            warning: Duration::from_secs(60),
            frames_per_minute: 300,
            subscriptions: 10,
        }
    }
}

impl Limits {
    /// The limits that an operator set, and the usual ones besides.
    pub fn of(settings: &Settings) -> Self {
        let limits = Self::default();
        let count = |set: Option<u32>| set.and_then(|count| usize::try_from(count).ok());
        let share = |time: Duration| time * settings.connection_time_percent / 100;
        Self {
            first_byte: share(limits.first_byte),
            head: share(limits.head),
            idle: share(limits.idle),
            goodbye: share(limits.goodbye),
            write: share(limits.write),
            body: share(limits.body),
            connections: count(settings.connections).unwrap_or(limits.connections),
            connections_per_address: count(Some(settings.connections_per_address))
                .unwrap_or(usize::MAX),
            trusted: settings.trusted_proxies.clone(),
            introspection: settings.introspection,
            request: Duration::from_millis(settings.request_ms),
            slow: settings.slow(),
            rates: RateSettings::of(&settings.rates),
            patience: settings.database.patience() / 5,
            at_once: count(settings.rates.requests_at_once).unwrap_or(limits.at_once),
            sockets_per_address: settings.sockets.sockets_per_address,
            sockets_per_person: settings.sockets.sockets_per_person,
            socket_age: Duration::from_secs(settings.sockets.socket_seconds),
            subscriptions: settings.sockets.subscriptions_per_socket,
            ..limits
        }
    }
}

/// As many connections as open files are allowed for, less those that are needed for other things.
fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(room(files)).unwrap_or(usize::MAX)
}

fn room(files: u64) -> u64 {
    files.saturating_sub(FILES_RESERVED).max(files / 2).clamp(1, CONNECTIONS_MAX)
}

/// As many requests at the same time as the cores have a use for.
fn at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_mul(AT_ONCE_PER_CORE).max(AT_ONCE_LEAST)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn tests_wait_for_a_part_of_the_usual_times() {
        let line = "frontrow --database-url= --redis-url= --connection-time-percent=30 \
                    --jwt-secret=at-least-32-bytes-of-a-test-s-secret";
        let limits = Limits::of(&Line::parse_from(line.split_whitespace()).settings);
        let times = [limits.first_byte, limits.head, limits.idle, limits.write, limits.body];
        assert_eq!(times.map(|time| time.as_millis()), [3_000, 3_000, 22_500, 6_000, 3_000]);
    }

    #[test]
    fn connections_leave_files_for_other_things() {
        for (files, connections) in
            [(0, 1), (256, 128), (1_024, 512), (20_000, 19_488), (u64::MAX, CONNECTIONS_MAX)]
        {
            assert_eq!(room(files), connections, "{files}");
        }
    }
}
