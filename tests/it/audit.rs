//! `frontrow audit`: true books pass, also while people buy, and each kind of false ones is named.

mod cards;

use frontrow::audit;

use crate::support::{
    buying::{self, Buyer},
    eventually,
    shop::{self, Setup, Show},
    world::World,
};

/// A world with a history of everything, and some of its rows by name.
struct Busy {
    world: World,
    show: Show,
    /// Owns two seats under two reservations.
    owner: Buyer,
    bought: String,
    /// Had a purchase refunded.
    refunded: String,
    /// A live hold of two seats.
    held: String,
}

async fn busy() -> Busy {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup { max_seats_per_person: 2, ..Setup::default() }).await;
    let people = buying::buyers(&world, &[&a, &b], &show, 6).await;
    let owner = people[0].clone();
    let bought = owner.bought(&show, 0, 1_000).await;
    owner.bought(&show, 1, 1_000).await;
    let refunded = people[1].bought(&show, 2, 1_000).await;
    people[1].at(&a).client.cancel(&refunded).await;
    let given_back = people[2].held(&show, 3).await;
    people[2].client.cancel(&given_back).await;
    let lapsed = people[3].held(&show, 4).await;
    world.lapse(&lapsed).await;
    people[4].client.leave(&show.id).await;
    let held = people[5].hold_seats(&show, &[5, 6]).await;
    let held = held["reservation"]["id"].as_str().unwrap().to_owned();
    people[2].bought(&show, 2, 1_000).await;
    Busy { world, show, owner, bought, refunded, held }
}

