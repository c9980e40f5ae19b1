//! The arithmetic of the waiting room, by examples and against a simulated sale.

use chrono::{DateTime, TimeDelta};
use proptest::{prelude::*, test_runner::RngSeed};

use super::*;

fn facts() -> RoomFacts {
    let open = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
    RoomFacts {
        now: open,
        on_sale: true,
        sales_open_at: open,
        sales_close_at: open + TimeDelta::hours(1),
        paused: false,
        sold_out: false,
        none_free: false,
    }
}

#[test]
fn a_room_is_open_from_the_opening_to_the_instant_of_closing() {
    let at = |offset| room_status(&RoomFacts { now: facts().sales_open_at + offset, ..facts() });
    assert_eq!(at(TimeDelta::milliseconds(-1)), RoomStatus::Prequeue);
    assert_eq!(at(TimeDelta::zero()), RoomStatus::Open);
    assert_eq!(at(TimeDelta::milliseconds(3_599_999)), RoomStatus::Open);
    assert_eq!(at(TimeDelta::hours(1)), RoomStatus::Closed);
}

#[test]
fn sold_out_outranks_paused_and_closed_outranks_both() {
    let both = RoomFacts { paused: true, sold_out: true, ..facts() };
    assert_eq!(room_status(&both), RoomStatus::SoldOut);
    assert_eq!(room_status(&RoomFacts { sold_out: false, ..both }), RoomStatus::Paused);
    assert_eq!(room_status(&RoomFacts { on_sale: false, ..both }), RoomStatus::Closed);
}

#[test]
fn everything_is_held_only_while_seats_are_sold_and_one_may_come_back() {
    let held = RoomFacts { none_free: true, ..facts() };
    assert!(everything_held(&held));
    assert!(everything_held(&RoomFacts { paused: true, ..held }));
    assert!(!everything_held(&facts()));
    let before = held.sales_open_at - TimeDelta::milliseconds(1);
    for other in [
        RoomFacts { sold_out: true, ..held },
        RoomFacts { on_sale: false, ..held },
        RoomFacts { now: before, ..held },
        RoomFacts { now: held.sales_close_at, ..held },
    ] {
        assert!(!everything_held(&other), "{other:?}");
    }
}

/// A full room of 50 whose places were kept for 20 s each of late: 150 a minute.
fn pace() -> Pace {
    let line = Line { admitted: 150, freed: 150, active_ms: 3_000_000, ..Line::default() };
    Pace { line, waiting: 2_000, active: 50, max_active: 50, admit_per_round: 10, round_ms: 1_000 }
}

#[test]
fn the_wait_follows_from_how_long_places_are_kept() {
    assert_eq!(wait_seconds(1, &pace()), Some(1));
    assert_eq!(wait_seconds(100, &pace()), Some(40));
    assert_eq!(wait_seconds(i64::MAX, &pace()), Some(i32::MAX));
}

#[test]
fn no_wait_is_shorter_than_the_rounds_allow() {
    let idle = Pace { active: 0, ..pace() };
    assert_eq!(wait_seconds(50, &idle), Some(5), "fifty places are free, ten a second");
    let quick = Line { active_ms: 3_000, ..pace().line };
    assert_eq!(wait_seconds(1_000, &Pace { line: quick, ..pace() }), Some(100));
}

#[test]
fn before_anybody_has_left_only_those_with_a_free_place_are_told_something() {
    let opening = Line { admitted: 30, active_ms: 60_000, ..Line::default() };
    let opening = Pace { line: opening, active: 30, ..pace() };
    assert_eq!(wait_seconds(20, &opening), Some(2));
    assert_eq!(wait_seconds(21, &opening), None);
}

#[test]
fn people_ahead_who_are_away_take_no_place() {
    let known = Line { absent: 60, ..pace().line };
    let unknown = Line { passed_over: 100, ..pace().line };
    assert_eq!(wait_seconds(160, &Pace { line: known, ..pace() }), Some(40));
    // Two of five were away at their turn, and 199 * 3 / 5 + 1 places are taken at 2.5 a second.
    assert_eq!(wait_seconds(200, &Pace { line: unknown, ..pace() }), Some(49));
    assert_eq!(
        wait_seconds(5, &Pace { line: known, ..pace() }),
        Some(1),
        "away, and their turn was"
    );
}

