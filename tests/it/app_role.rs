//! The server's own role: it can do its work, and change nothing in the ledger.

use sea_orm::{ConnectionTrait, Database};

use crate::{
    cli::{Ended, run},
    support::{
        buying,
        shop::{self, Setup},
        world::World,
    },
};

async fn migrate(world: &World, role: &str) -> Ended {
    let url = [("DATABASE_URL", world.database.url.as_str())];
    run(&["migrate", "--app-role", role], &url, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_role_makes_no_tables_deletes_nothing_and_leaves_the_ledger_alone() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let people = buying::buyers(&world, &[&instance], &show, 2).await;
    people[0].bought(&show, 0, 1_000).await;
    let given_back = people[1].bought(&show, 1, 1_000).await;
    people[1].client.cancel(&given_back).await;
    let server = Database::connect(world.database.app_url.as_str()).await.unwrap();
    let role = server
        .query_one_raw(sea_orm::Statement::from_string(
            sea_orm::DbBackend::Postgres,
            "SELECT current_user::text",
        ))
        .await;
    assert_eq!(role.unwrap().unwrap().try_get_by_index::<String>(0).unwrap(), "frontrow_app");
    for statement in [
        "UPDATE wallet_entry SET delta = delta",
        "UPDATE wallet_entry SET key = key",
        "DELETE FROM wallet_entry",
        "TRUNCATE wallet_entry",
        "ALTER TABLE wallet_entry DISABLE TRIGGER ALL",
        "DROP TRIGGER wallet_entry_append_only ON wallet_entry",
        "SET session_replication_role = replica",
        "DELETE FROM payment",
        "DELETE FROM person",
        "TRUNCATE session",
        "TRUNCATE seat CASCADE",
        "CREATE TABLE mine (id integer)",
        "DROP TABLE seat",
        "INSERT INTO seaql_migrations VALUES ('x', 0)",
    ] {
        let refused = server.execute_unprepared(statement).await.expect_err(statement).to_string();
        let words = ["permission denied", "must be owner"];
        assert!(words.iter().any(|word| refused.contains(word)), "{statement}: {refused}");
    }
    drop(server.close().await);
    world.books_are_true().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_granted_what_is_needed_again_and_again() {
    let world = World::new().await;
    world
        .sql("GRANT ALL ON wallet_entry TO frontrow_app; GRANT DELETE ON seat TO frontrow_app")
        .await;
    for _ in 0..2 {
        let granted = migrate(&world, "frontrow_app").await;
        assert_eq!(granted.code, 0, "{granted:?}");
        assert!(granted.out.contains("cannot change the ledger"), "{granted:?}");
        let may = "SELECT (has_table_privilege('frontrow_app', 'wallet_entry', 'UPDATE, DELETE, TRUNCATE')
                           OR has_table_privilege('frontrow_app', 'seat', 'DELETE'))::int::bigint";
        assert_eq!(world.number(may).await, 0);
    }
    let read = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND NOT has_table_privilege('frontrow_app', oid, 'SELECT')";
    assert_eq!(world.number(read).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_none_or_could_change_the_ledger_anyway_is_refused() {
    let world = World::new().await;
    for (role, words) in [
        ("nobody_by_this_name", "does not exist"),
        ("public", "does not exist"),
        ("", "does not exist"),
        ("frontrow_app\"; DROP TABLE seat; --", "does not exist"),
        ("frontrow_app; GRANT ALL", "does not exist"),
        // The owner of the tables.
        ("frontrow", "could change the ledger"),
        // A superuser.
        ("postgres", "could change the ledger"),
    ] {
        let refused = migrate(&world, role).await;
        assert_eq!(refused.code, 1, "{role}: {refused:?}");
        assert!(
            refused.err.starts_with("frontrow: ") && refused.err.contains(words),
            "{role}: {refused:?}"
        );
        assert_eq!(refused.err.lines().count(), 1);
    }
    // A role that everybody may make tables as.
    world.sql("GRANT CREATE ON SCHEMA public TO PUBLIC").await;
    let refused = migrate(&world, "frontrow_app").await;
    assert!(
        refused.code == 1 && refused.err.contains("REVOKE CREATE ON SCHEMA public"),
        "{refused:?}"
    );
    world.books_are_true().await;
}
