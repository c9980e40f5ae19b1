//! A reservation's payments are found by an index, whatever became of them.

use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn no_look_for_the_payments_of_a_reservation_reads_all_payments() {
    let world = World::new().await;
    // As they are asked for: the words of a refused cancellation, refunds and sales, attempts, and what lives.
    for condition in [
        "",
        "AND p.status IN ('APPROVED', 'REFUNDED')",
        "AND p.status = 'FAILED'",
        "AND p.status IN ('PENDING', 'APPROVED')",
    ] {
        let sql = format!(
            "EXPLAIN SELECT r.id, (SELECT count(*) FROM payment p WHERE p.reservation_id = r.id {condition})
             FROM reservation r WHERE r.schedule_id = '{}'",
            uuid::Uuid::nil()
        );
        let plan = world.texts(&sql).await.join("\n");
        assert!(!plan.contains("Seq Scan on payment"), "{condition}: {plan}");
    }
}
