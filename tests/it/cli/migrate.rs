//! `frontrow migrate`.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

use super::{run, serving};

async fn server() -> DatabaseConnection {
    Database::connect(std::env::var("DATABASE_URL").unwrap()).await.unwrap()
}

/// A database without tables, dropped by the caller.
async fn empty_database() -> (String, String) {
    let name = format!("frontrow_test_{}", uuid::Uuid::now_v7().simple());
    server().await.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let url = std::env::var("DATABASE_URL").unwrap();
    let (base, query) =
        url.split_once('?').map_or((url.as_str(), None), |(base, query)| (base, Some(query)));
    let (place, _) = base.rsplit_once('/').unwrap();
    let url = format!("{place}/{name}{}", query.map_or(String::new(), |query| format!("?{query}")));
    (name, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_by_migrate_once() {
    let (name, url) = empty_database().await;
    let all = serving(&url);
    for arguments in
        [&["serve"][..], &["seed"], &["add-organizer", "--email", "a@b.c", "--name", "A"]]
    {
        run(arguments, &all, "password-1\n")
            .await
            .said(&["tables are missing", "`frontrow migrate`"]);
    }
    // Several at once, as a deployment of several instances would.
    let (one, two, three) = tokio::join!(
        run(&["migrate"], &all, ""),
        run(&["migrate"], &all, ""),
        run(&["migrate"], &all, "")
    );
    let told = [one.went_well(), two.went_well(), three.went_well()];
    assert_eq!(
        told.iter().filter(|out| out.starts_with("Migrated: 0001_account")).count(),
        1,
        "{told:?}"
    );
    assert_eq!(run(&["migrate"], &all, "").await.went_well(), "The tables are up to date.\n");
    run(&["seed"], &all, "").await.went_well();
    server().await.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}
