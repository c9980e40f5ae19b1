//! `frontrow audit` when nobody can look: that is neither a finding nor an all-clear.

use super::{run, serving};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_could_not_look_exits_2() {
    let audit = async |url: &str| {
        let ended = run(&["audit"], &[("DATABASE_URL", url)], "").await;
        assert_eq!(ended.code, 2, "{ended:?}");
        ended
    };
    audit("postgres://me:hunter2secret@127.0.0.1:1/frontrow")
        .await
        .said(&["Postgres is not reachable at 127.0.0.1:1/frontrow"]);
    audit("nonsense").await.said(&["DATABASE_URL cannot be used"]);
    run(&["audit"], &[], "").await.said(&["DATABASE_URL is not set"]);

    let world = World::new().await;
    assert_eq!(run(&["audit"], &[("DATABASE_URL", &world.database.url)], "").await.code, 0);
    // A role that may not look.
    world.sql("REVOKE SELECT ON seat FROM frontrow_app").await;
    let ended = audit(&world.database.app_url).await;
    ended.said(&["Postgres", "permission denied"]);
    world.sql("DELETE FROM seaql_migrations WHERE version LIKE '0022%'").await;
    audit(&world.database.url).await.said(&["tables are missing or old", "`frontrow migrate`"]);
    world.sql("INSERT INTO seaql_migrations VALUES ('9999_of_tomorrow', 0)").await;
    audit(&world.database.url).await.said(&["newer version", "9999_of_tomorrow"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_postgres_names_its_address_and_not_the_password() {
    let world = World::new().await;
    world.sql("REVOKE SELECT ON seaql_migrations FROM frontrow_app").await;
    let url = &world.database.app_url;
    for command in [&["serve"][..], &["seed"], &["audit"]] {
        let ended = run(command, &serving(url), "").await;
        ended.said(&["Postgres at 127.0.0.1:", "permission denied"]);
    }
}
