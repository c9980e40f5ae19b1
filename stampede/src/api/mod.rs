//! The public API, as a client sees it.

mod nouns;

use std::{io, sync::Arc, time::Duration};

pub use nouns::{Books, Nodes, Payment, Place, Reservation, Room, Schedule, Seat, SeatId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    measure::{Op, Recorder},
    net::{
        Sources, Target,
        http::{Pool, Signature},
        refusal::{self, Refusal},
        socket::{Pushed, Socket},
    },
};

const PLACE: &str = "status position waitingCount estimatedWaitSeconds enteredAt activatedAt expiresAt pollAfterSeconds";

/// Why there is no answer: the code of a refusal or an error, or `TIMEOUT`, `CONNECTION` or `MALFORMED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: String,
    /// In the server's or the system's words.
    pub message: String,
    /// Whether the server said that trying again may help.
    pub retryable: bool,
    /// When, if it said so.
    pub retry_after: Option<Duration>,
    /// Who or what refused, in the report's words; nothing when the code says all.
    pub told: Option<String>,
}

/// Nobody waits longer for another attempt, whatever the server says.
const PAUSE_MAX: Duration = Duration::from_secs(15);

impl Failure {
    /// A failure of this code.
    pub fn new(code: &str, message: impl ToString) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_string(),
            retryable: false,
            retry_after: None,
            told: None,
        }
    }

    /// What the report counts it as: the code, or who refused.
    pub fn outcome(&self) -> &str {
        self.told.as_deref().unwrap_or(&self.code)
    }

    /// How long to wait before the next attempt: what the server asks for, or longer each time.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let asked = self.retry_after.unwrap_or_default().min(PAUSE_MAX);
        asked.max(backoff(attempt))
    }

    /// An answer that is none of GraphQL, or a refusal that somebody in front gave.
    fn of(self, from: &Signature) -> Self {
        let told = match &from.refused_by {
            Some(by) if self.code != "MALFORMED" => Some(format!("{} by {by}", self.code)),
            _ if self.code == "MALFORMED" && from.status != 200 => {
                let by = from.refused_by.clone().or_else(|| from.server.clone());
                Some(Refusal::Http { status: from.status, by }.label())
            }
            _ => None,
        };
        Self { told, ..self }
    }

    /// Whether the outcome is unknown.
    pub fn unknown(&self) -> bool {
        crate::measure::is_fault(&self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.outcome(), self.message)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let told = Some(refusal::label(&error));
        match error.kind() {
            io::ErrorKind::TimedOut => Self::new("TIMEOUT", "no answer in time"),
            _ => Self { told, ..Self::new("CONNECTION", error) },
        }
    }
}

#[derive(Deserialize)]
struct Response<T> {
    #[serde(default = "Option::default")]
    data: Option<T>,
    #[serde(default)]
    errors: Vec<RequestError>,
}

#[derive(Deserialize)]
struct RequestError {
    message: String,
    #[serde(default)]
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    code: Option<String>,
    #[serde(default)]
    retryable: bool,
    #[serde(default)]
    retry_after_seconds: Option<u32>,
}

/// An answer whose one field was asked for as `it`.
#[derive(Deserialize)]
struct It<T> {
    it: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<T> {
    #[serde(default = "Option::default")]
    it: Option<T>,
    user_errors: Vec<UserError>,
}

#[derive(Deserialize)]
struct UserError {
    code: String,
    message: String,
}

/// One instance as one client.
#[derive(Debug)]
pub struct Api {
    pub target: Target,
    pub sources: Arc<Sources>,
    pub recorder: Arc<Recorder>,
    pub schedule: String,
    pub pool: Pool,
    /// Comparisons do not queue behind the crowd: the truth is wanted at once.
    pub comparing: Pool,
}

/// Comparisons of pushed and true positions at once; each instance has this many connections for them.
pub const COMPARING: usize = 8;

/// Answers of the API.
pub type Answer<T> = Result<T, Failure>;

impl Api {
    /// The data of a request.
    async fn ask<T: DeserializeOwned>(
        &self,
        op: Op,
        session: Option<&str>,
        query: &str,
        variables: &Value,
    ) -> Answer<T> {
        #[derive(Serialize)]
        struct Body<'a> {
            query: &'a str,
            variables: &'a Value,
        }
        let body = serde_json::to_vec(&Body { query, variables })
            .map_err(|error| Failure::new("MALFORMED", error))?;
        let pool = if op == Op::Compare { &self.comparing } else { &self.pool };
        match pool.post(&self.sources, session, &body).await {
            Ok(answer) => {
                self.recorder.took(op, answer.latency);
                self.recorder.queued(op, answer.queued);
                read(&answer.body).map_err(|failure| failure.of(&answer.from))
            }
            Err(error) => {
                // Left out, those who waited longest would make the server look faster.
                if error.kind() == io::ErrorKind::TimedOut {
                    self.recorder.took(op, pool.patience());
                }
                Err(error.into())
            }
        }
    }

