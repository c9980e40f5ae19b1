//! What DATABASE_URL may look like, and the servers that it names.

use std::{fmt, str::FromStr};

use sea_orm::sqlx::postgres::PgConnectOptions;

use crate::kernel::{Address, AddressFault};

const SCHEMES: &[&str] = &["postgres", "postgresql"];
/// What sqlx reads. It logs what it does not know with its value, so nothing else is let through to it.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];
/// What kind of servers a client of Postgres's own looks for among several. Here it is always the one that takes writes.
const ATTRIBUTES: &str = "target_session_attrs";
/// Servers at most: a primary and its standbys, each of which may be asked for every connection after a failover.
const SERVERS_MAX: usize = 8;

/// The servers of an address: one, or a primary and those that may take its place. It is shown without any part of it.
#[derive(Clone)]
pub struct DatabaseAddress {
    /// The address of each by itself.
    servers: Vec<String>,
}

impl DatabaseAddress {
    /// Reads the address of a database; nothing is reached. A line end behind it is no part of it: files have one.
    ///
    /// # Errors
    /// Which part of it cannot be used.
    pub fn parse(url: &str) -> Result<Self, AddressFault> {
        let url = url.trim_end_matches(['\r', '\n']);
        let (scheme, rest) = url.split_once("://").ok_or(AddressFault::Scheme)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = match place.find('/') {
            Some(at) => place.split_at(at),
            None => (place, ""),
        };
        let (user, servers) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let query = without_attributes(query)?;
        let each =
            servers.split(',').map(|server| format!("{scheme}://{user}{server}{database}{query}"));
        let servers: Vec<String> = each.collect();
        if servers.len() > SERVERS_MAX {
            return Err(AddressFault::ManyHosts);
        }
        for server in &servers {
            let address = read(server)?;
            if servers.len() > 1 && address.host().is_empty() {
                return Err(AddressFault::HostMissing);
            }
        }
        Ok(Self { servers })
    }

    /// Where it leads, without user and password; `None` where that might repeat one of them.
    pub fn place(&self) -> Option<String> {
        let places: Option<Vec<String>> =
            self.servers.iter().map(|server| read(server).ok()?.place()).collect();
        places.map(|places| places.join(", "))
    }

    /// How each server is connected to; `None` when a parameter cannot be used.
    pub(super) fn options(&self) -> Option<Vec<PgConnectOptions>> {
        self.servers.iter().map(|server| options(server)).collect()
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseAddress").field(&self.place()).finish()
    }
}

fn read(server: &str) -> Result<Address<'_>, AddressFault> {
    Address::parse(server, SCHEMES, PARAMETERS)
}

/// The parameters that are sqlx's, with their `?`.
fn without_attributes(query: &str) -> Result<String, AddressFault> {
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let several = value.contains(',') || value.to_ascii_lowercase().contains("%2c");
        match name {
            ATTRIBUTES if ["read-write", "primary"].contains(&value) => {}
            ATTRIBUTES => return Err(AddressFault::Standbys),
            "host" | "hostaddr" | "port" if several => return Err(AddressFault::HostsInParameter),
            _ => kept.push(pair),
        }
    }
    Ok(if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) })
}

