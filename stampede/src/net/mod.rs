//! The wire: where requests go, from which addresses they come, and how many files may be open.

pub mod http;
pub mod refusal;
pub mod socket;
pub mod stream;
mod tls;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stream::Stream;
use tls::Tls;
use tokio::{net::TcpSocket, time::timeout};

use crate::Result;

/// How long a connection may take to be made, with TLS where that is spoken.
const CONNECT: Duration = Duration::from_secs(10);

/// One instance of the server.
#[derive(Debug, Clone)]
pub struct Target {
    /// What stands in the `Host` header.
    pub host: String,
    pub path: String,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Target {
    /// Reads `http://host:port` or `https://host:port`, with or without a path. Certificates are believed of this system's
    /// authorities.
    ///
    /// # Errors
    /// What is wrong with it, in words; among that a machine other than this one, unless `remote` allows it.
    pub fn parse(url: &str, remote: bool) -> Result<Self> {
        Self::parse_trusting(url, remote, None)
    }

    /// The same, with the authorities of a file.
    ///
    /// # Errors
    /// As [`Target::parse`], or what is wrong with the file.
    pub fn parse_trusting(url: &str, remote: bool, ca: Option<&Path>) -> Result<Self> {
        let (rest, secure) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => {
                return Err(format!("{url}: write http://host:port, or https://host").into());
            }
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let path = if path == "/" { "/graphql" } else { path };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => (name, None),
            _ => (host, Some(if secure { 443 } else { 80 })),
        };
        let with_port = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut found = with_port.to_socket_addrs().map_err(|error| format!("{url}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("{url} has no address"))?;
        if !address.ip().is_loopback() && !remote {
            return Err(format!(
                "{url} is another machine. A stampede brings a server down that is not prepared for it; if this one is \
                 yours and may be brought down, say --allow-remote."
            )
            .into());
        }
        let tls = if secure { Some(Tls::new(name, ca)?) } else { None };
        Ok(Self { host: host.to_owned(), path: path.to_owned(), address, tls })
    }
}

/// Source addresses, taken in turn: each has its own range of ports, so that ports do not run out.
#[derive(Debug)]
pub struct Sources {
    count: u32,
    next: AtomicU32,
}

impl Sources {
    /// So many addresses from 127.0.0.2 on, for targets on this machine.
    pub const fn new(count: u32) -> Self {
        Self { count, next: AtomicU32::new(0) }
    }

    fn next(&self) -> Option<Ipv4Addr> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.count)?;
        Some(Ipv4Addr::from_bits(Ipv4Addr::new(127, 0, 0, 2).to_bits() + turn))
    }

    /// Connects, from the next source address if the target is on this machine and the system has such addresses.
    ///
    /// # Errors
    /// When no connection is made in time.
    pub async fn connect(&self, target: &Target) -> io::Result<Stream> {
        timeout(CONNECT, self.connect_for_ever(target))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn connect_for_ever(&self, target: &Target) -> io::Result<Stream> {
        let socket = match target.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if target.address.is_ipv4()
            && target.address.ip().is_loopback()
            && let Some(source) = self.next()
        {
            // macOS has 127.0.0.1 only; there the system chooses.
            match socket.bind(SocketAddr::new(IpAddr::V4(source), 0)) {
                Err(error) if error.kind() != io::ErrorKind::AddrNotAvailable => return Err(error),
                _ => {}
            }
        }
        let stream = socket.connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &target.tls {
            Some(tls) => Stream::Tls(Box::new(tls.over(stream).await?)),
            None => Stream::Plain(stream),
        })
    }
}

/// Sees to it that this many files may be open.
///
/// # Errors
/// When the system does not allow it, and what to type then.
pub fn allow_open_files(wanted: u64) -> Result<()> {
    let wanted = wanted.saturating_add(200);
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit { current: Some(wanted), maximum };
    let within = Rlimit { current: Some(wanted), maximum: now.maximum };
    if setrlimit(Resource::Nofile, within).is_ok() || setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(format!(
        "{wanted} files have to be open at once and {} are allowed. As root: `ulimit -n {wanted}` in the shell that \
         starts this; the server needs the same. Where not even root may, run several of these with a part of the \
         sessions each.",
        now.current.map_or_else(String::new, |current| current.to_string())
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_target_unless_allowed() {
        assert!(Target::parse("http://127.0.0.1:8000", false).is_ok());
        assert!(Target::parse("http://[::1]:8000", false).is_ok());
        let refused = Target::parse("http://192.0.2.1:8000", false).unwrap_err().to_string();
        assert!(refused.contains("--allow-remote"), "{refused}");
        assert!(Target::parse("http://192.0.2.1:8000", true).is_ok());
        for bad in ["ftp://127.0.0.1:8000", "127.0.0.1:8000", ""] {
            assert!(Target::parse(bad, true).unwrap_err().to_string().contains("http://"), "{bad}");
        }
    }

    #[test]
    fn an_address_without_a_port_has_that_of_its_scheme() {
        let ca = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ca.pem"));
        let address = |url| Target::parse_trusting(url, false, Some(ca)).unwrap().address;
        assert_eq!(address("http://127.0.0.1").port(), 80);
        assert_eq!(address("https://127.0.0.1/graphql").port(), 443);
        assert_eq!(address("https://[::1]").port(), 443);
        assert_eq!(address("https://127.0.0.1:8443").port(), 8443);
    }

    #[test]
    fn the_path_is_graphql_unless_given() {
        let path = |url| Target::parse(url, false).unwrap().path;
        assert_eq!(path("http://127.0.0.1:8000"), "/graphql");
        assert_eq!(path("http://127.0.0.1:8000/"), "/graphql");
        assert_eq!(path("http://127.0.0.1:8000/api"), "/api");
    }

    #[test]
    fn source_addresses_are_taken_in_turn() {
        let sources = Sources::new(2);
        let taken: Vec<_> = (0..3).map(|_| sources.next().unwrap().octets()[3]).collect();
        assert_eq!(taken, [2, 3, 2]);
        assert_eq!(Sources::new(0).next(), None);
    }
}
