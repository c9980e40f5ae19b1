//! Seats that the server chooses, for one person and for crowds.

use super::*;
use crate::support::redis::PrivateRedis;

/// Row and number of each seat of a hold.
fn places(held: &Value) -> Vec<(String, i64)> {
    let seats = held["reservation"]["seats"].as_array().unwrap_or_else(|| panic!("{held}"));
    let place =
        |seat: &Value| (seat["row"].as_str().unwrap().to_owned(), seat["number"].as_i64().unwrap());
    seats.iter().map(place).collect()
}

/// So many seats side by side.
#[track_caller]
fn are_neighbours(held: &Value, count: usize) {
    let places = places(held);
    assert_eq!(places.len(), count, "{held}");
    let beside = |pair: &[(String, i64)]| pair[0].0 == pair[1].0 && pair[0].1 + 1 == pair[1].1;
    assert!(places.windows(2).all(beside), "{places:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_seats_are_in_front_and_in_the_middle_and_leave_nobody_alone() {
    let setup = Setup { rows: 2, seats_per_row: 5, max_seats_per_person: 4, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 4).await;
    let row = |row: &str, numbers: &[i64]| -> Vec<(String, i64)> {
        numbers.iter().map(|number| (row.to_owned(), *number)).collect()
    };
    // The three in the middle would leave one on each side.
    let first = people[0].hold_best(&show, "R", 3).await;
    assert_eq!(places(&first), row("A", &[1, 2, 3]));
    let second = people[1].hold_best(&show, "R", 4).await;
    assert_eq!(places(&second), row("B", &[1, 2, 3, 4]), "one is left, whichever four are taken");
    let alone = people[2].hold_best(&show, "R", 1).await;
    assert_eq!(places(&alone), row("B", &[5]), "whoever is alone sits where somebody has to");
    let pair = people[3].hold_best(&show, "R", 2).await;
    assert_eq!(places(&pair), row("A", &[4, 5]));
    assert_eq!(refusal(&people[3].hold_best(&show, "R", 1).await), Some("NO_ADJACENT_SEATS"));
    // With a block given back there are neighbours again.
    people[0].client.cancel(&id(&first)).await;
    assert_eq!(refusal(&people[3].hold_best(&show, "R", 2).await), None);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_came_back_without_a_word_are_found_all_the_same() {
    let (world, a, b, show) = world(Setup { seats_per_row: 2, ..Setup::default() }).await;
    // Nobody is told what is done here, and nothing is swept.
    let nowhere = PrivateRedis::stopped().await;
    let mute = world.quiet_instance(&[&nowhere.flag()]).await;
    let people = buying::buyers(&world, &[&a], &show, 3).await;
    let [one, two, three] = [&people[0], &people[1], &people[2]].map(|buyer| buyer.at(&b));
    let held = one.hold_best(&show, "R", 1).await;
    assert_eq!(refusal(&two.hold_best(&show, "R", 1).await), None);
    assert_eq!(refusal(&three.hold_best(&show, "R", 1).await), Some("NO_ADJACENT_SEATS"));
    assert_eq!(refusal(&one.at(&mute).client.cancel(&id(&held)).await), None);
    let found = three.hold_best(&show, "R", 1).await;
    assert_eq!(places(&found), places(&held));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_best_seats_are_chosen_from_what_postgres_says() {
    let setup = Setup { rows: 2, seats_per_row: 10, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, _b, show) = world(setup).await;
    let nowhere = PrivateRedis::stopped().await;
    let mute = world.quiet_instance(&[&nowhere.flag()]).await;
    let people = buying::buyers(&world, &[&a], &show, 10).await;
    let held = join_all(people.iter().enumerate().map(async |(n, buyer)| {
        let here = if n % 2 == 0 { buyer.clone() } else { buyer.at(&mute) };
        here.hold_best(&show, "R", 2).await
    }));
    held.await.iter().for_each(|held| are_neighbours(held, 2));
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_people_who_want_the_best_pair_of_a_thousand_seats_at_once_all_get_one() {
    let setup = Setup { rows: 25, seats_per_row: 40, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 100).await;
    let held = join_all(people.iter().map(|buyer| buyer.hold_best(&show, "R", 2))).await;
    held.iter().for_each(|held| are_neighbours(held, 2));
    let taken = "SELECT count(DISTINCT seat_id) FROM reservation_seat";
    assert_eq!(world.number(taken).await, 200);
    world.books_are_true().await;
}

/// Instances do not know what others are choosing at the moment, so this is promised of one only.
#[tokio::test(flavor = "multi_thread")]
async fn people_who_choose_at_one_instance_leave_nobody_to_sit_alone() {
    let setup = Setup { rows: 25, seats_per_row: 40, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, _, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a], &show, 60).await;
    let held = join_all(people.iter().map(|buyer| buyer.hold_best(&show, "R", 2))).await;
    held.iter().for_each(|held| are_neighbours(held, 2));
    let alone = "SELECT count(*) FROM seat s WHERE status = 'AVAILABLE' AND NOT EXISTS (
                     SELECT 1 FROM seat n WHERE n.schedule_id = s.schedule_id AND n.row_index = s.row_index
                       AND n.status = 'AVAILABLE' AND abs(n.number - s.number) = 1)";
    assert_eq!(world.number(alone).await, 0);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixty_who_want_blocks_of_the_same_seats_each_gets_all_of_one_or_nothing() {
    let setup = Setup { rows: 5, seats_per_row: 16, max_seats_per_person: 4, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 60).await;
    // Half of them name their seats, each block overlapping with several others; half have theirs chosen.
    let held = join_all(people.iter().enumerate().map(async |(n, buyer)| {
        if n % 4 < 2 {
            let mut block = [n, n + 1, n + 2, n + 3];
            if n % 8 < 4 {
                block.reverse();
            }
            buyer.hold_seats(&show, &block).await
        } else {
            buyer.hold_best(&show, "R", 4).await
        }
    }))
    .await;
    let mut won = 0;
    for (n, held) in held.iter().enumerate() {
        match refusal(held) {
            None if n % 4 < 2 => {
                assert_eq!(places(held).len(), 4);
                won += 1;
            }
            None => {
                are_neighbours(held, 4);
                won += 1;
            }
            Some(code) => assert!(["SEAT_HELD", "NO_ADJACENT_SEATS"].contains(&code), "{held}"),
        }
    }
    let taken = world.number("SELECT count(*) FROM seat WHERE status = 'HOLD'").await;
    assert_eq!(taken, won * 4);
    assert_eq!(world.number("SELECT count(*) FROM reservation_seat").await, won * 4);
    // Whoever was told that there are no neighbours was told the truth.
    let left = "SELECT count(*) FROM seat s WHERE (
                    SELECT count(*) FROM seat n WHERE n.schedule_id = s.schedule_id AND n.row_index = s.row_index
                      AND n.status = 'AVAILABLE' AND n.number - s.number BETWEEN 0 AND 3) = 4";
    if held.iter().any(|held| refusal(held) == Some("NO_ADJACENT_SEATS")) {
        assert_eq!(world.number(left).await, 0);
    }
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_people_who_ask_for_the_best_seats_at_once_get_seats_of_their_own() {
    let setup = Setup { rows: 4, seats_per_row: 6, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 20).await;
    let held = join_all(people.iter().map(|buyer| buyer.hold_best(&show, "R", 2))).await;
    let mut won = 0;
    for payload in &held {
        match refusal(payload) {
            None => {
                are_neighbours(payload, 2);
                won += 1;
            }
            Some(code) => assert_eq!(code, "NO_ADJACENT_SEATS"),
        }
    }
    assert!(won >= 8, "only {won} of 12 pairs found somebody");
    let taken = world.number("SELECT count(*) FROM seat WHERE status = 'HOLD'").await;
    assert_eq!(taken, won * 2);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_there_are_neighbours_nobody_is_told_that_there_are_none() {
    let setup = Setup { rows: 10, seats_per_row: 20, max_seats_per_person: 2, ..Setup::default() };
    let (world, a, b, show) = world(setup).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 60).await;
    let held = join_all(people.iter().map(|buyer| buyer.hold_best(&show, "R", 2))).await;
    let refused: Vec<&Value> = held.iter().filter(|payload| refusal(payload).is_some()).collect();
    assert!(refused.is_empty(), "{} of 60: {}", refused.len(), refused[0]);
    let taken = world.number("SELECT count(*) FROM seat WHERE status = 'HOLD'").await;
    assert_eq!(taken, 120);
    world.books_are_true().await;
}
