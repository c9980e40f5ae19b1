//! Rounds on real Postgres and Redis, beside a naive model that says beforehand what each of them has to do.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::support::random::Random;

const PEOPLE: usize = 40;
const SEQUENCES: usize = 10;
const STEPS: usize = 300;
const ROUND_SECONDS: f64 = 60.0;
const AWAY_SECONDS: f64 = 300.0;
const FRESH_SECONDS: f64 = 60.0;

/// A place, as the journal has it; times are seconds ago.
#[derive(Debug, Clone)]
struct Spot {
    person: String,
    number: i64,
    status: String,
    entered: f64,
    passed: Option<f64>,
    activated: Option<f64>,
    /// Seconds until the ACTIVE time ends.
    left: Option<f64>,
}

/// What a round has to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    admitted: BTreeSet<i64>,
    passed_over: BTreeSet<i64>,
    expired: BTreeSet<i64>,
}

/// A room, its people, and what the model knows that the journal does not.
struct Game {
    world: World,
    a: Instance,
    b: Instance,
    show: Show,
    fans: Vec<Client>,
    /// People that Redis holds to be away.
    away: BTreeSet<String>,
    max_active: i64,
    admit_per_round: i64,
    paused: bool,
    keys: usize,
    log: Vec<String>,
    /// How many were admitted, passed over and sent away so far.
    totals: [usize; 3],
}

impl Game {
    async fn new() -> Self {
        let world = World::new().await;
        let (a, b) = (world.quiet_instance(&[]).await, world.quiet_instance(&[]).await);
        let setup = Setup { rows: 1, seats_per_row: 6, ..setup(4, 3, ROUND_SECONDS) };
        let show = shop::show(&world, &a, setup).await;
        configure(&show, json!({ "idleSeconds": 100, "activeSeconds": 300 })).await;
        let fans = shop::fans(&world, &a, PEOPLE).await;
        let (away, log) = (BTreeSet::new(), Vec::new());
        Self {
            world,
            a,
            b,
            show,
            fans,
            away,
            max_active: 4,
            admit_per_round: 3,
            paused: false,
            keys: 0,
            log,
            totals: [0; 3],
        }
    }