    fn note<T>(&self, op: Op, answer: Answer<T>) -> Answer<T> {
        self.recorder.ended(op, answer.as_ref().map_or_else(|failure| failure.outcome(), |_| "OK"));
        answer
    }

    async fn query<T: DeserializeOwned>(
        &self,
        op: Op,
        session: Option<&str>,
        query: &str,
        variables: Value,
    ) -> Answer<T> {
        let answer = self.ask::<It<T>>(op, session, query, &variables).await;
        self.note(op, answer.map(|data| data.it))
    }

    async fn mutate<T: DeserializeOwned>(
        &self,
        op: Op,
        session: &str,
        query: &str,
        variables: Value,
    ) -> Answer<T> {
        // A fan who logs in has no session yet.
        let session = Some(session).filter(|session| !session.is_empty());
        let answer = self.ask::<It<Payload<T>>>(op, session, query, &variables).await;
        let answer =
            answer.and_then(|data| match (data.it.user_errors.into_iter().next(), data.it.it) {
                (Some(error), _) => Err(Failure::new(&error.code, error.message)),
                (None, Some(it)) => Ok(it),
                (None, None) => Err(Failure::new("MALFORMED", "neither a result nor an error")),
            });
        self.note(op, answer)
    }

    pub async fn enter(&self, session: &str) -> Answer<Place> {
        let query = format!(
            "mutation Enter($id: ID!) {{ it: enterQueue(scheduleId: $id) {{ it: queueToken {{ token {PLACE} }} \
             userErrors {{ code message }} }} }}"
        );
        self.mutate(Op::Enter, session, &query, json!({ "id": self.schedule })).await
    }

    pub async fn leave(&self, session: &str) -> Answer<Place> {
        let query = format!(
            "mutation Leave($id: ID!) {{ it: leaveQueue(scheduleId: $id) {{ it: queueToken {{ {PLACE} }} \
             userErrors {{ code message }} }} }}"
        );
        self.mutate(Op::Leave, session, &query, json!({ "id": self.schedule })).await
    }

    pub async fn status(&self, op: Op, session: &str) -> Answer<Option<Place>> {
        let query =
            format!("query Status($id: ID!) {{ it: queueStatus(scheduleId: $id) {{ {PLACE} }} }}");
        self.query(op, Some(session), &query, json!({ "id": self.schedule })).await
    }

