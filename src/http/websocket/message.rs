//! The messages of `graphql-transport-ws`, and how it closes a socket.

use async_graphql::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes, protocol::CloseFrame};

use super::super::{parameters::Parameters, session, strict::Strict};

/// The longest message that a client may send, in bytes: the longest document and as much again.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// Room for most results.
const NEXT_BYTES: usize = 1024;
/// The longest id of an operation, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Why a socket is closed; the codes are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    GoingAway,
    BrokenFrame,
    BrokenText,
    TooBig,
    Malformed,
    Unauthorized,
    Forbidden,
    SessionExpired,
    SessionEnded,
    SubprotocolUnacceptable,
    InitTimeout,
    DuplicateId,
    TooManyInits,
    TooManyMessages,
    TooManySockets,
    Unfinished,
    Aged,
    TryAgainLater,
}

impl Close {
    /// The frame; reasons have to stay below 123 bytes.
    pub(super) fn frame(self) -> Message {
        let (code, reason): (u16, _) = match self {
            Self::GoingAway => (1001, "The server is shutting down"),
            Self::BrokenFrame => (1002, "A frame breaks the WebSocket protocol"),
            Self::BrokenText => (1007, "A text is not UTF-8"),
            Self::TooBig => (1009, "Message too big"),
            Self::Malformed => (4400, "Invalid message"),
            Self::Unauthorized => (4401, "Unauthorized"),
            Self::Forbidden => (4403, "Forbidden"),
            Self::SessionExpired => (4403, "Session expired"),
            Self::SessionEnded => (4403, "Session ended"),
            Self::SubprotocolUnacceptable => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::DuplicateId => (4409, "Subscriber already exists"),
            Self::TooManyInits => (4429, "Too many initialisation requests"),
            Self::TooManyMessages => (4429, "Too many messages"),
            Self::TooManySockets => {
                (4429, "Too many sockets of one person; close one of them first")
            }
            Self::Unfinished => (4400, "A message took too long to arrive"),
            // Clients connect again after this code.
            Self::Aged => (1001, "The socket is old; connect again"),
            Self::TryAgainLater => (1013, "The session cannot be checked at the moment"),
        };
        let reason = Utf8Bytes::from_static(reason);
        Message::Close(Some(CloseFrame { code: code.into(), reason }))
    }
}

/// What a client says.
#[derive(Debug)]
pub(super) enum Incoming {
    /// `connection_init`, with the credentials in its payload.
    Init(Option<String>),
    /// `ping`, with a payload that comes back.
    Ping(Option<Box<RawValue>>),
    /// `pong`.
    Pong,
    /// `ping` or `pong` with another session in its payload: credentials as in `connection_init`.
    Renew(String),
    /// `subscribe`.
    Subscribe(Box<str>, Parameters),
    /// `complete`.
    Complete(Box<str>),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    id: Option<Box<str>>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

impl Incoming {
    /// Reads a message.
    ///
    /// # Errors
    /// How the socket has to be closed.
    pub(super) fn parse(text: &str) -> Result<Self, Close> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(Close::TooBig);
        }
        let malformed = |_| Close::Malformed;
        // serde would read a list as the struct's fields in order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Close::Malformed);
        }
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(malformed)?;
        let payload = envelope.payload.filter(|payload| payload.get() != "null");
        let id = || {
            let id = envelope.id.clone().ok_or(Close::Malformed)?;
            if id.is_empty() || id.len() > ID_BYTES_MAX { Err(Close::Malformed) } else { Ok(id) }
        };
        match envelope.kind {
            "connection_init" => Ok(Self::Init(payload.map(credentials).transpose()?.flatten())),
            "ping" | "pong" if let Some(credentials) = payload.and_then(handed_over) => {
                Ok(Self::Renew(credentials))
            }
            "ping" => Ok(Self::Ping(payload.map(ToOwned::to_owned))),
            "pong" => Ok(Self::Pong),
            "complete" => Ok(Self::Complete(id()?)),
            "subscribe" => {
                let payload = payload.ok_or(Close::Malformed)?;
                let parameters = Parameters::parse(payload.get().as_bytes());
                Ok(Self::Subscribe(id()?, parameters.ok_or(Close::Malformed)?))
            }
            _ => Err(Close::Malformed),
        }
    }
}

/// The longest payload of a ping that may hand a session over, in bytes: others come back unread.
const RENEWAL_BYTES_MAX: usize = 5 * 1024;

/// The credentials in the payload of a ping or a pong, if there are any. Such payloads may be anything.
fn handed_over(payload: &RawValue) -> Option<String> {
    if !payload.get().starts_with('{') || payload.get().len() > RENEWAL_BYTES_MAX {
        return None;
    }
    credentials(payload).ok().flatten().filter(|credentials| !session::names_nobody(credentials))
}

/// What a client is told of its session, in the payload of a `ping` before it ends, and of the `pong` that answers another one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionState {
    /// When it ends.
    pub(super) session_expires_at: String,
    /// The same as seconds from now, rounded down, for clients whose clock is wrong.
    pub(super) session_seconds_left: u64,
    /// The session that was handed over is not good; the one before goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<&'static str>,
}

