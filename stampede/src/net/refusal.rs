//! Who or what refused, when it was not the server in its own words.

use std::{error::Error, fmt, io};

/// Why there is no answer of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// An answer of HTTP that is none of GraphQL; by whom, if it says.
    Http { status: u16, by: Option<String> },
    /// A WebSocket that was closed, with the reason.
    Closed { code: u16, reason: String },
    /// No TLS came about.
    Tls { why: String },
}

impl Refusal {
    /// In a few words, the same for all that are alike: what the report counts.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Http { status, by: Some(by) } => format!("HTTP {status} by {by}"),
            Self::Http { status, by: None } => format!("HTTP {status}"),
            Self::Closed { code, .. } => format!("CLOSED with {code}"),
            Self::Tls { .. } => "TLS failed".to_owned(),
        }
    }

    /// The one that an error carries, if it does.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { .. } => f.write_str(&self.label()),
            Self::Closed { code, reason } => write!(f, "closed with {code} {reason}"),
            Self::Tls { why } => write!(f, "no TLS: {why}"),
        }
    }
}

impl Error for Refusal {}

/// What a failed connection is counted as, and how a person reads it.
pub(crate) fn label(error: &io::Error) -> String {
    if let Some(refusal) = Refusal::of(error) {
        return refusal.label();
    }
    let how = match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => "closed",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        io::ErrorKind::AddrNotAvailable => "without a free port",
        io::ErrorKind::TimedOut => return "TIMEOUT".to_owned(),
        _ => return "CONNECTION".to_owned(),
    };
    format!("CONNECTION {how}")
}
