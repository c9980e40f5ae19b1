//! Sessions of fans and of the organizer, and a performance to rehearse on.

#![expect(clippy::print_stdout, reason = "the id is the answer")]

use std::{path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Result,
    api::{Api, COMPARING, Failure, SeatId},
    history::Clock,
    measure::Recorder,
    net::{Sources, Target, http::Pool},
    options::{OrganizerOptions, ServerOptions, StageOptions},
};

/// Seats of a full row.
const ROW: u32 = 100;

/// The fans' access tokens.
///
/// # Errors
/// When the file cannot be read, or has too few lines.
pub fn read(path: &Path, wanted: Option<usize>) -> Result<Vec<String>> {
    Ok(lines(path, wanted)?.into_iter().map(|line| line.access_token).collect())
}

/// The fans' person ids, where the file tells them: what they draw follows from it.
///
/// # Errors
/// As [`read`].
pub fn people(path: &Path, wanted: Option<usize>) -> Result<Vec<Option<Uuid>>> {
    Ok(lines(path, wanted)?.into_iter().map(|line| line.person_id).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    access_token: String,
    person_id: Option<Uuid>,
}

fn lines(path: &Path, wanted: Option<usize>) -> Result<Vec<Line>> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut sessions = Vec::new();
    for line in
        text.lines().filter(|line| !line.trim().is_empty()).take(wanted.unwrap_or(usize::MAX))
    {
        let line: Line = serde_json::from_str(line)
            .map_err(|error| format!("{}, line {}: {error}", path.display(), sessions.len() + 1))?;
        sessions.push(line);
    }
    match wanted {
        Some(wanted) if sessions.len() < wanted => Err(format!(
            "{} has {} sessions and {wanted} are wanted: frontrow seed --fans {wanted} --sessions {}",
            path.display(),
            sessions.len(),
            path.display()
        )
        .into()),
        _ if sessions.is_empty() => Err(format!("{} has no sessions", path.display()).into()),
        _ => Ok(sessions),
    }
}

/// A client of each instance.
///
/// # Errors
/// When an address is none.
pub(crate) fn apis(
    server: &ServerOptions,
    schedule: &str,
    recorder: &Arc<Recorder>,
) -> Result<Vec<Arc<Api>>> {
    let sources = Arc::new(Sources::new(server.source_addresses));
    let patience = Duration::from_secs(server.timeout_seconds);
    let api = |url: &String| {
        let target = Target::parse_trusting(url, server.allow_remote, server.ca.as_deref())?;
        Ok(Arc::new(Api {
            pool: Pool::new(target.clone(), server.connections.max(1), patience),
            comparing: Pool::new(target.clone(), COMPARING, patience),
            target,
            sources: sources.clone(),
            recorder: recorder.clone(),
            schedule: schedule.to_owned(),
        }))
    };
    server.urls.iter().map(api).collect()
}

/// The organizer's access token, if an organizer was named.
///
/// # Errors
/// When they cannot log in.
pub(crate) async fn organizer(api: &Api, options: &OrganizerOptions) -> Result<Option<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Session {
        access_token: String,
    }
    if options.organizer_token.is_some() {
        return Ok(options.organizer_token.clone());
    }
    let Some(email) = &options.organizer else { return Ok(None) };
    let password =
        options.password.as_ref().ok_or("the password belongs into STAMPEDE_PASSWORD")?;
    const QUERY: &str = "mutation LogIn($input: LogInInput!) { it: logIn(input: $input) {
        it: session { accessToken } userErrors { code message } } }";
    let input = json!({ "input": { "email": email, "password": password } });
    let session: Session = api.organize("", QUERY, input).await.map_err(|it| of(api, &it))?;
    Ok(Some(session.access_token))
}

/// A failure with who it was of.
fn of(api: &Api, failure: &Failure) -> String {
    format!("{}: {failure}", api.target.host)
}