#[test]
fn a_crowd_that_gives_up_makes_way() {
    let patient = wait_seconds(2_000, &pace()).unwrap();
    let gave_up = Line { gave_up: 200, ..pace().line };
    let impatient = wait_seconds(2_000, &Pace { line: gave_up, ..pace() }).unwrap();
    // A tenth gives up each minute: 800 s become 600 s * ln(1 + 800 / 600).
    assert_eq!((patient, impatient), (800, 509));
}

/// A sale as an estimate meets it: everybody is in line at the opening, and nothing else changes.
#[derive(Debug, Clone)]
struct Sale {
    seed: u64,
    max_active: usize,
    admit_per_round: usize,
    stay_ms: u64,
    /// Of a thousand people: away at their turn, a third of them for half a minute only.
    away: u64,
    /// Of a thousand people: give up within ten minutes.
    give_up: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Fan {
    away: bool,
    returns: bool,
    is_back: bool,
    gives_up_ms: Option<u64>,
    stay_ms: u64,
    passed_ms: Option<u64>,
    activated_ms: Option<u64>,
    ended_ms: Option<u64>,
}

impl Fan {
    const fn waits(&self) -> bool {
        self.activated_ms.is_none() && self.ended_ms.is_none()
    }
}

const ROUND_MS: u64 = 1_000;
const TICK_MS: u64 = 100;

impl Sale {
    /// Places a minute, when places or rounds are the limit.
    fn per_minute(&self) -> u64 {
        let turns = u64::try_from(self.max_active).unwrap() * 60_000 / self.stay_ms;
        turns.min(u64::try_from(self.admit_per_round).unwrap() * 60)
    }

    fn crowd(&self) -> Vec<Fan> {
        let mut state = self.seed;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let fan = |_| Fan {
            away: random(1_000) < self.away,
            returns: random(3) == 0,
            gives_up_ms: (random(1_000) < self.give_up).then(|| random(600_000)),
            stay_ms: self.stay_ms / 2 + random(self.stay_ms),
            ..Fan::default()
        };
        (0..self.per_minute() * 5).map(fan).collect()
    }

    /// Plays five minutes; the errors of all estimates after the first, relative to the true wait.
    fn errors(&self) -> Vec<f64> {
        let mut fans = self.crowd();
        let mut told: Vec<(usize, u64, i32)> = Vec::new();
        for now in (0..3_000_u64).map(|tick| tick * TICK_MS) {
            self.tick(&mut fans, now);
            if now >= 60_000 && now % 15_000 == 0 {
                let pace = self.pace(&fans, now);
                let waiting: Vec<usize> = (0..fans.len()).filter(|i| fans[*i].waits()).collect();
                for place in (0..waiting.len()).step_by((waiting.len() / 20).max(1)) {
                    let position = i64::try_from(place).unwrap() + 1;
                    told.extend(wait_seconds(position, &pace).map(|s| (waiting[place], now, s)));
                }
            }
        }
        let error = |(fan, at, seconds): (usize, u64, i32)| {
            let fan: &Fan = &fans[fan];
            let wait = fan.activated_ms? - at;
            let judged = !fan.away && wait >= 10_000;
            let wait = float(i64::try_from(wait).ok()?);
            judged.then(|| (f64::from(seconds) * 1_000.0 - wait).abs() / wait)
        };
        told.into_iter().filter_map(error).collect()
    }

