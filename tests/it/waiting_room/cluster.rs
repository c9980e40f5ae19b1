//! Rooms on a Redis Cluster: each lives on one node, and the death of a node is felt in its rooms only.

use std::time::Duration;

use frontrow::kv::Signal;
use serde_json::json;

use super::{
    index::waiting,
    redis_dies::{all_is_true, crowd, mistaken, pushed_truth, truth},
    *,
};
use crate::support::{
    buying,
    redis::{Cluster, indexed},
};

/// A room with one place, which is taken, and people in line.
struct Hall {
    show: Show,
    inside: (Client, String),
    fans: Vec<Client>,
}

/// A room on each node, in the order of the nodes.
async fn rooms(world: &World, cluster: &Cluster, a: &Instance, b: &Instance) -> Vec<Hall> {
    let mut found = [None, None, None];
    while found.iter().any(Option::is_none) {
        let show = shop::show(world, a, setup(1, 1, 0.1)).await;
        let node = cluster.owner(&format!("{{{}}}", show.id)).await;
        found[node].get_or_insert(show);
    }
    let mut halls = Vec::new();
    for show in found.into_iter().flatten() {
        let inside = shop::fan(world, b).await;
        let token = inside.admitted(&show.id).await;
        let fans = crowd(world, a, &show, 12).await;
        halls.push(Hall { show, inside: (inside, token), fans });
    }
    halls
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_live_on_all_nodes_and_the_death_of_one_node_is_felt_nowhere_else() {
    let world = World::new().await;
    let mut cluster = Cluster::start().await;
    let flags = [cluster.flag(), "--redis-timeout-ms=500".to_owned()];
    let flags = flags.each_ref().map(String::as_str);
    let (a, b) = (world.instance_with(&flags).await, world.instance_with(&flags).await);
    let mut halls = rooms(&world, &cluster, &a, &b).await;
    let mut watches = Vec::new();
    for hall in &mut halls {
        // People are admitted in order, and everybody's place is true.
        let next = hall.fans.remove(0);
        assert_eq!(hall.inside.0.leave(&hall.show.id).await["userErrors"], json!([]));
        let token = poll_until(&next, &hall.show.id, "ACTIVE").await["token"].clone();
        hall.inside = (next, token.as_str().unwrap().to_owned());
        all_is_true(&world, &hall.fans, &[&a, &b], &hall.show).await;
        let mut watch = hall.fans[10].at(b.address).watch_queue(&hall.show.id).await;
        assert_eq!(watch.field().await["position"], 11);
        watches.push(watch);
    }

    cluster.nodes[1].kill();
    for (node, hall) in halls.iter_mut().enumerate() {
        let Hall { show, inside: (inside, token), fans } = hall;
        let newcomer = shop::fan(&world, &a).await;
        assert_eq!(entered(&newcomer, &show.id).await["status"], "WAITING");
        assert_eq!(fans.remove(1).at(a.address).leave(&show.id).await["userErrors"], json!([]));
        fans.push(newcomer);
        pushed_truth(&world, &mut watches[node], &fans[9], show).await;
        let held = inside.at(b.address).held(&show.id, &show.seats[0], token).await;
        inside.charge(1_000, &show.id).await;
        let paid = inside.pay(held["id"].as_str().unwrap(), 1_000, &show.id).await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
        // Whoever has paid makes room for the next.
        let next = fans.remove(0);
        poll_until(&next.at(b.address), &show.id, "ACTIVE").await;
        pushed_truth(&world, &mut watches[node], &fans[8], show).await;
        if node != 1 {
            let kv = &a.app.kv;
            eventually("the change to be in the index", async || {
                (indexed(kv, &show.id).await == waiting(&world, show).await).then_some(())
            })
            .await;
            assert_eq!(mistaken(&world, fans, &b, show).await, [""; 0]);
        }
    }
    eventually("true positions without the node", async || {
        let hall = &halls[1];
        mistaken(&world, &hall.fans, &b, &hall.show).await.is_empty().then_some(())
    })
    .await;

    cluster.nodes[1].start().await;
    for (hall, watch) in halls.iter_mut().zip(&mut watches) {
        all_is_true(&world, &hall.fans, &[&a, &b], &hall.show).await;
        assert_eq!(truth(&world, &hall.show).await.len(), hall.fans.len());
        assert_eq!(hall.fans.remove(3).leave(&hall.show.id).await["userErrors"], json!([]));
        pushed_truth(&world, watch, &hall.fans[7], &hall.show).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seat_maps_and_reservations_are_told_across_instances_though_a_node_is_dead() {
    let world = World::new().await;
    let mut cluster = Cluster::start().await;
    let flag = cluster.flag();
    let (a, b) = (world.instance_with(&[&flag]).await, world.instance_with(&[&flag]).await);
    for dead in [None, Some(2), Some(0)] {
        if let Some(dead) = dead {
            cluster.nodes[dead].kill();
        }
        let show = shop::show(&world, &a, Setup::default()).await;
        let buyer = buying::buyer(&world, &a, &show).await;
        assert_eq!(buyer.at(&b).seat(&show, 0).await.0, "AVAILABLE");
        let held = buyer.held(&show, 0).await;
        eventually("the other instance to know", async || {
            (buyer.at(&b).seat(&show, 0).await.0 == "HOLD").then_some(())
        })
        .await;
        assert_eq!(buyer.client.cancel(&held).await["userErrors"], json!([]));
        eventually("the other instance to know", async || {
            (buyer.at(&b).seat(&show, 0).await.0 == "AVAILABLE").then_some(())
        })
        .await;
    }
    // One node of three is left, and carries every channel.
    eventually("to listen", async || (a.app.kv.listening() && b.app.kv.listening()).then_some(()))
        .await;
    for channel in 0..8 {
        let channel = format!("channel-{channel}");
        let mut topic = b.app.kv.listen(&channel).await;
        a.app.kv.publish(&channel, b"hello".to_vec()).await.expect("told");
        let heard = async { while topic.next().await != Some(Signal::Message("hello".into())) {} };
        tokio::time::timeout(Duration::from_secs(5), heard).await.expect("heard");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_starts_while_the_cluster_is_away_and_finds_it_later() {
    let world = World::new().await;
    let mut cluster = Cluster::start().await;
    for node in &mut cluster.nodes {
        node.kill();
    }
    let a = world.instance_with(&[&cluster.flag()]).await;
    let show = shop::show(&world, &a, setup(1, 1, 0.1)).await;
    shop::fan(&world, &a).await.admitted(&show.id).await;
    let fans = crowd(&world, &a, &show, 5).await;
    eventually("true positions without a cluster", async || {
        mistaken(&world, &fans, &a, &show).await.is_empty().then_some(())
    })
    .await;
    for node in &mut cluster.nodes {
        node.start().await;
    }
    all_is_true(&world, &fans, &[&a], &show).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_whose_slot_moves_to_another_node_is_built_there() {
    let world = World::new().await;
    let cluster = Cluster::start().await;
    let flag = cluster.flag();
    let (a, b) = (world.instance_with(&[&flag]).await, world.instance_with(&[&flag]).await);
    let hall = rooms(&world, &cluster, &a, &b).await.remove(0);
    let mut watch = hall.fans[11].at(b.address).watch_queue(&hall.show.id).await;
    assert_eq!(watch.field().await["position"], 12);
    // As after a failover: the slot has another owner, who has nothing of it.
    let key = format!("{{{}}}", hall.show.id);
    let slot: u16 =
        redis::from_redis_value(cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", &key]).await.unwrap())
            .unwrap();
    let slot = slot.to_string();
    let id = cluster.nodes[1].ask(&["CLUSTER", "MYID"]).await.unwrap();
    let id: String = redis::from_redis_value(id).unwrap();
    cluster.nodes[0].ask(&["FLUSHALL"]).await.unwrap();
    for node in [1, 0, 2] {
        let set = ["CLUSTER", "SETSLOT", &slot, "NODE", &id];
        cluster.nodes[node].ask(&set).await.expect("the slot moves");
    }
    all_is_true(&world, &hall.fans, &[&a, &b], &hall.show).await;
    assert_eq!(hall.fans[3].leave(&hall.show.id).await["userErrors"], json!([]));
    pushed_truth(&world, &mut watch, &hall.fans[11], &hall.show).await;
}
