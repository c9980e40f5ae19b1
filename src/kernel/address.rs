//! Addresses of servers as operators write them: `scheme://user:password@host:port/database?parameters`.
//!
//! They are read here before any library does. A library repeats what it cannot read, and what cannot be read may be a
//! password: so nothing here is ever repeated but what surely is none.

use std::{fmt, net::IpAddr};

/// An address whose parts can be told from each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    host: &'a str,
    port: Option<u16>,
    database: &'a str,
    /// User and password were both found where they belong, so that nothing else can be one of them.
    credentials: bool,
}

/// Which part of an address cannot be used. It repeats nothing of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// A blank, a line break or a control character.
    Blank,
    /// Not one of the schemes that are known.
    Scheme,
    /// A `#`.
    Fragment,
    /// Signs of a password in what follows the host.
    Credentials,
    /// A user and no host.
    HostMissing,
    /// A host with characters that no host has.
    Host,
    /// Several hosts where one can be used.
    Hosts,
    /// More hosts than can be used.
    ManyHosts,
    /// Several hosts in a parameter.
    HostsInParameter,
    /// Servers are asked for that need not take writes.
    Standbys,
    /// Not a number from 1 to 65535.
    Port,
    /// A database with characters that have to be encoded.
    Database,
    /// A parameter that is not known.
    Parameter,
}

impl AddressFault {
    /// What is wrong, as the second half of a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Blank => "there is a blank or a line break in it",
            Self::Scheme => "it begins with something else",
            Self::Fragment => "there is a # in it",
            Self::Credentials => "user and password cannot be told from what follows them",
            Self::HostMissing => "it names a user and no host",
            Self::Host => "its host has characters that no host has",
            Self::Hosts => "it names several hosts, and one can be used",
            Self::ManyHosts => "it names more than eight hosts",
            Self::HostsInParameter => {
                "it names several hosts or ports in a parameter; they belong before the database, as host:port,host:port"
            }
            Self::Standbys => {
                "its target_session_attrs asks for servers that take no writes; leave it out, or write read-write"
            }
            Self::Port => "its port is no number from 1 to 65535",
            Self::Database => "its database has characters that have to be encoded",
            Self::Parameter => "it has a parameter that is not known",
        }
    }
}

impl<'a> Address<'a> {
    /// Reads an address of one of these schemes that has no other parameters than these.
    ///
    /// # Errors
    /// The first part that cannot be used.
    pub fn parse(
        text: &'a str,
        schemes: &[&str],
        parameters: &[&str],
    ) -> Result<Self, AddressFault> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(AddressFault::Blank);
        }
        let (scheme, rest) = text.split_once("://").ok_or(AddressFault::Scheme)?;
        if !schemes.contains(&scheme) {
            return Err(AddressFault::Scheme);
        }
        if rest.contains('#') {
            return Err(AddressFault::Fragment);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        // An unencoded slash or question mark ends a password early, and its rest comes to stand here.
        if database.contains('@') || query.contains('@') {
            return Err(AddressFault::Credentials);
        }
        let (host, port) = host_and_port(server)?;
        // A host may stand among the parameters, as that of a socket has to.
        let elsewhere = query.split('&').any(|pair| {
            let (name, host) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.contains(&name) && matches!(name, "host" | "hostaddr") && !host.is_empty()
        });
        if host.is_empty() && (port.is_some() || (user.is_some() && !elsewhere)) {
            return Err(AddressFault::HostMissing);
        }
        if database.contains(['/', ':', '\\', '"']) {
            return Err(AddressFault::Database);
        }
        let known = |pair: &str| {
            let name = pair.split('=').next().unwrap_or(pair);
            parameters.contains(&name)
        };
        if !query.split('&').filter(|pair| !pair.is_empty()).all(known) {
            return Err(AddressFault::Parameter);
        }
        let credentials = user.is_some_and(|user| user.contains(':'));
        Ok(Self { host, port, database, credentials })
    }

    /// The host as it is written, an IPv6 address in brackets; empty when there is none.
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// Where it leads, without user and password; `None` where that might repeat one of them: somebody who left a part
    /// out has another part in its place.
    pub fn place(&self) -> Option<String> {
        let plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte))
        };
        let here = self.host == "localhost"
            || self.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if self.host.is_empty() || !plain(self.host) || !(self.credentials || here) {
            return None;
        }
        let mut place = self.host.to_owned();
        if let Some(port) = self.port {
            place.push_str(&format!(":{port}"));
        }
        if self.credentials && !self.database.is_empty() && plain(self.database) {
            place.push_str(&format!("/{}", self.database));
        }
        Some(place)
    }
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.place()).finish()
    }
}

