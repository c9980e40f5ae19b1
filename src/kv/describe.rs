//! What went wrong with Redis, in words of our own.
//!
//! Texts of the library and of the server are not passed on: an old server repeats a command that it does not know, and the
//! first one is the password.

use redis::{ErrorKind, RedisError};

use crate::kernel::{Address, AddressFault};

const SCHEMES: &[&str] = &["redis", "valkey"];
const SOCKET_SCHEMES: &[&str] = &["unix", "redis+unix", "valkey+unix"];
const PARAMETERS: &[&str] = &["protocol"];
const CODE_BYTES_MAX: usize = 20;

/// Whether the URL of one server can be read at all.
///
/// # Errors
/// Which part of it cannot be used.
pub(super) fn check(url: &str) -> Result<(), AddressFault> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| SOCKET_SCHEMES.contains(&scheme)) {
        return Ok(());
    }
    Address::parse(url, SCHEMES, PARAMETERS).map(|_| ())
}

/// What went wrong, for the log and for operators: the kind, and of a server's answer its code. The text behind it is told
/// where it is about a script of ours.
pub(super) fn describe(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => network(error),
        ErrorKind::AuthenticationFailed => "it refuses user or password".to_owned(),
        ErrorKind::InvalidClientConfig => "the address cannot be used".to_owned(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            "its answer was not understood".to_owned()
        }
        ErrorKind::Server(_) | ErrorKind::Extension => answered(error),
        _ => "the client failed".to_owned(),
    }
}

fn network(error: &RedisError) -> String {
    let words = if error.is_connection_refusal() {
        "the connection is refused"
    } else if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connection_dropped() {
        "the connection broke"
    } else {
        "it is away, or cannot be found"
    };
    words.to_owned()
}

fn answered(error: &RedisError) -> String {
    let code = error.code().filter(|code| {
        code.len() <= CODE_BYTES_MAX && code.bytes().all(|byte| byte.is_ascii_uppercase())
    });
    match (code, error.detail()) {
        (Some("WRONGPASS"), _) => "it refuses user or password (WRONGPASS)".to_owned(),
        (Some("NOAUTH"), _) => "it wants a password (NOAUTH)".to_owned(),
        (Some(code), Some(text)) if text.contains("user_script:") => format!("{code} {text}"),
        (Some(code), _) => format!("it answered {code}"),
        (None, _) => "it refused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::{ServerErrorKind, make_extension_error};

    use super::*;

    const SECRET: &str = "S3cr3t-pass";

    #[test]
    fn no_text_of_the_library_or_the_server_is_passed_on() {
        let text = || SECRET.to_owned();
        for kind in [
            ErrorKind::Io,
            ErrorKind::Parse,
            ErrorKind::AuthenticationFailed,
            ErrorKind::InvalidClientConfig,
            ErrorKind::Client,
            ErrorKind::UnexpectedReturnType,
            ErrorKind::ClusterConnectionNotFound,
            ErrorKind::RESP3NotSupported,
            ErrorKind::Server(ServerErrorKind::ResponseError),
            ErrorKind::Server(ServerErrorKind::NoPerm),
        ] {
            let told = describe(&RedisError::from((kind, "S3cr3t-pass", text())));
            assert!(!told.is_empty() && !told.contains(SECRET), "{kind:?}: {told}");
        }
        for (code, told) in [
            ("WRONGPASS", "it refuses user or password (WRONGPASS)"),
            ("NOAUTH", "it wants a password (NOAUTH)"),
            ("MISCONF", "it answered MISCONF"),
            (SECRET, "it refused"),
        ] {
            assert_eq!(describe(&make_extension_error(code.to_owned(), Some(text()))), told);
        }
        for (kind, told) in [
            (io::ErrorKind::ConnectionRefused, "the connection is refused"),
            (io::ErrorKind::TimedOut, "it did not answer in time"),
            (io::ErrorKind::ConnectionReset, "the connection broke"),
            (io::ErrorKind::Other, "it is away, or cannot be found"),
        ] {
            assert_eq!(describe(&RedisError::from(io::Error::new(kind, SECRET))), told);
        }
    }

    #[test]
    fn a_script_of_ours_that_fails_says_where() {
        let text = "user_script:12: no line".to_owned();
        let told = describe(&make_extension_error("WRONGTYPE".to_owned(), Some(text)));
        assert_eq!(told, "WRONGTYPE user_script:12: no line");
    }

    #[test]
    fn an_address_is_read_before_the_library_reads_it() {
        for good in [
            "redis://h",
            "redis://h:1/2",
            "redis://:p%2C@h",
            "redis://u:p@[::1]:1/",
            "unix:///tmp/r.sock",
            "redis://h?protocol=resp3",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, fault) in [
            ("http://me:p@h", AddressFault::Scheme),
            ("rediss://h", AddressFault::Scheme),
            ("redis://:p/p@h", AddressFault::Credentials),
            ("redis://:p@h:port", AddressFault::Port),
            ("redis://:p@", AddressFault::HostMissing),
            ("redis://u:p#p@h", AddressFault::Fragment),
            ("redis://h?pasword=p", AddressFault::Parameter),
        ] {
            assert_eq!(check(bad).err(), Some(fault), "{bad}");
        }
    }
}
