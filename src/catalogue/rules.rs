//! What concerts and schedules have to look like, how a sale goes on, and where the seats stand. Pure.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
};

use chrono::Datelike;

use super::{CatalogueRefusal, NewConcert, NewSchedule, NewSection, PlannedSeat, ScheduleStatus};
use crate::kernel::{self, Checks, Points, Timestamp, appearance, composed, is_a_book, trimmed};

const TEXT_MAX: usize = 200;
const DESCRIPTION_MAX: usize = 5_000;
const TIME_ZONE_MAX: usize = 64;
const SEARCH_MAX: usize = 100;
const SECTION_NAME_MAX: usize = 50;
const GRADE_MAX: usize = 20;
const SECTIONS_MAX: usize = 50;
const SEATS_MAX: i32 = 100_000;
const PRICE_MAX: i64 = 10_000_000_000;
const ROWS: RangeInclusive<i32> = 1..=200;
const SEATS_PER_ROW: RangeInclusive<i32> = 1..=500;
const SEATS_PER_PERSON: RangeInclusive<i32> = 1..=20;

type Refusals = Checks<CatalogueRefusal>;
/// What was checked, or everything that is wrong with it.
type Checked<T> = Result<T, Vec<CatalogueRefusal>>;

/// A concert as it is stored: texts trimmed and in their one spelling. Whether there is such a time zone, only Postgres knows.
pub(super) fn concert(new: &NewConcert) -> Checked<NewConcert> {
    let mut checks = Refusals::default();
    let concert = NewConcert {
        title: line(&mut checks, "title", &new.title, TEXT_MAX),
        artist: line(&mut checks, "artist", &new.artist, TEXT_MAX),
        venue: line(&mut checks, "venue", &new.venue, TEXT_MAX),
        description: description(&mut checks, &new.description),
        time_zone: line(&mut checks, "timeZone", &new.time_zone, TIME_ZONE_MAX),
    };
    checks.outcome(concert)
}

fn description(checks: &mut Refusals, text: &str) -> String {
    let refusal = || {
        let message =
            "At most 5000 characters of text, none of which overrides the direction of writing.";
        CatalogueRefusal::value("description", message)
    };
    checks.keep(kernel::lines(text, DESCRIPTION_MAX).ok_or_else(refusal)).unwrap_or_default()
}

/// Performances are planned in our time: an odd year is a mistake, and one that is far off never opens or never closes.
const YEARS: RangeInclusive<i32> = 2000..=2199;

/// A schedule as it is stored: names trimmed and in their one spelling, and everything within its limits.
pub(super) fn schedule(mut new: NewSchedule) -> Checked<NewSchedule> {
    let mut checks = Refusals::default();
    times(&mut checks, &new);
    checks.keep(CatalogueRefusal::unless_in(
        "maxSeatsPerPerson",
        new.max_seats_per_person,
        SEATS_PER_PERSON,
    ));
    new.sections = sections(&mut checks, new.sections);
    checks.outcome(new)
}

/// Times are compared where each of them makes sense; of one field only the first fault is told.
fn times(checks: &mut Refusals, new: &NewSchedule) {
    let starts = within_years(checks, "startsAt", new.starts_at);
    let opens = within_years(checks, "salesOpenAt", new.sales_open_at);
    let closes = within_years(checks, "salesCloseAt", new.sales_close_at);
    if opens && closes && new.sales_open_at >= new.sales_close_at {
        checks.add([CatalogueRefusal::value(
            "salesCloseAt",
            "Sales have to open before they close.",
        )]);
    } else if starts && closes && new.sales_close_at > new.starts_at {
        checks.add([CatalogueRefusal::value(
            "salesCloseAt",
            "Sales have to close before the performance starts, or when it does.",
        )]);
    }
    let Some(cancel_until) = new.cancel_until else { return };
    if within_years(checks, "cancelUntil", cancel_until) && starts {
        checks.unless(cancel_until <= new.starts_at, || {
            let message = "Not after the performance starts; leave it out for its very start.";
            CatalogueRefusal::value("cancelUntil", message)
        });
    }
}

fn sections(checks: &mut Refusals, sections: Vec<NewSection>) -> Vec<NewSection> {
    if sections.is_empty() || sections.len() > SECTIONS_MAX {
        // So many are not looked at one by one: each could have several faults.
        checks.add([CatalogueRefusal::value("sections", "1 to 50 sections.")]);
        return sections;
    }
    // Two names that look the same are one for who reads them on a ticket.
    let mut names = HashSet::new();
    let mut grades: HashMap<String, (String, Points)> = HashMap::new();
    let mut checked = Vec::with_capacity(sections.len());
    let mut all_fit = true;
    for (index, new) in sections.into_iter().enumerate() {
        let mut faults = Refusals::default();
        let mut section = section(&mut faults, new);
        let named_anew = names.insert(appearance(&section.name));
        faults.unless(named_anew || section.name.is_empty(), || {
            CatalogueRefusal::value("name", "Another section has this name.")
        });
        if !section.grade.is_empty() && section.price.get() <= PRICE_MAX {
            let (price, grade) = (section.price, section.grade.clone());
            let first = grades.entry(appearance(&grade)).or_insert((grade, price));
            section.grade.clone_from(&first.0);
            let price = first.1;
            faults.unless(price == section.price, || {
                CatalogueRefusal::value("price", "A grade has one price.")
            });
        }
        if let Err(found) = faults.outcome(()) {
            all_fit = false;
            let index = index.to_string();
            checks.add(found.into_iter().map(|it| it.within(&["sections", &index])));
        }
        checked.push(section);
    }
    checks.unless(!all_fit || seat_count(&checked) <= SEATS_MAX, || {
        CatalogueRefusal::value("sections", "At most 100000 seats in all.")
    });
    checked
}

