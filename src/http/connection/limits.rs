//! What one connection, one address and all connections together may cost. docs/limits.md says the same to
//! operators.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::app::{Networks, Settings};

/// The longest head of a request, in bytes: the request line and all fields. What a browser with many cookies sends has half
/// of it. hyper reads heads into one buffer of this size, so it is also the most that a half-sent head keeps in memory.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Answers are handed to the socket in pieces of this many bytes, so that what waits is here and counted, not in hyper's
/// buffer.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// The system takes this many bytes that it cannot send yet. What a reader does not take waits with us, where it is counted,
/// and we hear soon of each bit that went out. By itself it would take megabytes, and tell us after a third of them.
pub(super) const UNSENT_BYTES: u32 = 16 * 1024;
/// This many bytes have to go out within [`Limits::write`].
pub(super) const WRITTEN_BYTES_MIN: usize = 16 * 1024;
/// Answers up to this size are not counted: the system takes them at once, and what a mutation has done is told in less.
pub(super) const UNCOUNTED_BYTES: usize = 16 * 1024;
/// How often connections are looked at. A limit of time is late by this at most.
pub(super) const SWEEP: Duration = Duration::from_millis(250);

/// Each connection costs some 20 kB while it is kept alive, and the server has other things to remember.
const CONNECTIONS_MAX: u64 = 100_000;
/// Open files that are no connections: Postgres, Redis, and what the runtime needs.
const FILES_RESERVED: u64 = 512;

/// The limits of connections.
#[derive(Debug, Clone)]
pub struct Limits {
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
        }
    }
}

impl Limits {
    /// The limits that an operator set, and the usual ones besides.
    pub fn of(settings: &Settings) -> Self {
        let limits = Self::default();
        let set = settings.connections.and_then(|connections| usize::try_from(connections).ok());
        let share = |time: Duration| time * settings.connection_time_percent / 100;
        Self {
            first_byte: share(limits.first_byte),
            head: share(limits.head),
            idle: share(limits.idle),
            goodbye: share(limits.goodbye),
            write: share(limits.write),
            connections: set.unwrap_or(limits.connections),
            connections_per_address: usize::try_from(settings.connections_per_address)
                .unwrap_or(usize::MAX),
            trusted: settings.trusted_proxies.clone(),
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
        let times = [limits.first_byte, limits.head, limits.idle, limits.write];
        assert_eq!(times.map(|time| time.as_millis()), [3_000, 3_000, 22_500, 6_000]);
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
