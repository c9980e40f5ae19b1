//! `frontrow roster` and `frontrow verify-draw`: what a draw's fairness is checked with. docs/fairness.md says what it proves.

use std::{
    collections::HashMap,
    fmt::Display,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Failed, database, failed::shown};
use crate::{
    app::DatabaseArgs,
    kernel::{PersonId, ScheduleId},
    waiting_room::{self, DrawFault, Drawn, Entrant, from_hexadecimal, hexadecimal},
};

/// Faults that are told one by one.
const TOLD: usize = 20;

#[derive(Debug, Args)]
pub(super) struct RosterArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// The performance.
    #[arg(long, value_name = "ID")]
    schedule: Uuid,
}

#[derive(Debug, Args)]
pub(super) struct VerifyDrawArgs {
    /// A roster, as `frontrow roster` prints it.
    #[arg(value_name = "FILE")]
    roster: PathBuf,
    /// The commitment that you noted before the draw, in hexadecimal; without it, the one in the roster is believed.
    #[arg(long, value_name = "HEX", value_parser = thirty_two_bytes)]
    commitment: Option<[u8; 32]>,
    /// Also tell this person's place.
    #[arg(long, value_name = "ID")]
    person: Option<Uuid>,
}

fn thirty_two_bytes(text: &str) -> Result<[u8; 32], String> {
    from_hexadecimal(text.trim()).ok_or_else(|| "it has 64 hexadecimal digits".to_owned())
}

/// The first line of a roster.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    schedule_id: ScheduleId,
    draw_commitment: String,
    /// Null as long as people may still enter.
    draw_secret: Option<String>,
    places: usize,
}

/// Prints the roster: a line of JSON about the draw, then one for each place in the order of entering.
pub(super) async fn roster(args: &RosterArgs) -> Result<ExitCode, Failed> {
    let db = database::connect_migrated(&args.database).await?;
    let schedule_id = ScheduleId(args.schedule);
    let roster = waiting_room::roster(&db, schedule_id).await?;
    db.close().await;
    let (draw, entrants) =
        roster.ok_or_else(|| Failed::new(format!("There is no performance {schedule_id}.")))?;
    let header = Header {
        schedule_id,
        draw_commitment: hexadecimal(&draw.commitment),
        draw_secret: draw.secret.as_ref().map(|secret| hexadecimal(secret)),
        places: entrants.len(),
    };
    print_lines(&header, &entrants)
        .map_err(|error| Failed::new(format!("The roster cannot be printed: {error}.")))?;
    Ok(ExitCode::SUCCESS)
}

fn print_lines(header: &Header, entrants: &[Entrant]) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "{}", serde_json::to_string(header)?)?;
    for entrant in entrants {
        writeln!(out, "{}", serde_json::to_string(entrant)?)?;
    }
    out.flush()
}

/// Recomputes every place of a roster; needs no database. Exit status 1 and the places at fault when one is not as drawn, and 1
/// when the person that was asked for is not in it.
pub(super) fn verify(args: &VerifyDrawArgs) -> Result<ExitCode, Failed> {
    let (header, secret, places) = read(args)?;
    let stated =
        thirty_two_bytes(&header.draw_commitment).map_err(|why| unreadable(args, 1, why))?;
    let committed = args.commitment.unwrap_or(stated);
    let mut faults: Vec<String> = Vec::new();
    if waiting_room::commitment(&secret) != committed {
        faults.push(format!("the secret is not the one of commitment {}", hexadecimal(&committed)));
    }
    if header.places != places.len() {
        faults.push(format!(
            "{} places were announced, {} are listed",
            header.places,
            places.len()
        ));
    }
    let drawn = waiting_room::verify_draw(&secret, header.schedule_id, &places);
    faults.extend(drawn.iter().map(|fault| match fault {
        DrawFault::WrongNumber { place: Drawn { person_id, number }, expected } => {
            format!("person {person_id} has number {number} and draws {expected}")
        }
        DrawFault::Shared(number) => format!("number {number} was given twice"),
    }));
    for fault in faults.iter().take(TOLD) {
        println!("{fault}");
    }
    if faults.len() > TOLD {
        println!("and {} more", faults.len() - TOLD);
    }
    if !faults.is_empty() {
        println!("The draw does not hold.");
        return Ok(ExitCode::FAILURE);
    }
    println!("The draw holds: {} places, commitment {}.", places.len(), hexadecimal(&committed));
    let found = args.person.is_none_or(|person| tell_place(PersonId(person), &places));
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A person's last place is the one that counts: they gave the earlier ones up. `false` when they have none.
fn tell_place(person: PersonId, places: &[Drawn]) -> bool {
    let last: HashMap<PersonId, i64> =
        places.iter().map(|place| (place.person_id, place.number)).collect();
    match last.get(&person) {
        Some(own) => {
            let ahead = last.values().filter(|number| *number < own).count();
            println!("Person {person} drew place {} of {}.", ahead + 1, last.len());
            true
        }
        None => {
            println!("Person {person} is not in this roster.");
            false
        }
    }
}

/// What the first line says, the secret in it, and all places.
fn read(args: &VerifyDrawArgs) -> Result<(Header, [u8; 32], Vec<Drawn>), Failed> {
    let file = File::open(&args.roster).map_err(|error| {
        Failed::new(format!("The roster {} cannot be read: {error}.", shown(&args.roster)))
    })?;
    let mut lines = BufReader::new(file).lines().enumerate();
    let mut next = || {
        let (at, line) = lines.next()?;
        Some((at + 1, line))
    };
    let (_, first) = next().ok_or_else(|| unreadable(args, 1, "it is empty"))?;
    let first = first.map_err(|error| unreadable(args, 1, error))?;
    let header: Header =
        serde_json::from_str(&first).map_err(|error| unreadable(args, 1, error))?;
    let Some(secret) = header.draw_secret.as_deref() else {
        return Err(Failed::new("The draw is not over: this roster has no secret yet."));
    };
    let secret = thirty_two_bytes(secret).map_err(|why| unreadable(args, 1, why))?;
    let mut places = Vec::new();
    while let Some((at, line)) = next() {
        let line = line.map_err(|error| unreadable(args, at, error))?;
        let entrant: Entrant =
            serde_json::from_str(&line).map_err(|error| unreadable(args, at, error))?;
        let drawn = entrant.drawn();
        places.push(drawn.ok_or_else(|| unreadable(args, at, "this place has no number"))?);
    }
    Ok((header, secret, places))
}

fn unreadable(args: &VerifyDrawArgs, line: usize, why: impl Display) -> Failed {
    Failed::new(format!("Line {line} of {} is not that of a roster: {why}.", shown(&args.roster)))
}
