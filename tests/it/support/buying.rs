//! Crowds that are in, the rest of a fan's steps, and whether the books are true.

use std::process::Command;

use frontrow::audit;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{
    client::{Client, refusal},
    eventually,
    process::clean,
    shop::{self, Show},
    world::{Instance, World},
};

/// An admitted person and their queue token.
#[derive(Debug, Clone)]
pub(crate) struct Buyer {
    pub(crate) client: Client,
    pub(crate) token: String,
}

/// This many people enter at once.
const ENTERING: usize = 100;

/// People who are all ACTIVE, spread over the instances.
pub(crate) async fn buyers(
    world: &World,
    instances: &[&Instance],
    show: &Show,
    count: usize,
) -> Vec<Buyer> {
    let fans = shop::fans(world, instances[0], count).await;
    let spread = fans
        .into_iter()
        .zip(instances.iter().cycle())
        .map(|(fan, instance)| fan.at(instance.address));
    // A thousand at once would be told to come again.
    let entered: Vec<Buyer> = stream::iter(spread.map(|client| async {
        let entered = client.enter(&show.id).await;
        let token = entered["queueToken"]["token"].as_str().unwrap_or_else(|| panic!("{entered}"));
        Buyer { token: token.to_owned(), client }
    }))
    .buffered(ENTERING)
    .collect()
    .await;
    let people: Vec<String> = entered
        .iter()
        .map(|buyer| format!("'{}'", buyer.client.person_id.as_deref().expect("a person")))
        .collect();
    let waiting = format!(
        "SELECT count(*) FROM queue_token WHERE schedule_id = '{}' AND status = 'WAITING' AND person_id IN ({})",
        show.id,
        people.join(",")
    );
    if count > 0 {
        eventually("everybody to be in", async || {
            (world.number(&waiting).await == 0).then_some(())
        })
        .await;
    }
    entered
}

/// One person who is ACTIVE.
pub(crate) async fn buyer(world: &World, instance: &Instance, show: &Show) -> Buyer {
    buyers(world, &[instance], show, 1).await.remove(0)
}

impl Buyer {
    /// The same person at another instance.
    pub(crate) fn at(&self, instance: &Instance) -> Self {
        Self { client: self.client.at(instance.address), token: self.token.clone() }
    }

    pub(crate) fn person_id(&self) -> &str {
        self.client.person_id.as_deref().expect("a person")
    }

    /// Holds one seat; the payload.
    pub(crate) async fn hold(&self, show: &Show, seat: usize) -> Value {
        self.client.hold(&show.id, &show.seats[seat], &self.token).await
    }

    /// Holds one seat, which has to succeed; the reservation's id.
    pub(crate) async fn held(&self, show: &Show, seat: usize) -> String {
        let held = self.client.held(&show.id, &show.seats[seat], &self.token).await;
        held["id"].as_str().expect("an id").to_owned()
    }

    /// Holds several seats; the payload.
    pub(crate) async fn hold_seats(&self, show: &Show, seats: &[usize]) -> Value {
        let ids: Vec<&str> = seats.iter().map(|seat| show.seats[*seat].as_str()).collect();
        self.hold_ids(show, &ids).await
    }

    /// Holds seats by whatever ids; the payload.
    pub(crate) async fn hold_ids(&self, show: &Show, ids: &[&str]) -> Value {
        let input = json!({ "scheduleId": show.id, "seatIds": ids, "queueToken": self.token });
        self.client.payload(HOLD_SEATS, json!({ "input": input })).await
    }

    /// Has the best neighbours picked and held; the payload.
    pub(crate) async fn hold_best(&self, show: &Show, grade: &str, count: i32) -> Value {
        let input = json!({ "scheduleId": show.id, "grade": grade, "count": count, "queueToken": self.token });
        self.client.payload(HOLD_BEST_SEATS, json!({ "input": input })).await
    }

    /// Charges, holds and pays one seat; the reservation's id.
    pub(crate) async fn bought(&self, show: &Show, seat: usize, price: i64) -> String {
        let id = self.held(show, seat).await;
        let charged = self.client.charge(price.max(1), &format!("for {id}")).await;
        assert_eq!(refusal(&charged), None, "{charged}");
        let paid = self.client.pay(&id, price, &format!("pay {id}")).await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
        id
    }

