//! `queueStatus` after its first result: each place written straight into a message. The leaves are those of
//! `api::waiting_room::QueueToken`, to the letter; the tests compare them with what async-graphql writes.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{Plan, Updates};
use crate::{
    api::plan::{self, plain, quoted},
    kernel::Timestamp,
    waiting_room::{Place, QueueEnd, RoomStatus, Watch},
};

/// A field of a queue token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Leaf {
    Id,
    Token,
    ScheduleId,
    Status,
    EndedBecause,
    RoomStatus,
    EverythingHeld,
    Position,
    WaitingCount,
    EstimatedWaitSeconds,
    EnteredAt,
    ActivatedAt,
    ExpiresAt,
    RemainingSeconds,
    PollAfterSeconds,
}

impl plan::Leaf for Leaf {
    const TYPE: &str = "QueueToken";
    const ALL: &[(&str, Self)] = &[
        ("id", Self::Id),
        ("token", Self::Token),
        ("scheduleId", Self::ScheduleId),
        ("status", Self::Status),
        ("endedBecause", Self::EndedBecause),
        ("roomStatus", Self::RoomStatus),
        ("everythingHeld", Self::EverythingHeld),
        ("position", Self::Position),
        ("waitingCount", Self::WaitingCount),
        ("estimatedWaitSeconds", Self::EstimatedWaitSeconds),
        ("enteredAt", Self::EnteredAt),
        ("activatedAt", Self::ActivatedAt),
        ("expiresAt", Self::ExpiresAt),
        ("remainingSeconds", Self::RemainingSeconds),
        ("pollAfterSeconds", Self::PollAfterSeconds),
    ];
}

impl Leaf {
    /// Writes this field of a place.
    fn write(self, place: &Place, signed: &str, out: &mut String) {
        let token = &place.token;
        match self {
            Self::Id => quoted(out, token.id.0),
            Self::Token => quoted(out, signed),
            Self::ScheduleId => quoted(out, token.schedule_id.0),
            Self::Status => quoted(out, token.status.as_str()),
            Self::EndedBecause => word(out, token.ended_because.map(QueueEnd::as_str)),
            Self::RoomStatus => word(out, place.room.map(RoomStatus::as_str)),
            Self::EverythingHeld => match place.everything_held {
                Some(held) => plain(out, held),
                None => out.push_str("null"),
            },
            Self::Position => or_null(out, place.shown_position()),
            Self::WaitingCount => plain(out, place.shown_waiting()),
            Self::EstimatedWaitSeconds => or_null(out, place.wait_seconds),
            Self::EnteredAt => instant(out, Some(token.entered_at)),
            Self::ActivatedAt => instant(out, token.activated_at),
            Self::ExpiresAt => instant(out, token.expires_at),
            Self::RemainingSeconds => plain(out, place.remaining_seconds()),
            Self::PollAfterSeconds => plain(out, place.poll_after_seconds()),
        }
    }
}

fn word(out: &mut String, word: Option<&str>) {
    match word {
        Some(word) => quoted(out, word),
        None => out.push_str("null"),
    }
}

fn or_null(out: &mut String, value: Option<i32>) {
    match value {
        Some(value) => plain(out, value),
        None => out.push_str("null"),
    }
}

fn instant(out: &mut String, instant: Option<Timestamp>) {
    match instant {
        Some(instant) => quoted(out, crate::api::scalars::DateTime(instant)),
        None => out.push_str("null"),
    }
}

/// What follows the first result of one `queueStatus`.
pub(in crate::api) struct QueueUpdates {
    pub(in crate::api) watch: Watch,
    pub(in crate::api) plan: Arc<Plan>,
    /// The text of the queue token, if the plan has it; the same for as long as the place lives.
    pub(in crate::api) signed: Box<str>,
}

impl Updates for QueueUpdates {
    fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        self.watch.poll_change(context)
    }

    fn write(&mut self, out: &mut String) {
        let place = self.watch.look();
        write_place(&self.plan, &place, &self.signed, out);
    }
}

