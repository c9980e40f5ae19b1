//! Tests of `rules`.

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use super::*;
use crate::kernel::ConcertId;

fn a_concert() -> NewConcert {
    NewConcert {
        title: " Night Ferry ".to_owned(),
        artist: "Sora Lane".to_owned(),
        venue: "Harbour Hall".to_owned(),
        description: "Two sets.\n\tDoors at seven.".to_owned(),
        time_zone: "Asia/Seoul".to_owned(),
    }
}

fn a_section(name: &str, rows: i32, seats_per_row: i32) -> NewSection {
    let price = Points::new(90_000).unwrap();
    NewSection { name: name.to_owned(), grade: "R".to_owned(), price, rows, seats_per_row }
}

fn a_schedule(sections: Vec<NewSection>) -> NewSchedule {
    let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    NewSchedule {
        concert_id: ConcertId::new(),
        sales_open_at: start,
        sales_close_at: start + TimeDelta::hours(1),
        starts_at: start + TimeDelta::hours(1),
        max_seats_per_person: 1,
        cancel_until: None,
        sections,
    }
}

/// Which fields were refused.
fn fault<T: std::fmt::Debug>(result: Checked<T>) -> String {
    let refusals = result.expect_err("a fault");
    let fields = refusals.into_iter().map(|refusal| match refusal {
        CatalogueRefusal::ValueInvalid { path, .. } => path.join("."),
        other => format!("{other:?}"),
    });
    fields.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_concert_is_trimmed_and_may_have_a_description_of_several_lines() {
    let concert = concert(&a_concert()).unwrap();
    assert_eq!(concert.title, "Night Ferry");
    assert_eq!(concert.description, "Two sets.\n\tDoors at seven.");
}

#[test]
fn texts_have_their_limits() {
    let too_long = "é".repeat(201);
    for text in [
        "",
        "  ",
        "a\nb",
        "a\0",
        "\u{3164}",
        "\u{200B}\u{200D}",
        "a\u{202E}b",
        "a\u{2028}b",
        &too_long,
    ] {
        let text = || text.to_owned();
        assert_eq!(fault(concert(&NewConcert { title: text(), ..a_concert() })), "title");
        assert_eq!(fault(concert(&NewConcert { artist: text(), ..a_concert() })), "artist");
        assert_eq!(fault(concert(&NewConcert { venue: text(), ..a_concert() })), "venue");
        assert_eq!(fault(concert(&NewConcert { time_zone: text(), ..a_concert() })), "timeZone");
    }
    let description = "a".repeat(5_001);
    assert_eq!(fault(concert(&NewConcert { description, ..a_concert() })), "description");
    for text in ["a\0b", "a\u{202E}b"] {
        let description = text.to_owned();
        assert_eq!(fault(concert(&NewConcert { description, ..a_concert() })), "description");
    }
    assert!(concert(&NewConcert { title: "é".repeat(200), ..a_concert() }).is_ok());
    assert!(concert(&NewConcert { description: String::new(), ..a_concert() }).is_ok());
}

#[test]
fn texts_are_kept_in_one_spelling() {
    let jamo = "\u{1112}\u{1161}\u{11AB}\u{1100}\u{1173}\u{11AF}";
    let given = NewConcert {
        title: format!(" {jamo} "),
        artist: "Zoe\u{308}".to_owned(),
        description: "Cafe\u{301}\n".to_owned(),
        ..a_concert()
    };
    let kept = concert(&given).unwrap();
    assert_eq!([&*kept.title, &kept.artist, &kept.description], ["한글", "Zoë", "Café"]);
    let nothing = NewConcert { description: "\u{3164}\u{200B}".to_owned(), ..a_concert() };
    assert_eq!(concert(&nothing).unwrap().description, "");
}

#[test]
fn sections_that_look_the_same_have_the_same_name() {
    let named = |name: &str| a_section(name, 1, 1);
    for (one, other) in [("Café", "Cafe\u{301}"), ("Floor", "Flo\u{200B}or"), ("A 1", "A\u{3000}1")]
    {
        let refused = fault(schedule(a_schedule(vec![named(one), named(other)])));
        assert_eq!(refused, "sections.1.name", "{one}");
    }
    assert!(schedule(a_schedule(vec![named("Floor"), named("floor")])).is_ok());
    // A grade has one spelling, too, and one price in all of them.
    let graded = |grade: &str, name: &str| NewSection { grade: grade.to_owned(), ..named(name) };
    let kept = schedule(a_schedule(vec![graded("Café", "A"), graded("Cafe\u{301}\u{200B}", "B")]))
        .unwrap();
    assert_eq!(kept.sections[0].grade, kept.sections[1].grade);
    let dear = NewSection { price: Points::new(1).unwrap(), ..graded("Cafe\u{301}", "B") };
    assert_eq!(fault(schedule(a_schedule(vec![graded("Café", "A"), dear]))), "sections.1.price");
}

#[test]
fn sales_open_before_they_close_and_close_before_the_performance() {
    let good = a_schedule(vec![a_section("Floor", 1, 1)]);
    assert!(schedule(good.clone()).is_ok());
    let empty_window = NewSchedule { sales_open_at: good.sales_close_at, ..good.clone() };
    assert_eq!(fault(schedule(empty_window)), "salesCloseAt");
    let late = NewSchedule { starts_at: good.starts_at - TimeDelta::seconds(1), ..good };
    assert_eq!(fault(schedule(late)), "salesCloseAt");
}

#[test]
fn fans_may_cancel_until_the_start_at_most() {
    let good = a_schedule(vec![a_section("Floor", 1, 1)]);
    let until = |at| NewSchedule { cancel_until: Some(at), ..good.clone() };
    assert!(schedule(until(good.starts_at)).is_ok());
    assert!(schedule(until(good.sales_open_at - TimeDelta::days(1))).is_ok());
    assert_eq!(fault(schedule(until(good.starts_at + TimeDelta::seconds(1)))), "cancelUntil");
    assert_eq!(fault(schedule(until(DateTime::UNIX_EPOCH))), "cancelUntil");
}

#[test]
fn the_seat_limit_of_a_person_is_1_to_20() {
    for limit in [0, 21, -1] {
        let good = a_schedule(vec![a_section("Floor", 1, 1)]);
        let new = NewSchedule { max_seats_per_person: limit, ..good };
        assert_eq!(fault(schedule(new)), "maxSeatsPerPerson");
    }
}

#[test]
fn sections_have_their_limits() {
    let refused = |sections| fault(schedule(a_schedule(sections)));
    let dear = |points| NewSection { price: Points::new(points).unwrap(), ..a_section("B", 1, 1) };
    let graded = |grade: &str| NewSection { grade: grade.to_owned(), ..a_section("B", 1, 1) };
    assert_eq!(refused(vec![]), "sections");
    assert_eq!(refused((0..51).map(|n| a_section(&n.to_string(), 1, 1)).collect()), "sections");
    assert_eq!(refused(vec![a_section("A", 200, 500), a_section("B", 1, 1)]), "sections");
    assert_eq!(refused(vec![a_section("A", 1, 1), a_section(" A ", 1, 1)]), "sections.1.name");
    assert_eq!(refused(vec![a_section("A", 201, 1)]), "sections.0.rows");
    assert_eq!(refused(vec![a_section("A", 0, 1)]), "sections.0.rows");
    assert_eq!(refused(vec![a_section("A", 1, 501)]), "sections.0.seatsPerRow");
    assert_eq!(refused(vec![a_section("", 1, 1)]), "sections.0.name");
    assert_eq!(refused(vec![dear(10_000_000_001)]), "sections.0.price");
    assert_eq!(refused(vec![graded(&"x".repeat(21))]), "sections.0.grade");
    assert_eq!(refused(vec![a_section("A", 1, 1), dear(1)]), "sections.1.price");
    assert!(schedule(a_schedule(vec![a_section("A", 200, 500)])).is_ok());
    assert!(schedule(a_schedule(vec![dear(10_000_000_000)])).is_ok());
    assert!(schedule(a_schedule(vec![dear(0)])).is_ok());
}

#[test]
fn everything_that_is_wrong_with_a_concert_is_told_at_once() {
    let bad = NewConcert {
        title: String::new(),
        artist: "a\nb".to_owned(),
        venue: "é".repeat(201),
        description: "a".repeat(5_001),
        time_zone: " ".to_owned(),
    };
    assert_eq!(fault(concert(&bad)), "title artist venue description timeZone");
    let two = NewConcert { title: String::new(), venue: String::new(), ..a_concert() };
    assert_eq!(fault(concert(&two)), "title venue");
}

#[test]
fn everything_that_is_wrong_with_a_schedule_is_told_at_once() {
    let good = a_schedule(vec![a_section("Floor", 1, 1)]);
    let bad = NewSchedule {
        starts_at: DateTime::UNIX_EPOCH,
        cancel_until: Some(DateTime::UNIX_EPOCH),
        max_seats_per_person: 0,
        sections: vec![
            a_section("A", 0, 501),
            NewSection { price: Points::new(10_000_000_001).unwrap(), ..a_section("", 1, 1) },
            a_section("A", 1, 1),
            NewSection { grade: " ".to_owned(), ..a_section("", 201, 0) },
        ],
        ..good.clone()
    };
    assert_eq!(
        fault(schedule(bad)),
        "startsAt cancelUntil maxSeatsPerPerson sections.0.rows sections.0.seatsPerRow sections.1.name sections.1.price \
         sections.2.name sections.3.name sections.3.grade sections.3.rows sections.3.seatsPerRow"
    );
    // Times that are none of ours are not compared with each other.
    let times = NewSchedule {
        sales_open_at: good.sales_close_at,
        sales_close_at: good.sales_open_at,
        starts_at: good.starts_at,
        cancel_until: Some(good.starts_at + TimeDelta::seconds(1)),
        sections: (0..51).map(|n| a_section(&n.to_string(), 0, 0)).collect(),
        ..good
    };
    assert_eq!(fault(schedule(times)), "salesCloseAt cancelUntil sections");
}

#[test]
fn a_sale_goes_from_draft_to_on_sale_to_closed_and_not_back() {
    use ScheduleStatus::{Cancelled, Closed, Draft, OnSale};
    let allowed = |now, over, to| change_sale(now, over, to).is_ok();
    assert!(allowed(Draft, false, OnSale));
    assert!(allowed(OnSale, false, OnSale));
    assert!(allowed(OnSale, false, Closed));
    assert!(allowed(Closed, false, Closed));
    assert!(allowed(OnSale, true, Closed));
    assert!(!allowed(Closed, false, OnSale));
    assert!(!allowed(Draft, true, OnSale));
    assert!(!allowed(OnSale, true, OnSale));
    assert!(!allowed(Draft, false, Closed));
    for now in [OnSale, Closed, Cancelled] {
        for over in [false, true] {
            assert!(allowed(now, over, Cancelled));
        }
    }
    assert!(!allowed(Draft, false, Cancelled));
    assert!(!allowed(Cancelled, false, OnSale));
    assert!(!allowed(Cancelled, false, Closed));
}

#[test]
fn a_search_finds_the_text_as_it_is() {
    let pattern = |text: &str| search_text(text).map(|text| search_pattern(&text));
    assert_eq!(pattern(" 100% _ok\\ ").as_deref(), Some("%100\\% \\_ok\\\\%"));
    assert_eq!(pattern("").as_deref(), Some("%%"));
    assert_eq!(pattern("Cafe\u{301}"), pattern("\u{200B}Café"));
    assert_eq!(pattern(&"a".repeat(101)), None);
    assert_eq!(pattern("a\0"), None);
}

#[test]
fn rows_are_named_like_the_columns_of_a_spreadsheet() {
    let names: Vec<String> = [1, 2, 26, 27, 28, 52, 53, 200].into_iter().map(row_label).collect();
    assert_eq!(names, ["A", "B", "Z", "AA", "AB", "AZ", "BA", "GR"]);
}

#[test]
fn the_middle_of_the_front_row_is_best() {
    let mut hall = seats(&a_section("Floor", 2, 5));
    hall.sort_by_key(|seat| seat.preference);
    let order: Vec<(i32, i32)> = hall.iter().map(|seat| (seat.row_index, seat.number)).collect();
    assert_eq!(order[..5], [(1, 3), (1, 2), (1, 4), (1, 1), (1, 5)]);
    assert_eq!(order[5], (2, 3));
}

proptest! {
    #[test]
    fn every_place_of_a_section_is_planned_once(rows in 1..=40, width in 1..=60) {
        let seats = seats(&a_section("Floor", rows, width));
        let places: HashSet<_> = seats.iter().map(|seat| (seat.row_index, seat.number)).collect();
        prop_assert_eq!(seats.len(), places.len());
        prop_assert_eq!(i32::try_from(seats.len()).unwrap(), rows * width);
    }

    #[test]
    fn in_front_is_better_and_nearer_to_the_middle_is_better(
        rows in 2..=200_i32, width in 1..=500_i32, a in 0_i32..100_000, b in 0_i32..100_000,
    ) {
        let (row_a, row_b) = (a % rows + 1, b % rows + 1);
        let (number_a, number_b) = (a / rows % width + 1, b / rows % width + 1);
        let off = |number: i32| (2 * number - width - 1).abs();
        let expected = (row_a, off(number_a)).cmp(&(row_b, off(number_b)));
        let actual = preference(row_a, number_a, width).cmp(&preference(row_b, number_b, width));
        prop_assert_eq!(actual, expected);
    }

    #[test]
    fn rows_have_names_of_their_own(a in 1..=20_000, b in 1..=20_000) {
        prop_assert_eq!(a == b, row_label(a) == row_label(b));
    }
}