/// Makes a performance, and prints its id and nothing else.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn stage(options: &StageOptions) -> Result<bool> {
    const CONCERT: &str =
        "mutation Concert($input: CreateConcertInput!) { it: createConcert(input: $input) {
        it: concert { id } userErrors { code message } } }";
    const SCHEDULE: &str =
        "mutation Schedule($input: CreateScheduleInput!) { it: createSchedule(input: $input) {
        it: schedule { id } userErrors { code message } } }";
    const OPEN: &str = "mutation Open($id: ID!) { it: openSale(scheduleId: $id) {
        it: schedule { id } userErrors { code message } } }";
    let recorder = Arc::new(Recorder::new(Clock::start()));
    let apis = apis(&options.server, "", &recorder)?;
    let api = apis.first().ok_or("no server")?;
    let session = organizer(api, &options.organizer)
        .await?
        .ok_or("--organizer-token or --organizer says who makes the performance")?;
    let concert = json!({ "input": {
        "title": "Rehearsal", "artist": "Stampede", "venue": "Load hall", "timeZone": "Etc/UTC",
        "description": "A performance that nobody plays: it is there to rehearse its sale." } });
    let organize = async |query: &str, input: Value| -> Result<SeatId> {
        Ok(api.organize(&session, query, input).await.map_err(|failure| of(api, &failure))?)
    };
    let concert = organize(CONCERT, concert).await?;
    let schedule = schedule(options, &concert.id, recorder.started);
    let schedule = organize(SCHEDULE, json!({ "input": schedule })).await?;
    let opened = organize(OPEN, json!({ "id": schedule.id })).await?;
    println!("{}", opened.id);
    Ok(true)
}

fn schedule(options: &StageOptions, concert: &str, now: i64) -> Value {
    const DAY: i64 = 86_400;
    let at = |seconds: i64| {
        chrono::DateTime::from_timestamp_millis(now + seconds * 1_000)
            .unwrap_or_default()
            .to_rfc3339()
    };
    json!({
        "concertId": concert,
        "salesOpenAt": at(i64::from(options.opens_in)),
        "salesCloseAt": at(30 * DAY),
        "startsAt": at(31 * DAY),
        "maxSeatsPerPerson": 1,
        "sections": sections(options.seats),
        "waitingRoom": {
            "maxActive": options.max_active,
            "admitPerRound": options.admit_per_round,
            "roundSeconds": options.round_seconds,
            "idleSeconds": options.idle_seconds,
        },
    })
}

/// Exactly this many seats. The first section is the front.
fn sections(seats: u32) -> Vec<Value> {
    let section = |name: &str, grade: &str, price: u32, (rows, seats_per_row): (u32, u32)| json!({ "name": name, "grade": grade, "price": price, "rows": rows, "seatsPerRow": seats_per_row });
    let front = rows(seats / 10);
    let mut rest = seats - front.0 * front.1;
    let mut sections = vec![section("Front", "VIP", 150_000, front)];
    while rest > 0 {
        let (rows, seats_per_row) = rows(rest.min(1_000));
        rest -= rows * seats_per_row;
        let name = format!("Stalls {:02}", sections.len());
        sections.push(section(&name, "R", 90_000, (rows, seats_per_row)));
    }
    sections
}

/// Full rows of a hundred, or one shorter row; what does not fill a row is left over.
const fn rows(seats: u32) -> (u32, u32) {
    if seats < ROW { (1, seats) } else { (seats / ROW, ROW) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("stampede-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn sessions_are_read_line_by_line() {
        let two = "{\"accessToken\":\"a\"}\n\n{\"personId\":\"01a1fdeb-b66a-7401-90ce-666134c17762\",\"accessToken\":\"b\"}\n";
        let path = file("two", two);
        assert_eq!(read(&path, None).unwrap(), ["a", "b"]);
        assert_eq!(read(&path, Some(1)).unwrap(), ["a"]);
        let known: Vec<bool> = people(&path, None).unwrap().iter().map(Option::is_some).collect();
        assert_eq!(known, [false, true]);
        let few = read(&path, Some(3)).unwrap_err().to_string();
        assert!(few.contains("frontrow seed --fans 3"), "{few}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_hall_has_exactly_the_seats_asked_for() {
        for seats in (10..=50_000).step_by(7).chain([10, 999, 1_000, 1_001, 50_000]) {
            let sections = sections(seats);
            let figure = |section: &Value, name: &str| section[name].as_u64().unwrap();
            let made = |section| figure(section, "rows") * figure(section, "seatsPerRow");
            assert_eq!(sections.iter().map(made).sum::<u64>(), u64::from(seats));
            // The server takes no more, and halls are read by section.
            assert!(sections.len() <= 50, "{seats} make {} sections", sections.len());
            assert!(sections.iter().skip(1).map(made).all(|seats| (1..=1_000).contains(&seats)));
            assert!(made(&sections[0]) >= 1 && made(&sections[0]) <= u64::from(seats / 10));
        }
    }

    #[test]
    fn what_is_no_session_is_told_with_its_line() {
        let path = file("bad", "{\"accessToken\":\"a\"}\nnonsense\n");
        let told = read(&path, None).unwrap_err().to_string();
        assert!(told.contains("line 2"), "{told}");
        std::fs::remove_file(path).unwrap();
    }
}
