//! What a plan writes is what async-graphql would write.

use std::sync::Arc;

use async_graphql::{EmptyMutation, EmptySubscription, Object, Request, Schema, Variables};
use proptest::{prelude::*, sample};
use serde_json::json;

use super::*;
use crate::{
    api::{budget::Budget, list::List},
    kernel::{Points, SeatId},
    seat_map::{SeatPlace, SeatStatus},
};

/// The same seats twice: by the plan, and by async-graphql.
struct ByPlan(Vec<SeatView>);
struct Resolved(Vec<SeatView>);

#[Object(name = "Query")]
impl ByPlan {
    async fn seats(&self) -> Hall {
        Hall { seats: self.0.clone(), free: true }
    }
}

#[Object(name = "Query")]
impl Resolved {
    async fn seats(&self) -> List<Seat> {
        List::paid(self.0.iter().map(|seat| Seat::of(seat, true)).collect())
    }
}

fn seat(id: u128, text: &str, number: i32, price: i64, status: SeatStatus) -> SeatView {
    let place = SeatPlace {
        id: SeatId(uuid::Uuid::from_u128(id)),
        section: text.to_owned(),
        row: text.chars().rev().collect(),
        row_index: 1,
        number,
        grade: text.to_uppercase(),
        price: Points::new(price).expect("points"),
        preference: 0,
    };
    SeatView { place: Arc::new(place), status, version: number.saturating_add(1) }
}

fn any_seats() -> impl Strategy<Value = Vec<SeatView>> {
    let text = prop_oneof!["[a-zA-Z ]{1,12}", any::<String>()];
    let status = sample::select(SeatStatus::ALL);
    let seat = (any::<u128>(), text, any::<i32>(), 0_i64..9_007_199_254_740_992, status)
        .prop_map(|(id, text, number, price, status)| seat(id, &text, number, price, status));
    prop::collection::vec(seat, 0..6)
}

/// A selection of a seat's fields: aliases, repetitions, fragments in fragments, directives.
fn any_selection() -> impl Strategy<Value = String> {
    let name =
        sample::select(<Leaf as plan::Leaf>::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let field = prop_oneof![
        4 => name.clone().prop_map(str::to_owned),
        1 => Just("__typename".to_owned()),
        1 => Just("type: __typename".to_owned()),
        2 => (0_u8..3, name).prop_map(|(key, name)| format!("k{key}{name}: {name}")),
    ];
    let condition = sample::select(vec![
        "",
        "",
        "@include(if: true)",
        "@include(if: false)",
        "@skip(if: true)",
        "@skip(if: false)",
        "@include(if: $yes)",
        "@include(if: $no)",
        "@skip(if: $yes)",
        "@skip(if: $no)",
        "@skip(if: $no) @include(if: $yes)",
    ]);
    let field =
        (field, condition.clone()).prop_map(|(field, condition)| format!("{field} {condition}"));
    let fields = prop::collection::vec(field, 1..5).prop_map(|fields| fields.join(" "));
    let part = prop_oneof![
        3 => fields.clone(),
        1 => (fields.clone(), condition.clone()).prop_map(|(fields, condition)| format!("... on Seat {condition} {{ {fields} }}")),
        1 => (fields.clone(), condition.clone()).prop_map(|(fields, condition)| format!("... {condition} {{ {fields} ...g }}")),
        1 => condition.prop_map(|condition| format!("...f {condition}")),
    ];
    (prop::collection::vec(part, 1..4), fields.clone(), fields, sample::select(vec!["seats", "hall: seats"])).prop_map(
        |(parts, one, two, root)| {
            format!(
                "query ($yes: Boolean!, $no: Boolean!) {{
                    {root} {{ {} ...f ...g n: number @include(if: $yes) m: number @include(if: $no) }} }}
                 fragment f on Seat {{ {one} ...g }} fragment g on Seat {{ {two} }}",
                parts.join(" ")
            )
        },
    )
}

fn answer<Q: async_graphql::ObjectType + 'static>(query: Q, text: &str) -> String {
    let schema = Schema::build(query, EmptyMutation, EmptySubscription).finish();
    let variables = Variables::from_json(json!({ "yes": true, "no": false }));
    let request = Request::new(text).variables(variables).data(Budget::new(0));
    let response = futures_util::FutureExt::now_or_never(schema.execute(request));
    let response = response.expect("few seats are written at once");
    assert_eq!(response.errors, [], "{text}");
    serde_json::to_string(&response).expect("JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn a_plan_writes_what_async_graphql_writes(seats in any_seats(), text in any_selection()) {
        prop_assert_eq!(answer(ByPlan(seats.clone()), &text), answer(Resolved(seats), &text));
    }
}

#[test]
fn a_hall_that_is_shown_nothing_of_is_a_list_of_nothing() {
    let seats = vec![seat(1, "A", 1, 5, SeatStatus::Hold); 2];
    let nothing = "query ($yes: Boolean!, $no: Boolean!) {
        seats { id @skip(if: $yes) ... @include(if: $no) { row } } }";
    let written = answer(ByPlan(seats.clone()), nothing);
    assert_eq!(written, r#"{"data":{"seats":[null,null]}}"#);
    assert_eq!(written, answer(Resolved(seats), nothing));
    assert_eq!(answer(ByPlan(vec![]), "{ seats { id } }"), r#"{"data":{"seats":[]}}"#);
}

#[test]
fn every_field_of_a_seat_is_a_leaf() {
    let sdl = crate::api::sdl();
    let (_, rest) = sdl.split_once("type Seat {").expect("seats");
    let (fields, _) = rest.split_once("\n}").expect("an end");
    let names = fields.lines().filter_map(|line| line.trim().split_once(": "));
    let names: Vec<_> = names.map(|(name, _)| name).filter(|n| !n.contains(' ')).collect();
    assert_eq!(names, <Leaf as plan::Leaf>::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

/// A hall of so many seats, each field of which is as long as it gets.
fn hall(seats: usize) -> Hall {
    let seat =
        seat(u128::MAX, &"x".repeat(200), i32::MAX, 9_007_199_254_740_991, SeatStatus::SoldOut);
    Hall { seats: vec![seat; seats], free: true }
}

fn plan_of_all() -> ObjectPlan<Leaf> {
    let text = "{ id section row number grade price status version }";
    let document = async_graphql::parser::parse_query(text).expect("a document");
    let (_, operation) = document.operations.iter().next().expect("an operation");
    ObjectPlan::of(&operation.node.selection_set.node, &document.fragments).expect("a plan")
}

#[tokio::test]
async fn a_hall_is_refused_when_it_becomes_too_long() {
    let one = hall(1).write(&plan_of_all()).await.expect("a seat").len();
    let fits = BYTES_MAX / one;
    assert!(hall(fits - 1_024).write(&plan_of_all()).await.is_ok());
    assert!(hall(fits + 1_024).write(&plan_of_all()).await.is_err());
}

#[test]
fn large_halls_let_others_in_between() {
    let (plan, small, large) = (plan_of_all(), hall(SEATS_AT_ONCE), hall(SEATS_AT_ONCE + 1));
    assert!(futures_util::FutureExt::now_or_never(small.write(&plan)).is_some());
    assert!(futures_util::FutureExt::now_or_never(large.write(&plan)).is_none());
}