fn write_place(plan: &Plan, place: &Place, signed: &str, out: &mut String) {
    plan.render(out, |leaf, out| leaf.write(place, signed, out));
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, Object, Schema, Subscription, parser::parse_query};
    use chrono::DateTime;
    use futures_util::{Stream, StreamExt, stream};
    use proptest::{option, prelude::*, sample};

    use super::{plan::Leaf as _, *};
    use crate::{
        api::waiting_room::QueueToken,
        kernel::{PersonId, QueueTokenId, ScheduleId},
        waiting_room::{self, QueueStatus},
    };

    struct Query;

    #[Object]
    impl Query {
        async fn nothing(&self) -> Option<bool> {
            None
        }
    }

    struct Only(Place);

    #[Subscription]
    impl Only {
        async fn queue_status(&self) -> impl Stream<Item = QueueToken> + use<> {
            stream::iter([QueueToken(self.0.clone())])
        }
    }

    fn plan(text: &str) -> Option<Plan> {
        let document = parse_query(text).unwrap();
        let (_, operation) = document.operations.iter().next().unwrap();
        Plan::of(&document, &operation.node)
    }

    fn any_place() -> impl Strategy<Value = Place> {
        let instant = || {
            (0_i64..4_000_000_000_000_000)
                .prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
        };
        let times = (instant(), option::of(instant()), option::of(instant()), instant());
        let status = sample::select(QueueStatus::ALL);
        let figures = (option::of(any::<i64>()), any::<i64>(), option::of(any::<i32>()));
        let room = option::of(sample::select(RoomStatus::ALL));
        let end = option::of(sample::select(QueueEnd::ALL));
        let kinds = (status, end, room, option::of(any::<bool>()));
        (any::<u128>(), kinds, times, figures).prop_map(|(id, kinds, times, figures)| {
            let (status, ended_because, room, everything_held) = kinds;
            let (entered_at, activated_at, expires_at, now) = times;
            let (position, waiting, wait_seconds) = figures;
            let token = waiting_room::QueueToken {
                id: QueueTokenId::new(),
                schedule_id: ScheduleId(uuid::Uuid::from_u128(id)),
                person_id: PersonId::new(),
                number: 1,
                status,
                version: 1,
                entered_at,
                passed_over_at: None,
                activated_at,
                expires_at,
                ended_because,
                now,
            };
            Place { token, room, everything_held, position, waiting, wait_seconds }
        })
    }

    /// A selection of leaves, some of them aliased, some in fragments; the schema without its services cannot sign.
    fn any_selection() -> impl Strategy<Value = String> {
        let names = Leaf::ALL.iter().map(|(name, _)| *name).filter(|name| *name != "token");
        let leaf = sample::select(names.collect::<Vec<_>>());
        let field = prop_oneof![
            4 => leaf.clone().prop_map(str::to_owned),
            1 => Just("__typename".to_owned()),
            2 => (0_u8..200, leaf).prop_map(|(key, name)| format!("k{key}{name}: {name}")),
        ];
        let list = prop::collection::vec(field, 1..6).prop_map(|fields| fields.join(" "));
        let part = prop_oneof![
            3 => list.clone(),
            1 => list.clone().prop_map(|fields| format!("... on QueueToken {{ {fields} }}")),
            1 => list.clone().prop_map(|fields| format!("... {{ {fields} }}")),
            1 => Just("...f".to_owned()),
        ];
        let root = sample::select(vec!["queueStatus", "mine: queueStatus"]);
        (root, prop::collection::vec(part, 1..5), list).prop_map(|(root, parts, fragment)| {
            format!(
                "subscription {{ {root} {{ {} ...f }} }} fragment f on QueueToken {{ {fragment} }}",
                parts.join(" ")
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn a_plan_writes_what_async_graphql_writes(place in any_place(), text in any_selection()) {
            let plan = plan(&text).expect("simple");
            let mut written = String::from("{\"data\":");
            write_place(&plan, &place, "", &mut written);
            written.push('}');
            let schema = Schema::build(Query, EmptyMutation, Only(place)).finish();
            let response = futures_util::FutureExt::now_or_never(
                Box::pin(schema.execute_stream(text)).next()
            );
            let response = response.flatten().expect("a result at once");
            prop_assert_eq!(&response.errors, &[]);
            prop_assert_eq!(written, serde_json::to_string(&response).unwrap());
        }
    }

    #[test]
    fn every_field_of_a_queue_token_is_a_leaf() {
        let sdl = crate::api::sdl();
        let (_, rest) = sdl.split_once("type QueueToken {").unwrap();
        let (fields, _) = rest.split_once("\n}").unwrap();
        let names = fields.lines().filter_map(|line| line.trim().split_once(": "));
        let names: Vec<_> = names.map(|(name, _)| name).filter(|n| !n.contains(' ')).collect();
        assert_eq!(names, Leaf::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_simple_has_no_plan() {
        for text in [
            "subscription { seatChanges { seats { id } } }",
            "subscription { queueStatus { status @skip(if: true) } }",
            "subscription($s: Boolean!) { queueStatus { status @include(if: $s) } }",
            "subscription { queueStatus { ... @include(if: true) { status } } }",
            "subscription { queueStatus @include(if: true) { status } }",
            "subscription { queueStatus { ...f @skip(if: false) } } fragment f on QueueToken { status }",
            "subscription { queueStatus { status } queueStatus { position } }",
            "subscription { queueStatus { ...f } } fragment f on Seat { status }",
            "subscription { queueStatus { ...f } }",
            "subscription { queueStatus { status: position status } }",
            "subscription { queueStatus { unheardOf } }",
        ] {
            assert_eq!(plan(text), None, "{text}");
        }
        assert!(plan("subscription { queueStatus { status } }").is_some());
    }
}
