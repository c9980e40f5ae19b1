//! What DATABASE_URL may look like.

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

/// Reads the address of a database; nothing is reached.
///
/// # Errors
/// Which part of it cannot be used.
pub fn address(url: &str) -> Result<Address<'_>, AddressFault> {
    Address::parse(url, SCHEMES, PARAMETERS)
}
