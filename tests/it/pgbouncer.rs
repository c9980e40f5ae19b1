//! Behind PgBouncer, which takes no settings with a connection and lends its own out.

use std::time::Duration;

use frontrow::{
    db::{Db, DbSettings, Session, migrations},
    tasks::Tasks,
};
use sea_orm::FromQueryResult;

use crate::{
    smoke,
    support::{pgbouncer::PgBouncer, world::World},
};

#[derive(Debug, FromQueryResult)]
struct Settings {
    statement: String,
    seqscan: String,
    application: String,
}

async fn connect(url: String) -> Result<Db, String> {
    let settings = DbSettings { url, pool_size: 3, patience: Duration::from_secs(25) };
    let db = Db::connect(&settings, &Tasks::default()).await;
    db.map_err(|fault| fault.report().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_goes_the_whole_way_behind_pgbouncer() {
    let world = World::new().await;
    let pooler = PgBouncer::before(&world.database.url, "session").await;
    let url = format!("--database-url={}", pooler.url(&world.database.url));
    let (a, b) = (world.instance_with(&[&url]).await, world.instance_with(&[&url]).await);
    smoke::whole_way(&world, &a, &b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_connection_are_set_behind_pgbouncer_as_well() {
    let world = World::new().await;
    let pooler = PgBouncer::before(&world.database.url, "session").await;
    const SQL: &str = "SELECT current_setting('statement_timeout') AS statement,
                              current_setting('enable_seqscan') AS seqscan,
                              current_setting('application_name') AS application";
    for url in [world.database.url.clone(), pooler.url(&world.database.url)] {
        let db = connect(url).await.unwrap();
        assert_eq!(migrations::migrate(&db).await.unwrap(), Vec::<String>::new());
        for (db, limit) in
            [(&db, "3500ms"), (&db.for_background(), "4500ms"), (&db.for_commands(), "1min")]
        {
            let found: Option<Settings> = db.row(SQL, vec![]).await.unwrap();
            let found = found.unwrap();
            assert_eq!((&*found.statement, &*found.seqscan), (limit, "off"));
            assert_eq!(found.application, "frontrow");
        }
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_in_the_address_that_pgbouncer_refuses_are_named() {
    let world = World::new().await;
    let pooler = PgBouncer::before(&world.database.url, "session").await;
    let url = format!("{}?options=-c%20work_mem%3D8MB", pooler.url(&world.database.url));
    let refused = connect(url).await.unwrap_err();
    assert!(refused.contains("DATABASE_URL has `options`"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_lends_a_connection_for_one_transaction_is_refused_in_words() {
    let world = World::new().await;
    for mode in ["transaction", "statement"] {
        let pooler = PgBouncer::before(&world.database.url, mode).await;
        let refused = connect(pooler.url(&world.database.url)).await.unwrap_err();
        assert!(refused.contains("pool_mode = session"), "{mode}: {refused}");
    }
}