    /// The seat map; `filter` holds any of section, grade and status.
    pub(crate) async fn seats(&self, show: &Show, filter: Value) -> Vec<Value> {
        let mut variables = json!({ "id": show.id, "token": self.token });
        for (name, value) in filter.as_object().expect("a filter") {
            variables[name] = value.clone();
        }
        let data = self.client.data(SEATS, variables).await;
        data["seats"].as_array().expect("seats").clone()
    }

    /// One seat of the seat map: status and version.
    pub(crate) async fn seat(&self, show: &Show, seat: usize) -> (String, i64) {
        let seats = self.seats(show, json!({})).await;
        let found = seats.iter().find(|found| found["id"] == show.seats[seat].as_str());
        let found = found.expect("the seat");
        (
            found["status"].as_str().expect("a status").to_owned(),
            found["version"].as_i64().expect("a version"),
        )
    }
}

pub(crate) const HOLD_SEATS: &str =
    "mutation ($input: HoldSeatsInput!) { holdSeats(input: $input) {
    reservation { id status totalPrice seats { id row number status version } }
    userErrors { code message path seatIds } } }";
pub(crate) const HOLD_BEST_SEATS: &str =
    "mutation ($input: HoldBestSeatsInput!) { holdBestSeats(input: $input) {
    reservation { id status totalPrice seats { id row number status version } }
    userErrors { code message path seatIds } } }";
pub(crate) const SEATS: &str =
    "query ($id: ID!, $token: String!, $section: String, $grade: String, $status: [SeatStatus!]) {
    seats(scheduleId: $id, queueToken: $token, section: $section, grade: $grade, status: $status) {
        id section row number grade price status version } }";

impl Client {
    /// One of the caller's reservations, or null.
    pub(crate) async fn reservation(&self, id: &str) -> Value {
        let query = "query ($id: ID!) { reservation(id: $id) {
            id status totalPrice heldAt expiresAt remainingSeconds confirmedAt cancelledAt
            schedule { id } payment { id status amount } seats { id status version } } }";
        self.data(query, json!({ "id": id })).await["reservation"].take()
    }
}

impl World {
    /// Audits the books; every check has to hold.
    pub(crate) async fn books_are_true(&self) {
        for check in audit::audit(&self.db).await.expect("an audit") {
            assert_eq!(check.count, 0, "{check:#?}");
        }
    }

    /// The name of the constraint that refuses a statement, which has to be refused.
    pub(crate) async fn refused(&self, sql: &str) -> String {
        use sea_orm::ConnectionTrait;
        let error = self.pool.execute_unprepared(sql).await.expect_err(sql);
        frontrow::db::constraint(&error).unwrap_or_else(|| panic!("{sql}: {error}")).to_owned()
    }

    /// Runs `frontrow audit`: its exit status, and what it prints.
    pub(crate) async fn audit_command(&self) -> (i32, String) {
        let url = self.database.url.clone();
        let run = tokio::task::spawn_blocking(move || {
            clean(Command::new(env!("CARGO_BIN_EXE_frontrow")))
                .arg("audit")
                .env("DATABASE_URL", url)
                .output()
                .expect("the command runs")
        });
        let output = run.await.expect("the command runs");
        (output.status.code().expect("a status"), String::from_utf8(output.stdout).expect("text"))
    }

    /// Lets a hold lapse this instant.
    pub(crate) async fn lapse(&self, reservation_id: &str) {
        self.sql(&format!(
            "WITH lapsed AS (UPDATE reservation SET expires_at = clock_timestamp() WHERE id = '{reservation_id}'
                             RETURNING id, expires_at)
             UPDATE seat SET hold_expires_at = lapsed.expires_at FROM lapsed WHERE reservation_id = lapsed.id"
        ))
        .await;
    }

    /// Waits until the database's clock has passed a reservation's end.
    pub(crate) async fn lapsed(&self, reservation_id: &str) {
        let left = format!(
            "SELECT ceil(extract(epoch FROM expires_at - clock_timestamp()) * 1000)::bigint FROM reservation WHERE id = '{reservation_id}'"
        );
        loop {
            match u64::try_from(self.number(&left).await) {
                Ok(left) if left > 0 => {
                    tokio::time::sleep(std::time::Duration::from_millis(left)).await;
                }
                _ => return,
            }
        }
    }
}