    fn tick(&self, fans: &mut [Fan], now: u64) {
        let mut inside = 0;
        let over = |since: Option<u64>, ms: u64| since.is_some_and(|since| since + ms <= now);
        for fan in fans.iter_mut().filter(|fan| fan.ended_ms.is_none()) {
            let gave_up = fan.waits() && over(fan.gives_up_ms, 0);
            if gave_up || over(fan.activated_ms, fan.stay_ms) {
                fan.ended_ms = Some(now);
            } else if fan.returns && over(fan.passed_ms, 30_000) {
                (fan.is_back, fan.passed_ms) = (true, None);
            }
            inside += usize::from(fan.activated_ms.is_some() && fan.ended_ms.is_none());
        }
        let of_late = |ms: Option<u64>| ms.is_some_and(|ms| ms + ROUND_MS > now);
        let spent = fans.iter().filter(|fan| of_late(fan.activated_ms)).count();
        let mut places = (self.max_active - inside).min(self.admit_per_round - spent);
        for fan in fans.iter_mut().filter(|fan| fan.waits() && fan.passed_ms.is_none()) {
            if places == 0 {
                break;
            }
            if fan.away && !fan.is_back {
                fan.passed_ms = Some(now);
            } else {
                fan.activated_ms = Some(now);
                places -= 1;
            }
        }
    }

    /// What store/rooms.sql counts.
    fn pace(&self, fans: &[Fan], now: u64) -> Pace {
        let start = now - 60_000;
        let of_late = |ms: Option<u64>| ms.is_some_and(|ms| ms > start);
        let count = |which: &dyn Fn(&Fan) -> bool| {
            i64::try_from(fans.iter().filter(|fan| which(fan)).count()).unwrap()
        };
        let active_ms: u64 = fans
            .iter()
            .filter_map(|fan| {
                let end = fan.ended_ms.unwrap_or(now);
                (end > start).then(|| fan.activated_ms.map(|ms| end - ms.max(start))).flatten()
            })
            .sum();
        Pace {
            line: Line {
                admitted: count(&|fan| of_late(fan.activated_ms)),
                passed_over: count(&|fan| fan.waits() && of_late(fan.passed_ms)),
                absent: count(&|fan| fan.waits() && fan.passed_ms.is_some()),
                gave_up: count(&|fan| fan.activated_ms.is_none() && of_late(fan.ended_ms)),
                freed: count(&|fan| fan.activated_ms.is_some() && of_late(fan.ended_ms)),
                active_ms: i64::try_from(active_ms).unwrap(),
            },
            waiting: count(&Fan::waits),
            active: count(&|fan| fan.activated_ms.is_some() && fan.ended_ms.is_none()),
            max_active: i32::try_from(self.max_active).unwrap(),
            admit_per_round: i32::try_from(self.admit_per_round).unwrap(),
            round_ms: 1_000,
        }
    }
}

fn sale() -> impl Strategy<Value = Sale> {
    let sizes = (any::<u64>(), 60_usize..300, 2_usize..40, 5_000_u64..20_000);
    (sizes, 0_u64..500, 0_u64..300).prop_map(
        |((seed, max_active, admit_per_round, stay_ms), away, give_up)| Sale {
            seed,
            max_active,
            admit_per_round,
            stay_ms,
            away,
            give_up,
        },
    )
}

proptest! {
    // Always the same sales: that the median of a random one is within its bound is likely, not certain.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::with_cases(30) })]
    #[test]
    fn after_the_first_minute_of_a_steady_sale_estimates_are_within_15_percent(sale in sale()) {
        let mut errors = sale.errors();
        errors.sort_unstable_by(f64::total_cmp);
        prop_assert!(errors.len() > 30, "{} estimates", errors.len());
        let median = errors[errors.len() / 2];
        prop_assert!(median < 0.15, "median {median:.3}");
    }
}

#[test]
fn near_the_front_everything_is_shown_and_far_back_only_what_matters() {
    let just_now = Duration::ZERO;
    assert!(worth_showing(1_001, 1_000, just_now));
    assert!(!worth_showing(50_000, 49_999, just_now));
    assert!(worth_showing(50_000, 49_500, just_now));
    assert!(worth_showing(50_000, 49_999, SHOW_AT_LEAST_EVERY));
    assert!(!worth_showing(7, 7, SHOW_AT_LEAST_EVERY), "nothing changed");
}

#[test]
fn pollers_come_often_near_the_front_and_never_slower_than_every_half_minute() {
    assert_eq!(poll_after_seconds(Some(1), Some(5)), 1);
    assert_eq!(poll_after_seconds(Some(5_000), Some(600)), 6);
    assert_eq!(poll_after_seconds(Some(500_000), Some(36_000)), 30);
    assert_eq!(poll_after_seconds(None, None), 10);
}