    async fn spots(&self) -> Vec<Spot> {
        let sql = format!(
            "SELECT concat_ws(' ', person_id, number, status, extract(epoch FROM clock_timestamp() - entered_at),
                    coalesce(extract(epoch FROM clock_timestamp() - passed_over_at)::text, '-'),
                    coalesce(extract(epoch FROM clock_timestamp() - activated_at)::text, '-'),
                    coalesce(extract(epoch FROM expires_at - clock_timestamp())::text, '-'))
             FROM queue_token WHERE schedule_id = '{}' ORDER BY number",
            self.show.id
        );
        let spot = |row: String| {
            let part: Vec<&str> = row.split(' ').collect();
            Spot {
                person: part[0].to_owned(),
                number: part[1].parse().unwrap(),
                status: part[2].to_owned(),
                entered: part[3].parse().unwrap(),
                passed: part[4].parse().ok(),
                activated: part[5].parse().ok(),
                left: part[6].parse().ok(),
            }
        };
        self.world.texts(&sql).await.into_iter().map(spot).collect()
    }

    /// What any number of rounds at this instant have to do, by the letter of the rules.
    fn foretell(&self, spots: &[Spot], seat_free: bool) -> Outcome {
        let mut outcome = Outcome::default();
        let mut inside = 0;
        for spot in spots {
            let over = match spot.status.as_str() {
                "ACTIVE" => spot.left.is_some_and(|left| left <= 0.0),
                "WAITING" => spot.passed.is_some_and(|passed| passed >= AWAY_SECONDS),
                _ => false,
            };
            if over {
                outcome.expired.insert(spot.number);
            } else if spot.status == "ACTIVE" {
                inside += 1;
            }
        }
        let spent =
            spots.iter().filter(|spot| spot.activated.is_some_and(|ago| ago < ROUND_SECONDS));
        let budget = self.admit_per_round - i64::try_from(spent.count()).unwrap();
        let mut places =
            if self.paused || !seat_free { 0 } else { budget.min(self.max_active - inside) };
        for spot in spots.iter().filter(|spot| spot.status == "WAITING" && spot.passed.is_none()) {
            if places <= 0 {
                break;
            }
            if spot.entered > FRESH_SECONDS && self.away.contains(&spot.person) {
                outcome.passed_over.insert(spot.number);
            } else {
                outcome.admitted.insert(spot.number);
                places -= 1;
            }
        }
        outcome
    }

    /// Runs rounds, and holds what they did against what was foretold.
    async fn rounds(&mut self, at_once: bool) {
        let free = "SELECT count(*) FROM seat WHERE status = 'AVAILABLE'
                    OR (status = 'HOLD' AND hold_expires_at <= clock_timestamp())";
        let seat_free = self.world.number(free).await > 0;
        let before = self.spots().await;
        let foretold = self.foretell(&before, seat_free);
        let id = schedule(&self.show);
        let (a, b) = (&self.a.app.waiting_rooms, &self.b.app.waiting_rooms);
        let ran = if at_once {
            let (one, other) = tokio::join!(a.run_round(id), b.run_round(id));
            one.and(other)
        } else {
            a.run_round(id).await
        };
        ran.unwrap_or_else(|fault| panic!("{}", fault.report()));
        let after = self.spots().await;
        let mut done = Outcome::default();
        for (was, is) in before.iter().zip(&after) {
            assert_eq!(was.number, is.number);
            if is.status != was.status {
                let list =
                    if is.status == "ACTIVE" { &mut done.admitted } else { &mut done.expired };
                list.insert(is.number);
            } else if is.passed.is_some() && was.passed.is_none() {
                done.passed_over.insert(is.number);
            }
        }
        assert_eq!(done, foretold, "\n{before:#?}\nafter {:#?}", self.log);
        self.log.push(format!("round: {done:?}"));
        for (total, list) in
            self.totals.iter_mut().zip([&done.admitted, &done.passed_over, &done.expired])
        {
            *total += list.len();
        }
        if !done.admitted.is_empty() {
            let inside = after.iter().filter(|spot| spot.status == "ACTIVE").count();
            assert!(i64::try_from(inside).unwrap() <= self.max_active, "{inside} are in");
        }
    }

    async fn time_goes_by(&self, seconds: u64) {
        let back = |columns: &[&str]| {
            let moved =
                columns.iter().map(|name| format!("{name} = {name} - interval '{seconds} s'"));
            moved.collect::<Vec<_>>().join(", ")
        };
        let tokens = [
            "entered_at",
            "passed_over_at",
            "activated_at",
            "last_action_at",
            "expires_at",
            "ended_at",
        ];
        // Nobody is back, though the time at which they were passed over changes.
        self.world.sql("ALTER TABLE queue_token DISABLE TRIGGER queue_token_absence").await;
        let absences = "absences = (SELECT range_agg(tstzrange(lower(a) - ago, upper(a) - ago, '[]')) FROM unnest(absences) a)";
        let ago = format!("interval '{seconds} s'");
        self.world.sql(&format!("UPDATE queue_token SET {}", absences.replace("ago", &ago))).await;
        for (table, columns) in [
            ("queue_token", tokens.as_slice()),
            ("reservation", &["held_at", "expires_at", "confirmed_at", "cancelled_at"]),
            ("seat", &["hold_expires_at"]),
            ("payment", &["created_at", "approved_at", "refunded_at"]),
            ("schedule", &["sales_open_at"]),
            ("waiting_room", &["slowed_at", "absences_noted_from"]),
        ] {
            self.world.sql(&format!("UPDATE {table} SET {}", back(columns))).await;
        }
        self.world.sql("ALTER TABLE queue_token ENABLE TRIGGER queue_token_absence").await;
    }

    async fn goes_away(&mut self, fan: usize) {
        let key = self.a.app.kv.name(&format!("room:{{{}}}:seen", self.show.id));
        let person = PersonId::parse(id_of(&self.fans[fan])).unwrap();
        // The entry without a name holds for everybody, for a while after the line was built.
        let forget = async |mut connection| {
            let mut command = redis::cmd("ZREM");
            command.arg(&key).arg("").arg(person.0.as_bytes()).query_async(&mut connection).await
        };
        let _gone: i64 = self.a.app.kv.call(&key, forget).await.unwrap_or_default();
        self.away.insert(person.to_string());
    }

    /// The queue token of somebody who is in; who is not has polled, and that is a sign of life.
    async fn token(&mut self, fan: usize) -> Option<String> {
        self.away.remove(id_of(&self.fans[fan]));
        let place = self.fans[fan].queue_status(&self.show.id).await;
        (place["status"] == "ACTIVE").then(|| place["token"].as_str().unwrap().to_owned())
    }

    async fn reservation(&self, fan: usize, status: &str) -> Option<String> {
        let sql = format!(
            "SELECT id::text FROM reservation WHERE person_id = '{}' AND status = '{status}' LIMIT 1",
            id_of(&self.fans[fan])
        );
        self.world.texts(&sql).await.pop()
    }

    async fn step(&mut self, random: &mut Random) {
        let fan = random.below(PEOPLE);
        let (id, who) = (schedule(&self.show), actor(&self.fans[fan]));
        let kind = random.below(100);
        self.log.push(format!("step {kind} of fan {fan}, {}", who.person_id));
        match kind {
            0..25 => {
                // Refused while all seats are sold.
                if self.a.app.waiting_rooms.enter(who, id).await.is_ok() {
                    self.away.remove(id_of(&self.fans[fan]));
                }
            }
            25..30 => _ = self.b.app.waiting_rooms.leave(who, id).await,
            30..42 => {
                for other in 0..6 {
                    self.goes_away((fan + other) % PEOPLE).await;
                }
            }
            42..50 => {
                let place = self.b.app.waiting_rooms.status(who, id).await;
                assert!(place.is_ok());
                self.away.remove(id_of(&self.fans[fan]));
            }
            // Never a multiple of a limit, so that the time that the test takes decides nothing.
            50..58 => self.time_goes_by([40, 80, 120, 320][random.below(4)]).await,
            58..66 => {
                if let Some(token) = self.token(fan).await {
                    let seat = &self.show.seats[random.below(6)];
                    self.fans[fan].hold(&self.show.id, seat, &token).await;
                }
            }
            66..70 => {
                if let Some(held) = self.reservation(fan, "HOLD").await {
                    self.keys += 1;
                    self.fans[fan].charge(1_000, &format!("c{}", self.keys)).await;
                    self.fans[fan].pay(&held, 1_000, &format!("p{}", self.keys)).await;
                }
            }
            70..76 => {
                let status = ["HOLD", "CONFIRMED"][random.below(2)];
                if let Some(mine) = self.reservation(fan, status).await {
                    self.fans[fan].cancel(&mine).await;
                }
            }
            76..80 => {
                self.max_active = 1 + i64::try_from(random.below(8)).unwrap();
                self.admit_per_round = 1 + i64::try_from(random.below(5)).unwrap();
                self.paused = random.below(5) == 0;
                let (max, per_round, paused) = (self.max_active, self.admit_per_round, self.paused);
                let input =
                    json!({ "maxActive": max, "admitPerRound": per_round, "paused": paused });
                configure(&self.show, input).await;
            }
            80..90 => self.rounds(false).await,
            _ => self.rounds(true).await,
        }
    }
}

/// Ten sequences of three hundred steps each.
#[tokio::test(flavor = "multi_thread")]
async fn in_three_thousand_random_steps_rounds_do_exactly_what_the_rules_say() {
    let mut random = Random::seeded();
    let mut totals = [0; 3];
    for _ in 0..SEQUENCES {
        let mut game = Game::new().await;
        for _ in 0..STEPS {
            game.step(&mut random).await;
        }
        for check in frontrow::audit::audit(&game.world.db).await.expect("an audit") {
            // Time was moved for everybody, but nobody can move the end of a draw.
            if check.name != "draws_follow_the_secret" {
                assert_eq!(check.count, 0, "{check:#?}");
            }
        }
        for (total, of_game) in totals.iter_mut().zip(game.totals) {
            *total += of_game;
        }
    }
    let [admitted, passed_over, expired] = totals;
    assert!(
        admitted > 100 && passed_over > 50 && expired > 50,
        "{admitted} admitted, {passed_over} passed over, {expired} sent away"
    );
}