/// sqlx reads no address without a host, and connects to none that stands in brackets.
fn options(server: &str) -> Option<PgConnectOptions> {
    let host = read(server).ok()?.host();
    if host.is_empty() {
        let (scheme, rest) = server.split_once("://")?;
        let place = rest.find(['/', '?']).unwrap_or(rest.len());
        let (user, rest) = rest.split_at(place);
        return PgConnectOptions::from_str(&format!("{scheme}://{user}localhost{rest}")).ok();
    }
    let options = PgConnectOptions::from_str(server).ok()?;
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // A host among the parameters comes after the one before the database, and stays.
        Some(inside) if options.get_host() == host => Some(options.host(inside)),
        _ => Some(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Host, socket and port of each server.
    fn servers(url: &str) -> Vec<(String, Option<String>, u16)> {
        let options = DatabaseAddress::parse(url).unwrap().options().unwrap();
        let told = |it: &PgConnectOptions| {
            let socket = it.get_socket().map(|path| path.display().to_string());
            (it.get_host().to_owned(), socket, it.get_port())
        };
        options.iter().map(told).collect()
    }

    #[test]
    fn a_server_is_found_however_its_place_is_written() {
        let tcp = |host: &str, port| (host.to_owned(), None, port);
        for (url, expected) in [
            ("postgres://u:p@db/fr", vec![tcp("db", 5432)]),
            ("postgres://u:p@db:6000/fr\n", vec![tcp("db", 6000)]),
            ("postgres://u:p@db/fr\r\n", vec![tcp("db", 5432)]),
            ("postgres://u:p@[::1]:6000/fr", vec![tcp("::1", 6000)]),
            ("postgres://u:p@[fe80::1]/fr?sslmode=disable", vec![tcp("fe80::1", 5432)]),
            (
                "postgres://u:p@a,b:6000,[::1]/fr?target_session_attrs=read-write&sslmode=disable",
                vec![tcp("a", 5432), tcp("b", 6000), tcp("::1", 5432)],
            ),
            ("postgres://u:p@a,b/fr", vec![tcp("a", 5432), tcp("b", 5432)]),
            ("postgres://u:p@db/fr?target_session_attrs=primary", vec![tcp("db", 5432)]),
        ] {
            assert_eq!(servers(url), expected, "{url}");
        }
        for url in [
            "postgres://u:p@/fr?host=/var/run/postgresql&port=6000",
            "postgres://u:p@localhost/fr?host=%2Fvar%2Frun%2Fpostgresql&port=6000",
            "postgres://u:p@%2Fvar%2Frun%2Fpostgresql:6000/fr",
            "postgres:///fr?host=/var/run/postgresql&port=6000",
        ] {
            let [(_, socket, port)] = &servers(url)[..] else { panic!("{url}") };
            assert_eq!((socket.as_deref(), *port), (Some("/var/run/postgresql"), 6000), "{url}");
        }
        // User, password and database are every server's.
        let options =
            DatabaseAddress::parse("postgres://u:p%40@a,b/fr").unwrap().options().unwrap();
        assert!(
            options.iter().all(|it| it.get_username() == "u" && it.get_database() == Some("fr"))
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_to_do() {
        use AddressFault as Fault;
        for (url, fault) in [
            ("postgres://u:p@a,/fr", Fault::HostMissing),
            ("postgres://u:p@a,,b/fr", Fault::HostMissing),
            ("postgres://u:p@a,b:x/fr", Fault::Port),
            ("postgres://u:p@a,b$/fr", Fault::Host),
            ("postgres://u:p@a,b,c,d,e,f,g,h,i/fr", Fault::ManyHosts),
            ("postgres://u:p@/fr?host=a,b", Fault::HostsInParameter),
            ("postgres://u:p@a/fr?port=1%2C2", Fault::HostsInParameter),
            ("postgres://u:p@a,b/fr?target_session_attrs=any", Fault::Standbys),
            ("postgres://u:p@a,b/fr?target_session_attrs=prefer-standby", Fault::Standbys),
            ("postgres://u:p@a,b/fr?target_session_attrs", Fault::Standbys),
            ("postgres://u:p@a\n/fr", Fault::Blank),
            ("postgres://u:p@/fr", Fault::HostMissing),
            ("", Fault::Scheme),
        ] {
            assert_eq!(DatabaseAddress::parse(url).map(drop), Err(fault), "{url:?}");
        }
    }

    #[test]
    fn places_are_told_without_user_and_password() {
        let place = |url| DatabaseAddress::parse(url).unwrap().place();
        assert_eq!(place("postgres://u:S3cr3t@a,b:6000/fr").as_deref(), Some("a/fr, b:6000/fr"));
        assert_eq!(place("postgres://u:p@[::1]:6000/fr\n").as_deref(), Some("[::1]:6000/fr"));
        assert_eq!(place("postgres://S3cr3t@a,b/fr"), None);
        assert_eq!(place("postgres://u:p@/fr?host=/tmp"), None);
        let shown = format!("{:?}", DatabaseAddress::parse("postgres://u:S3cr3t@a/fr").unwrap());
        assert_eq!(shown, "DatabaseAddress(Some(\"a/fr\"))");
    }
}
