//! What load balancers ask, and what a server says while Postgres or Redis is away.

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use super::url;
use crate::support::{
    eventually, shop,
    world::{Instance, World},
};

async fn ready(instance: &Instance) -> (u16, Value) {
    let answer = reqwest::get(url(instance, "/health/ready")).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_everything_is_ready() {
    let world = World::new().await;
    let instance = world.instance().await;
    let all_well = json!({ "status": "ready", "reason": null, "postgres": "ok", "redis": "ok" });
    assert_eq!(ready(&instance).await, (200, all_well));
    let live = reqwest::get(url(&instance, "/health/live")).await.unwrap();
    assert_eq!((live.status().as_u16(), live.text().await.unwrap().as_str()), (200, "live\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_redis_is_ready_and_says_so() {
    let world = World::new().await;
    // Nothing listens on port 1.
    let instance =
        world.instance_with(&["--redis-url=redis://127.0.0.1:1", "--redis-timeout-ms=100"]).await;
    let (status, told) = ready(&instance).await;
    assert_eq!((status, &told["status"], &told["postgres"]), (200, &json!("ready"), &json!("ok")));
    assert!(told["redis"].as_str().unwrap().starts_with("away"), "{told}");
    let fan = shop::fan(&world, &instance).await;
    assert_eq!(fan.charge(10, "k").await["balance"], 10, "it does serve");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_migrations_are_not_its_own_is_not_ready() {
    let world = World::new().await;
    let instance = world.instance().await;
    world.sql("CREATE TABLE kept AS SELECT * FROM seaql_migrations").await;
    world.sql("DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)").await;
    let (status, told) = ready(&instance).await;
    assert_eq!((status, &told["status"]), (503, &json!("unready")));
    assert_eq!(told["reason"], "migrations are missing; run `frontrow migrate`");
    world
        .sql(
            "INSERT INTO seaql_migrations SELECT * FROM kept EXCEPT SELECT * FROM seaql_migrations",
        )
        .await;
    world.sql("ALTER TABLE seaql_migrations RENAME TO elsewhere").await;
    assert_eq!(
        ready(&instance).await.1["reason"],
        "migrations are missing; run `frontrow migrate`"
    );
    world.sql("ALTER TABLE elsewhere RENAME TO seaql_migrations").await;
    world.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('9999_future', 0)").await;
    let (status, told) = ready(&instance).await;
    assert_eq!(
        (status, &told["reason"]),
        (503, &json!("the migrations are not those of this program"))
    );
    world.sql("DELETE FROM seaql_migrations WHERE version = '9999_future'").await;
    assert_eq!(ready(&instance).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_postgres_is_not_ready_and_comes_back() {
    let world = World::new().await;
    let instance = world.instance().await;
    let fan = shop::fan(&world, &instance).await;
    assert_eq!(ready(&instance).await.0, 200);
    let server = Database::connect(std::env::var("DATABASE_URL").unwrap()).await.unwrap();
    let (_, name) = world.database.url.split('?').next().unwrap().rsplit_once('/').unwrap();
    let on_server = async |sql: &str| server.execute_unprepared(sql).await.unwrap();
    on_server(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    on_server(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    ))
    .await;

    let (status, told) = ready(&instance).await;
    assert_eq!((status, &told["reason"]), (503, &json!("Postgres is unreachable")));
    let answer = fan.send("{ me { id } }", json!({})).await;
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "OVERLOADED", "{answer}");
    assert_eq!(
        (&extensions["retryable"], &extensions["retryAfterSeconds"]),
        (&json!(true), &json!(1))
    );
    let live = reqwest::get(url(&instance, "/health/live")).await.unwrap();
    assert_eq!(live.status(), 200, "the process itself is well");

    on_server(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    eventually("to be ready again", async || (ready(&instance).await.0 == 200).then_some(())).await;
    fan.data("{ me { id } }", json!({})).await;
}