    pub async fn room(&self, session: Option<&str>) -> Answer<Option<Schedule>> {
        const QUERY: &str = "query Room($id: ID!) { it: schedule(id: $id) { salesOpenAt seatCount remainingSeats
            waitingRoom { status waitingCount activeCount maxActive admitPerRound roundSeconds estimatedWaitSeconds
                          drawCommitment drawSecret } } }";
        self.query(Op::Room, session, QUERY, json!({ "id": self.schedule })).await
    }

    /// The whole hall, or a section of it.
    pub async fn seats(
        &self,
        session: &str,
        token: &str,
        section: Option<&str>,
    ) -> Answer<Vec<Seat>> {
        let fields = if section.is_some() { "id status" } else { "id status section grade" };
        let query = format!(
            "query Seats($id: ID!, $token: String!, $section: String) {{
             it: seats(scheduleId: $id, queueToken: $token, section: $section) {{ {fields} }} }}"
        );
        let variables = json!({ "id": self.schedule, "token": token, "section": section });
        self.query(Op::Seats, Some(session), &query, variables).await
    }

    pub async fn hold(&self, session: &str, token: &str, seat: &str) -> Answer<Reservation> {
        const QUERY: &str = "mutation Hold($input: HoldSeatInput!) { it: holdSeat(input: $input) {
            it: reservation { id totalPrice heldAt expiresAt seats { id } } userErrors { code message } } }";
        let input = json!({ "scheduleId": self.schedule, "seatId": seat, "queueToken": token });
        self.mutate(Op::Hold, session, QUERY, json!({ "input": input })).await
    }

    pub async fn hold_best(&self, session: &str, token: &str, grade: &str) -> Answer<Reservation> {
        const QUERY: &str = "mutation Best($input: HoldBestSeatsInput!) { it: holdBestSeats(input: $input) {
            it: reservation { id totalPrice heldAt expiresAt seats { id } } userErrors { code message } } }";
        let input =
            json!({ "scheduleId": self.schedule, "grade": grade, "count": 1, "queueToken": token });
        self.mutate(Op::HoldBest, session, QUERY, json!({ "input": input })).await
    }

    pub async fn cancel(&self, session: &str, reservation: &str) -> Answer<Reservation> {
        const QUERY: &str = "mutation Cancel($id: ID!) { it: cancelReservation(id: $id) {
            it: reservation { id totalPrice heldAt expiresAt } userErrors { code message } } }";
        self.mutate(Op::Cancel, session, QUERY, json!({ "id": reservation })).await
    }

    pub async fn balance(&self, session: &str) -> Answer<i64> {
        self.query(Op::Balance, Some(session), "query Balance { it: balance }", json!({})).await
    }

    /// The new balance.
    pub async fn charge(&self, session: &str, amount: i64, key: &str) -> Answer<i64> {
        const QUERY: &str = "mutation Charge($input: ChargeInput!) { it: charge(input: $input) {
            it: balance userErrors { code message } } }";
        let input = json!({ "amount": amount, "idempotencyKey": key });
        self.mutate(Op::Charge, session, QUERY, json!({ "input": input })).await
    }

    pub async fn pay(
        &self,
        session: &str,
        reservation: &str,
        amount: i64,
        key: &str,
    ) -> Answer<Payment> {
        const QUERY: &str = "mutation Pay($input: PayInput!) { it: pay(input: $input) {
            it: payment { status approvedAt } userErrors { code message } } }";
        let input = json!({ "reservationId": reservation, "method": "POINT", "amount": amount,
                            "idempotencyKey": key });
        self.mutate(Op::Pay, session, QUERY, json!({ "input": input })).await
    }

    /// Balance, ledger and reservations, newest first.
    pub async fn books(&self, session: &str) -> Answer<Books> {
        const QUERY: &str = "query Books { balance entries: walletEntries(first: 50) { nodes { kind delta createdAt } }
            reservations(first: 50, status: [CONFIRMED]) {
                nodes { id totalPrice heldAt expiresAt schedule { id } } } }";
        let books = self.ask(Op::Audit, Some(session), QUERY, &json!({})).await;
        self.note(Op::Audit, books)
    }

    /// What is held now, newest first.
    ///
    /// # Errors
    /// As every request.
    pub async fn held(&self, session: &str) -> Answer<Vec<Reservation>> {
        const QUERY: &str = "query Held { it: reservations(first: 50, status: [HOLD]) {
            nodes { id totalPrice heldAt expiresAt seats { id } schedule { id } } } }";
        let held: Nodes<Reservation> =
            self.query(Op::Audit, Some(session), QUERY, json!({})).await?;
        Ok(held.nodes)
    }

    /// An organizer's mutation, whose payload is read as it is.
    pub async fn organize<T: DeserializeOwned>(
        &self,
        session: &str,
        query: &str,
        variables: Value,
    ) -> Answer<T> {
        self.mutate(Op::Organize, session, query, variables).await
    }

    /// Opens a socket that watches the place.
    ///
    /// # Errors
    /// When that fails.
    pub async fn watch(&self, session: &str) -> io::Result<Socket> {
        self.watch_all(session, std::slice::from_ref(&self.schedule)).await
    }

    /// Watches the places in several lines over one socket.
    ///
    /// # Errors
    /// When that fails.
    pub async fn watch_all(&self, session: &str, schedules: &[String]) -> io::Result<Socket> {
        const QUERY: &str = "subscription Watch($id: ID!) { it: queueStatus(scheduleId: $id) {
            status position waitingCount estimatedWaitSeconds enteredAt activatedAt expiresAt pollAfterSeconds } }";
        let payload = |id| json!({ "query": QUERY, "variables": { "id": id } }).to_string();
        let payloads: Vec<String> = schedules.iter().map(payload).collect();
        Socket::subscribe(&self.target, &self.sources, session, &payloads).await
    }
}

/// The place that was pushed.
pub fn pushed_place(pushed: &Pushed) -> Answer<Option<Place>> {
    match pushed {
        Pushed::Next(payload) => read::<It<Place>>(payload).map(|data| Some(data.it)),
        Pushed::Error(payload) => {
            Err(first_error(serde_json::from_slice(payload).unwrap_or_default()))
        }
        Pushed::Ack | Pushed::Complete => Ok(None),
    }
}