fn host_and_port(server: &str) -> Result<(&str, Option<u16>), AddressFault> {
    if server.contains(',') {
        return Err(AddressFault::Hosts);
    }
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, port)) => {
            inside.parse::<std::net::Ipv6Addr>().map_err(|_| AddressFault::Host)?;
            let host = server.get(..inside.len() + 2).ok_or(AddressFault::Host)?;
            (host, if port.is_empty() { None } else { port.strip_prefix(':').or(Some("")) })
        }
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    // A socket's path is written with %2F.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.%".contains(&byte);
    if !host.starts_with('[') && !host.bytes().all(fits) {
        return Err(AddressFault::Host);
    }
    let port = port.map(|port| match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|digit| digit.is_ascii_digit()) => Ok(number),
        _ => Err(AddressFault::Port),
    });
    Ok((host, port.transpose()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Address<'_>, AddressFault> {
        Address::parse(text, &["postgres", "postgresql"], &["sslmode", "host"])
    }

    fn place(text: &str) -> Option<String> {
        parse(text).unwrap().place()
    }

    #[test]
    fn a_place_shows_neither_user_nor_password() {
        for (text, shown) in [
            ("postgres://u:p@ss@db:5432/fr?sslmode=require", Some("db:5432/fr")),
            ("postgres://u:p%2F@127.0.0.1/fr", Some("127.0.0.1/fr")),
            ("postgres://u:p@[::1]:1/fr", Some("[::1]:1/fr")),
            ("postgresql://localhost/fr", Some("localhost")),
            ("postgres://127.0.0.1:5432", Some("127.0.0.1:5432")),
            ("postgres://u:p@%2Ftmp/fr", None),
            // One of the two may be a password in the wrong place.
            ("postgres://db/fr", None),
            ("postgres://user@word/fr", None),
            ("postgres:///fr?host=/tmp", None),
            ("postgres://u:p@/fr?host=/tmp", None),
        ] {
            assert_eq!(place(text).as_deref(), shown, "{text}");
        }
        assert_eq!(
            format!("{:?}", parse("postgres://u:p@db/fr").unwrap()),
            "Address(Some(\"db/fr\"))"
        );
    }

    #[test]
    fn the_part_at_fault_is_named() {
        use AddressFault as Fault;
        for (text, fault) in [
            ("", Fault::Scheme),
            ("localhost:5432", Fault::Scheme),
            ("mysql://u:p@h/d", Fault::Scheme),
            ("postgres:/u:p@h/d", Fault::Scheme),
            ("postgres://u:p@h/d\n", Fault::Blank),
            ("postgres://u:p p@h/d", Fault::Blank),
            ("postgres://u:p#p@h/d", Fault::Fragment),
            ("postgres://u:1/p@h/d", Fault::Credentials),
            ("postgres://u:1?p@h/d", Fault::Credentials),
            ("postgres://u:p/p@h/d", Fault::Credentials),
            ("postgres://u:p@/d", Fault::HostMissing),
            ("postgres://u:p@/d?host=", Fault::HostMissing),
            ("postgres://u:p@/d?sslmode=require", Fault::HostMissing),
            ("postgres://:5432/d", Fault::HostMissing),
            ("postgres://u:p@h1,h2/d", Fault::Hosts),
            ("postgres://u:p@h1:1,h2:2/d", Fault::Hosts),
            ("postgres://u:p@h$/d", Fault::Host),
            ("postgres://u:p@[h]/d", Fault::Host),
            ("postgres://u:p@h:port/d", Fault::Port),
            ("postgres://u:p@h:0/d", Fault::Port),
            ("postgres://u:p@h:65536/d", Fault::Port),
            ("postgres://u:p@h:+1/d", Fault::Port),
            ("postgres://u:p@h:1:2/d", Fault::Port),
            ("postgres://u:p@[::1]x/d", Fault::Port),
            ("postgres://u:p", Fault::Port),
            ("postgres://u:p@h/d/e", Fault::Database),
            ("postgres://u:p@h/d?pasword=p", Fault::Parameter),
            ("postgres://u:p@h/d?sslmode=require&p", Fault::Parameter),
        ] {
            assert_eq!(parse(text).map(|_| ()), Err(fault), "{text}");
        }
    }

    proptest! {
        /// However a password is written, and whatever part is missing, it is refused or not repeated.
        #[test]
        fn a_password_is_never_shown(
            before in "[a-z0-9@/:?#,&=%.]{0,6}", after in "[a-z0-9@/:?#,&=%.]{0,6}",
            head in "postgres://(user:)?", tail in "@db.example(:5432)?/frontrow(\\?host=/tmp)?",
        ) {
            let text = format!("{head}{before}S3cr3t{after}{tail}");
            if let Ok(address) = parse(&text) {
                let told = format!("{address:?} {}", address.place().unwrap_or_default());
                prop_assert!(!told.contains("S3cr3t"), "{text}: {told}");
            }
        }
    }
}