#[tokio::test(flavor = "multi_thread")]
async fn true_books_exit_0() {
    let busy = busy().await;
    busy.world.books_are_true().await;
    let (status, text) = busy.world.audit_command().await;
    assert_eq!((status, text.as_str()), (0, "All 26 checks hold.\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_has_true_books() {
    let world = World::new().await;
    assert_eq!(world.audit_command().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn false_books_exit_1_and_name_the_row() {
    let Busy { world, show, owner, bought, .. } = busy().await;
    let person = owner.person_id();
    let payment = payment_of(&world, &bought).await;
    let seat = &show.seats[0];
    let plants = [
        (
            "a changed balance",
            format!("UPDATE wallet SET balance = balance + 1 WHERE person_id = '{person}'"),
            format!("UPDATE wallet SET balance = balance - 1 WHERE person_id = '{person}'"),
            "balances_are_the_sum_of_entries",
            person,
        ),
        (
            "a payment of another amount",
            format!("UPDATE payment SET amount = amount - 1 WHERE id = '{payment}'"),
            format!("UPDATE payment SET amount = amount + 1 WHERE id = '{payment}'"),
            "payments_agree_with_reservations",
            &payment,
        ),
        (
            "a CONFIRMED reservation turned EXPIRED",
            format!(
                "UPDATE reservation SET status = 'EXPIRED', confirmed_at = NULL WHERE id = '{bought}'"
            ),
            format!(
                "UPDATE reservation SET status = 'CONFIRMED', confirmed_at = held_at WHERE id = '{bought}'"
            ),
            "confirmed_reservations_are_paid_once",
            &bought,
        ),
        (
            "a SOLD_OUT seat turned AVAILABLE",
            format!(
                "UPDATE seat SET status = 'AVAILABLE', reservation_id = NULL WHERE id = '{seat}'"
            ),
            format!(
                "UPDATE seat SET status = 'SOLD_OUT', reservation_id = '{bought}' WHERE id = '{seat}'"
            ),
            "reservations_have_their_seats",
            seat,
        ),
    ];
    for (what, plant, repair, check, row) in &plants {
        world.sql(plant).await;
        let (status, text) = world.audit_command().await;
        assert_eq!(status, 1, "{what}: {text}");
        assert!(text.contains(check) && text.contains(*row), "{what} at {row}: {text}");
        world.sql(repair).await;
        world.books_are_true().await;
    }
}

async fn payment_of(world: &World, reservation_id: &str) -> String {
    let sql = format!("SELECT id::text FROM payment WHERE reservation_id = '{reservation_id}'");
    world.texts(&sql).await.remove(0)
}

/// Plants a fault, and expects a check to name a row.
async fn finds(world: &World, plant: &str, check: &str, row: &str) {
    world.sql(plant).await;
    let checks = audit::audit(&world.db).await.unwrap();
    let found = checks.iter().find(|found| found.name == check).expect("such a check");
    let named = found.faults.iter().any(|fault| fault.contains(row));
    assert!(found.count > 0 && named, "{plant}\nhas to be found by {check} at {row}: {checks:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_of_another_performance_are_named() {
    let Busy { world, held, .. } = busy().await;
    let instance = world.quiet_instance(&[]).await;
    let other = shop::show(&world, &instance, Setup::default()).await;
    let stray = format!(
        "UPDATE reservation_seat SET seat_id = '{}' WHERE ctid = (
             SELECT l.ctid FROM reservation_seat l WHERE l.reservation_id = 'THE_RESERVATION' LIMIT 1)",
        other.seats[0]
    );
    let lapsed = world
        .texts("SELECT id::text FROM reservation WHERE status <> 'CONFIRMED' AND seat_count = 1")
        .await;
    for reservation in [&held, &lapsed[0]] {
        let plant = stray.replace("THE_RESERVATION", reservation);
        finds(&world, &plant, "reservations_have_their_seats", reservation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_disagree_with_reservations_are_named() {
    let Busy { world, show, bought, held, .. } = busy().await;
    let sql = |text: &str| {
        text.replace("SEAT_A", &show.seats[0])
            .replace("SEAT_B", &show.seats[9])
            .replace("THE_HOLD", &held)
            .replace("THE_SALE", &bought)
    };
    let cases = [
        // A free seat given away without a line.
        ("UPDATE seat SET status = 'SOLD_OUT', reservation_id = 'THE_SALE' WHERE id = 'SEAT_B'",
         "UPDATE seat SET status = 'AVAILABLE', reservation_id = NULL WHERE id = 'SEAT_B'",
         "seats_name_their_owner", "SEAT_B"),
        // A sold seat that somebody else's hold took.
        ("UPDATE seat SET status = 'HOLD', reservation_id = 'THE_HOLD', hold_expires_at = now() WHERE id = 'SEAT_A'",
         "UPDATE seat SET status = 'SOLD_OUT', reservation_id = 'THE_SALE', hold_expires_at = NULL WHERE id = 'SEAT_A'",
         "reservations_have_their_seats", "THE_SALE"),
        // A hold whose seats end at another time.
        ("UPDATE seat SET hold_expires_at = hold_expires_at + interval '1 s' WHERE reservation_id = 'THE_HOLD'",
         "UPDATE seat SET hold_expires_at = hold_expires_at - interval '1 s' WHERE reservation_id = 'THE_HOLD'",
         "seats_name_their_owner", "THE_HOLD"),
        // Seats sold under a hold.
        ("UPDATE seat SET status = 'SOLD_OUT', hold_expires_at = NULL WHERE reservation_id = 'THE_HOLD'",
         "UPDATE seat s SET status = 'HOLD', hold_expires_at = r.expires_at FROM reservation r
          WHERE r.id = s.reservation_id AND r.id = 'THE_HOLD'",
         "seats_name_their_owner", "THE_HOLD"),
        // A price that is not the sum of the lines.
        ("UPDATE reservation SET total_price = total_price + 1 WHERE id = 'THE_HOLD'",
         "UPDATE reservation SET total_price = total_price - 1 WHERE id = 'THE_HOLD'",
         "reservations_add_up", "THE_HOLD"),
        // A line too many.
        ("INSERT INTO reservation_seat VALUES ('THE_HOLD', 'SEAT_B', 0)",
         "DELETE FROM reservation_seat WHERE seat_id = 'SEAT_B'",
         "reservations_add_up", "THE_HOLD"),
        // More than one person may hold and own.
        ("UPDATE schedule SET max_seats_per_person = 1",
         "UPDATE schedule SET max_seats_per_person = 2",
         "people_keep_to_the_seat_limit", &show.id),
        // A hold from before the person was let in.
        ("UPDATE reservation SET held_at = held_at - interval '1 hour' WHERE id = 'THE_HOLD'",
         "UPDATE reservation SET held_at = held_at + interval '1 hour' WHERE id = 'THE_HOLD'",
         "holds_prove_admission", "THE_HOLD"),
        // Somebody had the seat while it was another's.
        ("INSERT INTO reservation SELECT gen_random_uuid(), person_id, schedule_id, queue_token_id, 'EXPIRED', 1, 1000,
            held_at + interval '1 s', expires_at, NULL, NULL FROM reservation WHERE id = 'THE_SALE';
          INSERT INTO reservation_seat SELECT id, 'SEAT_A', 1000 FROM reservation WHERE status = 'EXPIRED' AND seat_count = 1
            AND NOT EXISTS (SELECT 1 FROM reservation_seat WHERE reservation_id = reservation.id)",
         "", "seats_have_one_holder_at_a_time", "SEAT_A"),
    ];
    for (plant, repair, check, row) in cases {
        finds(&world, &sql(plant), check, &sql(row)).await;
        if !repair.is_empty() {
            world.sql(&sql(repair)).await;
            world.books_are_true().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_does_not_add_up_is_named() {
    let Busy { world, owner, bought, refunded, held, .. } = busy().await;
    let person = owner.person_id().to_owned();
    let (paid, back) = (payment_of(&world, &bought).await, payment_of(&world, &refunded).await);
    let sql = |text: &str| {
        text.replace("PERSON", &person)
            .replace("THE_PAYMENT", &paid)
            .replace("THE_REFUND", &back)
            .replace("HELD", &held)
    };
    world.sql("ALTER TABLE wallet_entry DISABLE TRIGGER wallet_entry_append_only").await;
    finds(&world, "SELECT 1", "guards_are_in_place", "wallet_entry_append_only").await;
    world.sql("ALTER TABLE wallet_entry ENABLE TRIGGER wallet_entry_append_only").await;
    world.books_are_true().await;
    world.sql("ALTER TABLE wallet_entry DISABLE TRIGGER wallet_entry_append_only").await;
    let cases = [
        ("UPDATE wallet_entry SET balance_after = balance_after + 1 WHERE person_id = 'PERSON' AND kind = 'DEDUCT'",
         "UPDATE wallet_entry SET balance_after = balance_after - 1 WHERE person_id = 'PERSON' AND kind = 'DEDUCT'",
         "entries_follow_each_other", "PERSON"),
        ("UPDATE wallet_entry SET delta = delta - 1 WHERE payment_id = 'THE_PAYMENT'",
         "UPDATE wallet_entry SET delta = delta + 1 WHERE payment_id = 'THE_PAYMENT'",
         "entries_belong_to_payments", "THE_PAYMENT"),
        ("UPDATE payment SET status = 'APPROVED', refunded_at = NULL WHERE id = 'THE_REFUND'",
         "UPDATE payment SET status = 'REFUNDED', refunded_at = now() WHERE id = 'THE_REFUND'",
         "entries_belong_to_payments", "THE_REFUND"),
        ("UPDATE payment SET status = 'FAILED', approved_at = NULL, failure_code = 'CARD_DECLINED' WHERE id = 'THE_PAYMENT'",
         "UPDATE payment SET status = 'APPROVED', approved_at = created_at, failure_code = NULL WHERE id = 'THE_PAYMENT'",
         "payments_moved_points", "THE_PAYMENT"),
        // A hold that was paid, or so the payment says.
        ("INSERT INTO payment SELECT gen_random_uuid(), person_id, id, 'CARD', total_price, 'APPROVED', NULL, 'k', '', now(),
            now() FROM reservation WHERE id = 'HELD'",
         "DELETE FROM payment WHERE reservation_id = 'HELD'",
         "confirmed_reservations_are_paid_once", "HELD"),
        // Paid long after the hold had lapsed.
        (
            "UPDATE payment SET approved_at = approved_at + interval '1 hour' WHERE id = 'THE_PAYMENT'",
            "UPDATE payment SET approved_at = approved_at - interval '1 hour' WHERE id = 'THE_PAYMENT'",
            "payments_agree_with_reservations",
            "THE_PAYMENT",
        ),
        // A refund that never reached the wallet.
        ("DELETE FROM wallet_entry WHERE payment_id = 'THE_REFUND' AND kind = 'ROLLBACK'", "",
         "payments_moved_points", "THE_REFUND"),
    ];
    for (plant, repair, check, row) in cases {
        finds(&world, &sql(plant), check, &sql(row)).await;
        world.sql(&sql(repair)).await;
    }
    for guard in ["payment_live_unique", "wallet_entry_purpose_unique"] {
        finds(&world, &format!("DROP INDEX {guard}"), "guards_are_in_place", guard).await;
    }
    let drop = "ALTER TABLE wallet DROP CONSTRAINT wallet_balance_range";
    finds(&world, drop, "guards_are_in_place", "wallet_balance_range").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_out_of_order_is_named() {
    let Busy { world, show, bought, .. } = busy().await;
    // What was admitted under a larger maxActive is no fault when it is lowered.
    world.sql("UPDATE waiting_room SET max_active = 1").await;
    world.books_are_true().await;
    let plant = "UPDATE waiting_room SET max_active_lowered_at = NULL";
    finds(&world, plant, "never_too_many_active", &show.id).await;
    world.sql("UPDATE waiting_room SET max_active = 1000").await;
    world.books_are_true().await;

    let plant = "UPDATE queue_counter SET last_number = last_number - 1";
    finds(&world, plant, "numbers_are_unique", &show.id).await;
    world.sql("UPDATE queue_counter SET last_number = last_number + 1").await;

    let token = world
        .texts(
            "SELECT id::text FROM queue_token t
             WHERE status = 'ACTIVE' AND NOT EXISTS (SELECT 1 FROM payment p WHERE p.person_id = t.person_id)
             ORDER BY number DESC LIMIT 1",
        )
        .await
        .remove(0);
    let person = world
        .texts(&format!("SELECT person_id::text FROM queue_token WHERE id = '{token}'"))
        .await
        .remove(0);
    let late = format!(
        "UPDATE queue_token SET activated_at = activated_at + interval '20 s', number = 0 + 1000 WHERE id = '{token}';
         UPDATE queue_counter SET last_number = 1000;
         INSERT INTO queue_token (id, schedule_id, person_id, number, status, entered_at, activated_at, last_action_at, ended_at)
         SELECT gen_random_uuid(), schedule_id, person_id, 2000, 'USED', entered_at, activated_at - interval '10 s',
                activated_at, activated_at FROM queue_token WHERE id = '{token}'"
    );
    finds(&world, &late, "nobody_is_overtaken", &token).await;
    finds(&world, "SELECT 1", "used_tokens_paid", &person).await;
    finds(&world, "SELECT 1", "numbers_are_unique", "2000").await;
    finds(
        &world,
        &format!("UPDATE reservation SET queue_token_id = '{token}' WHERE id = '{bought}'"),
        "holds_prove_admission",
        &bought,
    )
    .await;
}

/// Six people, numbers 1 to 6, who entered two hours ago; the sixth was in an hour ago. As a busy instance would have it, and
/// nothing runs by itself.
async fn sixth_was_first() -> (World, Show) {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, Setup::default()).await;
    for fan in shop::fans(&world, &a, 6).await {
        fan.enter(&show.id).await;
    }
    world
        .sql(
            "UPDATE queue_token SET entered_at = now() - interval '2 hours';
             UPDATE schedule SET sales_open_at = now() - interval '3 hours';
             ALTER TABLE waiting_room DISABLE TRIGGER waiting_room_draw_stands;
             UPDATE waiting_room SET absences_noted_from = now() - interval '1 day', drawn_at = now() - interval '3 hours';
             ALTER TABLE waiting_room ENABLE TRIGGER waiting_room_draw_stands;
             UPDATE queue_token SET status = 'EXPIRED', activated_at = now() - interval '1 hour', last_action_at = now(),
                    expires_at = now() - interval '50 minutes', ended_at = now() - interval '50 minutes' WHERE number = 6",
        )
        .await;
    (world, show)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_present_is_overtaken_by_nobody_however_long_they_wait() {
    let (world, _) = sixth_was_first().await;
    let ids = world.texts("SELECT id::text FROM queue_token ORDER BY number").await;
    for id in &ids[..5] {
        finds(&world, "SELECT 1", "nobody_is_overtaken", id).await;
    }
    let named = world.audit_command().await.1;
    assert!(!named.contains(&ids[5]), "{named}");
    // What was not noted is not judged.
    world.sql("UPDATE waiting_room SET absences_noted_from = now()").await;
    world.books_are_true().await;
    world.sql("UPDATE waiting_room SET absences_noted_from = now() - interval '1 day'").await;
    // Three were away at that time, and still are. One is back, one left before and one has just left.
    world
        .sql(
            "UPDATE queue_token SET passed_over_at = now() - interval '70 minutes' WHERE number <= 3;
             UPDATE queue_token SET passed_over_at = NULL WHERE number = 3;
             UPDATE queue_token SET status = 'EXPIRED', ended_at = now() - interval '61 minutes' WHERE number = 4;
             UPDATE queue_token SET status = 'EXPIRED', ended_at = now() - interval '1 minute' WHERE number = 5",
        )
        .await;
    finds(&world, "SELECT 1", "nobody_is_overtaken", &ids[4]).await;
    world
        .sql("UPDATE queue_token SET ended_at = now() - interval '61 minutes' WHERE number = 5")
        .await;
    world.books_are_true().await;
    // Away before it and after it is present at it.
    let twice = "UPDATE queue_token SET absences = tstzmultirange(
            tstzrange(now() - interval '100 minutes', now() - interval '80 minutes'),
            tstzrange(now() - interval '40 minutes', now() - interval '30 minutes')) WHERE number = 3";
    finds(&world, twice, "nobody_is_overtaken", &ids[2]).await;
    // Somebody who was overtaken while away, and once more when back.
    let again = "UPDATE queue_token SET absences = tstzmultirange(
            tstzrange(now() - interval '70 minutes', now() - interval '50 minutes')) WHERE number = 3";
    world.sql(again).await;
    world.books_are_true().await;
    let second = "UPDATE queue_token SET activated_at = now() - interval '30 minutes', ended_at = now(), last_action_at = now()
                  WHERE number = 5";
    finds(&world, second, "nobody_is_overtaken", &ids[2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_absences_become_one_and_are_still_absences() {
    let (world, _) = sixth_was_first().await;
    world.sql("DELETE FROM queue_token WHERE number BETWEEN 2 AND 5").await;
    let id = world.texts("SELECT id::text FROM queue_token WHERE number = 1").await.remove(0);
    let thirty = "UPDATE queue_token SET absences = (
            SELECT range_agg(tstzrange(now() - make_interval(mins => m), now() - make_interval(mins => m, secs => -30)))
            FROM generate_series(61, 90) m) WHERE number = 1";
    finds(&world, thirty, "nobody_is_overtaken", &id).await;
    world.sql("UPDATE queue_token SET passed_over_at = now() WHERE number = 1").await;
    world.sql("UPDATE queue_token SET passed_over_at = NULL WHERE number = 1").await;
    let kept = "SELECT count(*) FROM queue_token, unnest(absences) WHERE number = 1";
    assert_eq!(world.number(kept).await, 1);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_people_than_a_round_admits_are_named() {
    let (world, show) = sixth_was_first().await;
    let together = "UPDATE queue_token SET status = 'EXPIRED', activated_at = now() - interval '1 hour', last_action_at = now(),
            expires_at = now() - interval '50 minutes', ended_at = now() - interval '50 minutes'";
    world.sql(together).await;
    world.books_are_true().await;
    // Rounds that were made smaller or rarer later do not judge what was before.
    world.sql("UPDATE waiting_room SET admit_per_round = 5").await;
    world.books_are_true().await;
    let forget = "UPDATE waiting_room SET slowed_at = NULL";
    finds(&world, forget, "rounds_keep_their_pace", &show.id).await;
    // Five, and a sixth a millisecond after, before and when the round is over.
    let sixth =
        "UPDATE queue_token SET activated_at = activated_at + interval '99 ms' WHERE number = 6";
    finds(&world, sixth, "rounds_keep_their_pace", &show.id).await;
    world
        .sql(
            "UPDATE queue_token SET activated_at = activated_at + interval '1 ms' WHERE number = 6",
        )
        .await;
    world.books_are_true().await;
    world.sql("UPDATE waiting_room SET round_ms = 101").await;
    world.books_are_true().await;
    finds(&world, forget, "rounds_keep_their_pace", &show.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_outside_of_the_sales_times_is_named() {
    let Busy { world, held, .. } = busy().await;
    let token = format!("SELECT queue_token_id::text FROM reservation WHERE id = '{held}'");
    let token = world.texts(&token).await.remove(0);
    let check = "sales_keep_their_times";
    // Closing it now is no fault of those who were there before, nor is it to end it now, or to open it later.
    for (change, forget) in [
        ("UPDATE schedule SET status = 'CLOSED'",
         "UPDATE schedule SET closed_at = closed_at - interval '1 hour'"),
        ("UPDATE schedule SET status = 'ON_SALE', sales_close_at = now() - interval '30 minutes',
            sales_open_at = now() - interval '1 hour'",
         "UPDATE schedule SET shortened_at = NULL"),
    ] {
        world.sql(change).await;
        world.books_are_true().await;
        finds(&world, forget, check, &token).await;
        finds(&world, "SELECT 1", check, &held).await;
    }
    world.sql("UPDATE schedule SET sales_close_at = now() + interval '2 days'").await;
    world.books_are_true().await;
    world.sql("UPDATE schedule SET sales_open_at = now() + interval '1 day'").await;
    world.books_are_true().await;
    finds(&world, "UPDATE schedule SET shortened_at = NULL", check, &token).await;
    let drop = "ALTER TABLE schedule DISABLE TRIGGER schedule_closed";
    finds(&world, drop, "guards_are_in_place", "schedule_closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_faults_twenty_are_told_and_all_are_counted() {
    let Busy { world, .. } = busy().await;
    world
        .sql(
            "INSERT INTO person SELECT gen_random_uuid(), n || '@poor.example', 'Poor', '-', 'FAN' FROM generate_series(1, 50) n;
             INSERT INTO wallet SELECT id, 5 FROM person WHERE name = 'Poor'",
        )
        .await;
    let (status, text) = world.audit_command().await;
    assert_eq!(status, 1);
    assert!(text.contains("balances_are_the_sum_of_entries: 50 at fault"), "{text}");
    assert!(text.contains("and 30 more"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("wallet of person")).count(), 20);
}
