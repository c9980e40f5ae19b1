//! What the script does with newcomers that no instance would bring in this order.

use std::sync::LazyLock;

use frontrow::kv::{Kv, Script, Signal};
use serde_json::json;

use super::{
    index::{positions_are_true, waiting},
    *,
};
use crate::support::redis::{forget_room, indexed};

static ENTER: LazyLock<Script> = LazyLock::new(|| {
    let text = concat!(
        include_str!("../../../src/waiting_room/index/lua/line.lua"),
        include_str!("../../../src/waiting_room/index/lua/enter.lua")
    );
    Script::new("enter.lua", text)
});

/// Puts somebody into the index under a number; what the script answers.
async fn put(kv: &Kv, schedule_id: &str, person: &str, number: i64) -> Vec<i64> {
    let name = |suffix: &str| kv.name(&format!("room:{{{schedule_id}}}:{suffix}"));
    let mut call =
        ENTER.on(["generation", "waiting", "seen", "seq", "left", "sum", "high"].map(name));
    call.arg(name("events")).arg(60_000).arg(person).arg(number);
    kv.script(&call).await.unwrap_or_else(|f| panic!("{}", f.report()))
}

/// The same; their position.
async fn index(kv: &Kv, schedule_id: &str, person: &str, number: i64) -> i64 {
    put(kv, schedule_id, person, number).await[4]
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_the_index_of_an_empty_line_is_taken_out() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    let fan = shop::fan(&world, &a).await;
    entered(&fan, &show.id).await;
    fan.leave(&show.id).await;
    // As an instance leaves it that is killed between the commit of the last who leaves and telling of it.
    index(&a.app.kv, &show.id, "ghost", 2).await;
    assert_eq!(indexed(&a.app.kv, &show.id).await, [2]);
    assert!(a.app.waiting_rooms.compare().await.is_ok());
    eventually("an empty line", async || {
        indexed(&a.app.kv, &show.id).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_before_those_in_front_of_them_stands_behind_them_all_the_same() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    // Builds the line.
    entered(&shop::fan(&world, &a).await, &show.id).await;
    let kv = &a.app.kv;
    let mut topic = kv.listen(&format!("room:{{{}}}:events", show.id)).await;
    let stands = async |person, number| index(kv, &show.id, person, number).await;
    assert_eq!(stands("second", 2).await, 2);
    assert_eq!(stands("sixth", 6).await, 6, "3, 4 and 5 are on their way");
    assert_eq!(stands("seventh", 7).await, 7, "still");
    assert_eq!(stands("fourth", 4).await, 4);
    assert_eq!(stands("fifth", 5).await, 5);
    assert_eq!(stands("fifth", 5).await, 5, "twice is once");
    assert_eq!(stands("sixth", 6).await, 6, "nobody's place has risen");
    assert_eq!(indexed(kv, &show.id).await, [1, 2, 3, 4, 5, 6, 7]);
    // Nobody had to be told. A drawn number was not expected.
    assert_eq!(stands("drawn", -7).await, 1);
    let Some(Signal::Message(message)) = topic.next().await else { panic!("nothing was told") };
    let message: Value = serde_json::from_slice(&message).expect("JSON");
    assert_eq!(message["late"], json!([-7]), "{message}");
}

/// The smallest number that the draw can give.
const FIRST_DRAWN: i64 = -(1 << 52);

#[tokio::test(flavor = "multi_thread")]
async fn drawn_numbers_stand_in_order_before_all_others_and_survive_a_rebuild() {
    let world = World::new().await;
    let a = world.instance().await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = line(&world, &a, &show, 5).await;
    for (fan, number) in fans.iter().zip([-5, FIRST_DRAWN, -6, 1 - (1 << 52)]) {
        meddle(&world, fan, &format!("number = {number}")).await;
    }
    forget_room(&a.app.kv, &show.id, &[]).await;
    let ordered = [1, 3, 2, 0, 4].map(|place: usize| fans[place].clone());
    positions_are_true(&ordered, &[&a], &show).await;
    // Positions come from the journal until the index is back.
    let journal = waiting(&world, &show).await;
    assert_eq!(journal[..4], [FIRST_DRAWN, 1 - (1 << 52), -6, -5]);
    eventually("the index to be back", async || {
        (indexed(&a.app.kv, &show.id).await == journal).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_drawn_numbers_of_one_person_the_one_that_comes_last_counts() {
    let world = World::new().await;
    let a = world.quiet_instance(&[]).await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    // Builds the line.
    let fan = shop::fan(&world, &a).await;
    entered(&fan, &show.id).await;
    let kv = &a.app.kv;
    let mut topic = kv.listen(&format!("room:{{{}}}:events", show.id)).await;
    assert_eq!(index(kv, &show.id, "drawn", FIRST_DRAWN).await, 1);
    assert_eq!(index(kv, &show.id, "another", -7).await, 2);
    for number in [-3, FIRST_DRAWN, FIRST_DRAWN] {
        assert_eq!(index(kv, &show.id, "drawn", number).await, if number == -3 { 2 } else { 1 });
    }
    assert_eq!(indexed(kv, &show.id).await, [FIRST_DRAWN, -7, 1]);
    // An older number of the other kind changes nothing, a newer one does.
    for number in [5, 4, 6] {
        index(kv, &show.id, "third", number).await;
    }
    assert_eq!(
        indexed(kv, &show.id).await,
        [FIRST_DRAWN, -7, 1, 2, 3, 6],
        "2 and 3 are on their way"
    );
    let mut told = Vec::new();
    while told.len() < 6 {
        if let Some(Signal::Message(message)) = topic.next().await {
            let message: Value = serde_json::from_slice(&message).expect("JSON");
            told.push((message["gone"].clone(), message["late"].clone()));
        }
    }
    let expected = [
        (json!([]), json!([FIRST_DRAWN])),
        (json!([]), json!([-7])),
        (json!([FIRST_DRAWN]), json!([-3])),
        (json!([-3]), json!([FIRST_DRAWN])),
        (json!([4]), json!([])),
        (json!([5]), json!([])),
    ];
    assert_eq!(told, expected);
}