fn section(checks: &mut Refusals, new: NewSection) -> NewSection {
    let section = NewSection {
        name: line(checks, "name", &new.name, SECTION_NAME_MAX),
        grade: line(checks, "grade", &new.grade, GRADE_MAX),
        ..new
    };
    checks.unless(section.price.get() <= PRICE_MAX, || {
        CatalogueRefusal::value("price", "0 to 10000000000 points.")
    });
    checks.keep(CatalogueRefusal::unless_in("rows", section.rows, ROWS));
    checks.keep(CatalogueRefusal::unless_in("seatsPerRow", section.seats_per_row, SEATS_PER_ROW));
    section
}

/// Seats of all sections together.
pub(super) fn seat_count(sections: &[NewSection]) -> i32 {
    sections.iter().fold(0_i32, |sum, section| {
        sum.saturating_add(section.rows.saturating_mul(section.seats_per_row))
    })
}

/// Whether a sale that stands at `now` may go to `to`. Going where it is already is no change, and fine.
///
/// `now` is as stored; `window_over` says that the time for selling has passed.
pub(super) fn change_sale(
    now: ScheduleStatus,
    window_over: bool,
    to: ScheduleStatus,
) -> Result<(), CatalogueRefusal> {
    use ScheduleStatus::{Cancelled, Closed, Draft, OnSale};
    let refused = |message| Err(CatalogueRefusal::WrongState(message));
    match (now, to) {
        (Cancelled, OnSale | Closed) => refused("The performance was called off."),
        (Closed, OnSale) => refused("The sale was closed, and does not open again."),
        (Draft | OnSale, OnSale) if window_over => {
            refused("The time for selling is over; a sale does not open after it.")
        }
        (Draft, Closed) => refused("The sale was never opened."),
        (Draft, Cancelled) => {
            refused("The sale was never opened: nobody knows of it, and nobody has paid.")
        }
        (_, Draft) => refused("A schedule does not become a draft again."),
        (Draft | OnSale, OnSale) | (OnSale | Closed, Closed) | (_, Cancelled) => Ok(()),
    }
}

/// A text to look for, in the spelling in which texts are stored; `None` when it is too long, or has control characters.
pub(super) fn search_text(text: &str) -> Option<String> {
    if is_a_book(text, SEARCH_MAX) {
        return None;
    }
    let text = composed(trimmed(text));
    let fits = text.chars().count() <= SEARCH_MAX && !text.contains(char::is_control);
    fits.then(|| text.into_owned())
}

/// The pattern for LIKE that finds a text as it is.
pub(super) fn search_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Every seat of a section, front row first.
pub(super) fn seats(section: &NewSection) -> Vec<PlannedSeat> {
    let width = section.seats_per_row;
    let seat = |row_index, number| PlannedSeat {
        row_index,
        number,
        preference: preference(row_index, number, width),
    };
    (1..=section.rows).flat_map(|row| (1..=width).map(move |number| seat(row, number))).collect()
}

/// How good a seat is; lower is better. Any seat of a row is better than all behind it, and within a row the middle is
/// best.
fn preference(row_index: i32, number: i32, width: i32) -> i32 {
    /// More than the largest distance from the middle.
    const ROW: i32 = 1_000;
    let from_middle = (2 * number - (width + 1)).abs();
    (row_index - 1) * ROW + from_middle
}

/// The name of a row: A, B, ... Z, AA, AB, ... (the digits have no zero).
pub(super) fn row_label(index: i32) -> String {
    let mut rest = u32::try_from(index).unwrap_or(0);
    let mut label = Vec::new();
    while rest > 0 {
        rest -= 1;
        label.push(char::from_u32(u32::from('A') + rest % 26).unwrap_or('?'));
        rest /= 26;
    }
    label.iter().rev().collect()
}

/// A text of one line as it is stored; empty when it is none.
fn line(checks: &mut Refusals, field: &str, text: &str, max: usize) -> String {
    let refusal = || {
        let message = format!(
            "One line of 1 to {max} characters with something to see, none of which turns the direction of writing."
        );
        CatalogueRefusal::value(field, message)
    };
    checks.keep(kernel::line(text, max).ok_or_else(refusal)).unwrap_or_default()
}

/// Whether an instant is one of our time.
fn within_years(checks: &mut Refusals, field: &str, instant: Timestamp) -> bool {
    let fits = YEARS.contains(&instant.year());
    checks.unless(fits, || {
        let message = format!("In the years {} to {}.", YEARS.start(), YEARS.end());
        CatalogueRefusal::value(field, message)
    });
    fits
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