fn first_error(errors: Vec<RequestError>) -> Failure {
    errors.into_iter().next().map_or_else(
        || Failure::new("MALFORMED", "neither data nor errors"),
        |error| {
            let told = error.extensions;
            let code = told.as_ref().and_then(|told| told.code.clone());
            let seconds = told.as_ref().and_then(|told| told.retry_after_seconds);
            Failure {
                retryable: told.is_some_and(|told| told.retryable),
                retry_after: seconds.map(|seconds| Duration::from_secs(seconds.into())),
                ..Failure::new(code.as_deref().unwrap_or("MALFORMED"), error.message)
            }
        },
    )
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    // Data of a failed request may lack what T needs; then the errors tell why.
    match serde_json::from_slice::<Response<T>>(body) {
        Ok(Response { data: Some(data), errors }) if errors.is_empty() => Ok(data),
        Ok(Response { errors, .. }) => Err(first_error(errors)),
        Err(malformed) => {
            #[derive(Deserialize)]
            struct Errors {
                errors: Vec<RequestError>,
            }
            Err(serde_json::from_slice::<Errors>(body).map_or_else(
                |_| Failure::new("MALFORMED", malformed),
                |errors| first_error(errors.errors),
            ))
        }
    }
}

/// How long to wait before the next attempt: longer each time, and not everybody at once.
pub fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 * 2_u64.pow(attempt.min(5)) + fastrand::u64(0..100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_refusals_and_errors_are_told_apart() {
        let read = |text: &str| read::<It<i64>>(text.as_bytes()).map(|data| data.it);
        assert_eq!(read(r#"{"data":{"it":7}}"#), Ok(7));
        let code = |text| read(text).unwrap_err().code;
        assert_eq!(
            code(r#"{"data":null,"errors":[{"message":"no","extensions":{"code":"FORBIDDEN"}}]}"#),
            "FORBIDDEN"
        );
        assert_eq!(
            code(
                r#"{"data":{"it":null},"errors":[{"message":"x","extensions":{"code":"INTERNAL"}}]}"#
            ),
            "INTERNAL"
        );
        assert_eq!(code("<html>"), "MALFORMED");
    }

    #[test]
    fn who_refused_is_told_in_the_report_s_words() {
        let nginx = || Some("nginx".to_owned());
        let refused = |body: &str, status: u16, by: Option<String>| {
            let from = Signature { status, refused_by: by, server: nginx() };
            let failure = read::<It<i64>>(body.as_bytes()).map(|it| it.it).unwrap_err().of(&from);
            (failure.code.clone(), failure.outcome().to_owned())
        };
        let told = |code: &str, outcome: &str| (code.to_owned(), outcome.to_owned());
        let limited = r#"{"errors":[{"message":"x","extensions":{"code":"RATE_LIMITED","retryAfterSeconds":2}}]}"#;
        assert_eq!(refused(limited, 429, None), told("RATE_LIMITED", "RATE_LIMITED"));
        assert_eq!(refused(limited, 429, nginx()), told("RATE_LIMITED", "RATE_LIMITED by nginx"));
        assert_eq!(refused("<html>", 503, None), told("MALFORMED", "HTTP 503 by nginx"));
        assert_eq!(refused("{}", 200, None), told("MALFORMED", "MALFORMED"));
        let failure = |kind: io::ErrorKind| Failure::from(io::Error::from(kind));
        let (refused, late) =
            (failure(io::ErrorKind::ConnectionRefused), failure(io::ErrorKind::TimedOut));
        assert_eq!(
            (refused.code.as_str(), refused.outcome()),
            ("CONNECTION", "CONNECTION refused")
        );
        assert_eq!((late.code.as_str(), late.outcome()), ("TIMEOUT", "TIMEOUT"));
        let tls = Failure::from(io::Error::other(Refusal::Tls { why: "no".to_owned() }));
        assert_eq!(
            (tls.code.as_str(), tls.outcome(), tls.message.as_str()),
            ("CONNECTION", "TLS failed", "no TLS: no")
        );
        for failure in [refused, late, tls] {
            assert!(failure.unknown() && crate::measure::is_fault(failure.outcome()), "{failure}");
        }
    }

    #[test]
    fn a_server_that_says_when_is_asked_no_sooner() {
        let of = |seconds: Option<u64>| Failure {
            retry_after: seconds.map(Duration::from_secs),
            ..Failure::new("RATE_LIMITED", "x")
        };
        assert_eq!(of(Some(3)).pause(0), Duration::from_secs(3));
        assert_eq!(of(Some(3_600)).pause(0), PAUSE_MAX);
        assert!(of(None).pause(0) < Duration::from_millis(200));
    }

    #[test]
    fn a_pushed_place_is_read() {
        let payload = br#"{"data":{"it":{"status":"WAITING","position":3,"waitingCount":9,
            "estimatedWaitSeconds":null,"enteredAt":"1970-01-01T00:00:01.005Z","activatedAt":null,"expiresAt":null,
            "pollAfterSeconds":1}}}"#;
        let place = pushed_place(&Pushed::Next(payload.to_vec())).unwrap().unwrap();
        assert_eq!((place.position, place.entered_at.0), (Some(3), 1_005));
    }
}
