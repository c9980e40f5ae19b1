//! What caches know objects by: whatever can be asked for twice has an id, and nothing else has the same.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::parser::types::{BaseType, Type, TypeKind};
use frontrow::api;
use serde_json::{Value, json};

use super::described::types;
use crate::support::{
    buying,
    shop::{self, Setup},
    socket::Pushed,
    world::World,
};

fn innermost(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inside) => innermost(inside),
    }
}

/// The objects that some query or subscription leads to, and whether each has an id. A page is no object of its own.
fn asked_for(sdl: &str) -> BTreeMap<String, bool> {
    let mut fields: BTreeMap<String, Vec<(String, String, String)>> = BTreeMap::new();
    for of in types(sdl) {
        if let TypeKind::Object(object) = of.kind {
            let each = object.fields.iter().map(|field| &field.node);
            let each = each.map(|field| {
                let ty = &field.ty.node;
                (field.name.node.to_string(), innermost(ty).to_owned(), ty.to_string())
            });
            fields.insert(of.name.node.to_string(), each.collect());
        }
    }
    let mut found = BTreeMap::new();
    let mut open = vec!["Query".to_owned(), "Subscription".to_owned()];
    while let Some(name) = open.pop() {
        let Some(of) = fields.get(&name) else { continue };
        let is_page = ["Connection", "Edge", "PageInfo"].iter().any(|end| name.ends_with(end));
        let is_root = ["Query", "Subscription"].contains(&name.as_str());
        let has_id = of.iter().any(|(field, _, ty)| field == "id" && ty == "ID!");
        if found.insert(name.clone(), has_id || is_page || is_root).is_none() {
            open.extend(of.iter().map(|(_, inside, _)| inside.clone()));
        }
    }
    found
}

#[test]
fn whatever_can_be_asked_for_twice_has_an_id() {
    let found = asked_for(&api::sdl());
    let without: Vec<&String> =
        found.iter().filter(|(_, has)| !**has).map(|(name, _)| name).collect();
    assert_eq!(without, Vec::<&String>::new());
    for name in [
        "QueueToken",
        "WaitingRoom",
        "GradeAvailability",
        "ScheduleSales",
        "PaymentAction",
        "CardGateway",
    ] {
        assert!(found.contains_key(name), "{name}: {found:?}");
    }
}

/// Every id in an answer, with the type of its object.
fn ids(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            if let (Some(id), Some(kind)) = (fields.get("id"), fields.get("__typename")) {
                found.push((id.as_str().unwrap().to_owned(), kind.as_str().unwrap().to_owned()));
            }
            fields.values().for_each(|inside| ids(inside, found));
        }
        Value::Array(items) => items.iter().for_each(|inside| ids(inside, found)),
        _ => {}
    }
}

const SCHEDULE: &str =
    "query ($id: ID!) { schedule(id: $id) { id __typename concert { id __typename }
    waitingRoom { id __typename } grades { id __typename }
    sales { id __typename grades { id __typename } refunds { id __typename } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn ids_never_change_and_name_one_thing() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let mut all = Vec::new();
    for _ in 0..2 {
        let show = shop::show(&world, &a, Setup::default()).await;
        let asked = async |address| {
            let organizer = show.organizer.at(address);
            let mut found = Vec::new();
            ids(&organizer.data(SCHEDULE, json!({ "id": show.id })).await, &mut found);
            found
        };
        let found = asked(a.address).await;
        // A schedule, its concert, its room, a grade, its sales, and those of the grade.
        assert_eq!(found.len(), 6, "{found:?}");
        let buyer = buying::buyer(&world, &a, &show).await;
        buyer.held(&show, 0).await;
        assert_eq!(asked(b.address).await, found);
        show.organizer
            .payload(
                "mutation ($id: ID!) { cancelSchedule(scheduleId: $id) { userErrors { code } } }",
                json!({ "id": show.id }),
            )
            .await;
        let more = asked(b.address).await;
        assert_eq!(more.len(), 7, "{more:?}");
        assert!(found.iter().all(|it| more.contains(it)), "{more:?}");
        all.extend(more);
    }
    let names: BTreeSet<&String> = all.iter().map(|(id, _)| id).collect();
    assert_eq!(names.len(), all.len(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_has_one_id_wherever_it_is_asked_for_and_it_opens_nothing() {
    let world = World::new().await;
    let (a, b) = (world.instance().await, world.instance().await);
    let show = shop::show(&world, &a, Setup::default()).await;
    let fan = shop::fan(&world, &a).await;
    let enter = "mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { id token } userErrors { code } } }";
    let entered = fan.payload(enter, json!({ "id": show.id })).await["queueToken"].take();
    let id = entered["id"].as_str().unwrap_or_else(|| panic!("{entered}"));
    fan.admitted(&show.id).await;
    let query = "query ($id: ID!) { queueStatus(scheduleId: $id) { id token } }";
    let asked = fan.at(b.address).data(query, json!({ "id": show.id })).await;
    assert_eq!(asked["queueStatus"], entered);
    // With and without what goes on outside of the executor.
    for directive in ["", "@include(if: true)"] {
        let query = format!(
            "subscription ($id: ID!) {{ queueStatus(scheduleId: $id) {{ id {directive} status }} }}"
        );
        let mut watching = fan.at(b.address).subscribe(&query, json!({ "id": show.id })).await;
        let Pushed::Next(told) = watching.next().await else { panic!("no place was told") };
        assert_eq!(told["queueStatus"]["id"], id, "{told}");
    }
    let token = entered["token"].as_str().unwrap();
    assert!(token != id && !token.contains(id), "{token} {id}");
    let seats =
        "query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { id } }";
    let refused = fan.error_code(seats, json!({ "id": show.id, "token": id })).await;
    assert_eq!(refused, "QUEUE_TOKEN_INVALID");
    // Another turn is another place.
    fan.leave(&show.id).await;
    let again = fan.payload(enter, json!({ "id": show.id })).await["queueToken"].take();
    assert_ne!(again["id"], id);
}