/// The value of `authorization`, in whatever case, out of the payload of `connection_init`.
fn credentials(payload: &RawValue) -> Result<Option<String>, Close> {
    let Ok(Strict(Value::Object(fields))) = serde_json::from_str(payload.get()) else {
        return Err(Close::Malformed);
    };
    let mut values = fields
        .into_iter()
        .filter(|(name, value)| name.eq_ignore_ascii_case("authorization") && *value != Value::Null)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(Value::String(value)), None) => Ok(Some(value)),
        _ => Err(Close::Forbidden),
    }
}

/// What the server says.
#[derive(Serialize)]
pub(super) struct Outgoing<'a, P> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<P>,
}

impl Outgoing<'_, ()> {
    /// A result whose `data` is written by `data`.
    pub(super) fn next(id: &str, data: impl FnOnce(&mut String)) -> Message {
        let mut text = String::with_capacity(NEXT_BYTES);
        text.push_str(r#"{"type":"next","id":"#);
        text.push_str(&serde_json::to_string(id).unwrap_or_default());
        text.push_str(r#","payload":{"data":"#);
        data(&mut text);
        text.push_str("}}");
        Message::text(text)
    }
}

impl<'a, P: Serialize> Outgoing<'a, P> {
    /// Of the connection.
    pub(super) const fn new(kind: &'static str, payload: Option<P>) -> Self {
        Self { kind, id: None, payload }
    }

    /// Of an operation.
    pub(super) const fn of(id: &'a str, kind: &'static str, payload: Option<P>) -> Self {
        Self { kind, id: Some(id), payload }
    }

    /// As a frame.
    pub(super) fn frame(&self) -> Message {
        // Responses are made of strings, numbers, lists and maps with names as keys, which always can be written.
        Message::text(serde_json::to_string(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_protocol_closes_the_socket() {
        for text in [
            "",
            "{",
            "[]",
            r#"["ping"]"#,
            r#""ping""#,
            "{}",
            r#"{"type":"start","id":"1"}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":1}"#,
            r#"{"type":"connection_init","payload":[]}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":1}"#,
            r#"{"type":"complete","id":""}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":[{"query":"{a}"}]}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":[]}}"#,
        ] {
            assert_eq!(Incoming::parse(text).err(), Some(Close::Malformed), "{text}");
        }
        let long = format!(r#"{{"type":"ping","payload":"{}"}}"#, "x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(Incoming::parse(&long).err(), Some(Close::TooBig));
    }

    #[test]
    fn credentials_are_found_in_any_case() {
        for (payload, expected) in [
            ("{}", Ok(None)),
            ("null", Ok(None)),
            (r#"{"authorization":null}"#, Ok(None)),
            (r#"{"authorization":"Bearer x"}"#, Ok(Some("Bearer x"))),
            (r#"{"Authorization":"Bearer x","other":1}"#, Ok(Some("Bearer x"))),
            (r#"{"authorization":1}"#, Err(Close::Forbidden)),
            (r#"{"authorization":"a","Authorization":"b"}"#, Err(Close::Forbidden)),
        ] {
            let text = format!(r#"{{"type":"connection_init","payload":{payload}}}"#);
            let read = match Incoming::parse(&text) {
                Ok(Incoming::Init(credentials)) => Ok(credentials),
                Ok(other) => panic!("{other:?}"),
                Err(close) => Err(close),
            };
            assert_eq!(read, expected.map(|value| value.map(str::to_owned)), "{payload}");
        }
    }

    #[test]
    fn pings_and_pongs_may_hand_a_session_over() {
        let long = format!(r#"{{"authorization":"Bearer {}"}}"#, "x".repeat(6_000));
        for (payload, expected) in [
            (r#"{"authorization":"Bearer x"}"#, Some("Bearer x")),
            (r#"{"Authorization":"Bearer x","n":1}"#, Some("Bearer x")),
            (r#"{"authorization":""}"#, None),
            (r#"{"authorization":"Bearer "}"#, None),
            (r#"{"authorization":null}"#, None),
            (r#"{"authorization":1}"#, None),
            (r#"{"authorization":"a","Authorization":"b"}"#, None),
            (r#"["authorization"]"#, None),
            (r#""authorization""#, None),
            ("null", None),
            (&long, None),
        ] {
            for kind in ["ping", "pong"] {
                let text = format!(r#"{{"type":"{kind}","payload":{payload}}}"#);
                let read = match Incoming::parse(&text) {
                    Ok(Incoming::Renew(credentials)) => Some(credentials),
                    Ok(Incoming::Ping(_) | Incoming::Pong) => None,
                    other => panic!("{text}: {other:?}"),
                };
                assert_eq!(read.as_deref(), expected, "{text}");
            }
        }
    }

    #[test]
    fn reasons_fit_into_a_close_frame() {
        use Close::*;
        for close in [
            GoingAway,
            BrokenFrame,
            BrokenText,
            TooBig,
            Malformed,
            Unauthorized,
            Forbidden,
            SessionExpired,
            SessionEnded,
            InitTimeout,
            SubprotocolUnacceptable,
            DuplicateId,
            TooManyInits,
            TooManyMessages,
            TooManySockets,
            Unfinished,
            Aged,
            TryAgainLater,
        ] {
            let Message::Close(Some(frame)) = close.frame() else { panic!("{close:?}") };
            assert!(frame.reason.len() < 123);
        }
    }
}
