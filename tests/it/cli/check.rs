//! `frontrow check`: each thing that would go wrong is told before it does, and nothing else is.

use serde_json::Value;

use super::{Ended, run};
use crate::support::{
    postgres::PrivatePostgres,
    provider::{IdentityProvider, Key},
    redis::{Cluster, PrivateRedis},
    sandbox::{self, Sandbox},
    world::World,
};

/// Runs it with the settings of a world, some of them others.
async fn check(world: &World, others: &[(&'static str, &str)], flags: &[&str]) -> Ended {
    let mut environment = world.environment();
    environment.push(("FRONTROW_LISTEN", "127.0.0.1:0".to_owned()));
    environment.retain(|(name, _)| others.iter().all(|(other, _)| other != name));
    environment.extend(others.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run(&[&["check"], flags].concat(), &environment, "").await
}

impl Ended {
    /// It exited so, and exactly one line begins with this word and has all these parts.
    #[track_caller]
    fn found(&self, code: i32, word: &str, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let fits = |line: &&str| {
            line.starts_with(&format!("{word} ")) && parts.iter().all(|part| line.contains(part))
        };
        assert_eq!(self.out.lines().filter(fits).count(), 1, "{word} {parts:?}: {}", self.out);
        assert!(!self.out.contains("hunter2") && !self.err.contains("hunter2"), "{self:?}");
        assert_eq!(self.err, "", "{self:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_would_go_wrong_it_exits_0() {
    let world = World::new().await;
    let ended = check(&world, &[], &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in ["takes writes, in UTF8", "All tables are there", "is Redis ", "clock agrees"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(!ended.out.contains("WRONG") && !ended.out.contains("UNKNOWN"), "{ended:?}");
    assert!(!ended.out.contains(&world.secret), "{ended:?}");
    let last = ended.out.lines().last().unwrap();
    assert!(last.starts_with("Nothing that was looked at would go wrong"), "{ended:?}");

    let ended = check(&world, &[], &["--json"]).await;
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &told["verdict"]), (0, &Value::from("OK")), "{told}");
    let findings = told["findings"].as_array().unwrap();
    assert!(findings.len() > 8, "{told}");
    for finding in findings {
        assert!(finding["about"].is_string() && finding["what"].is_string(), "{finding}");
        assert_eq!(finding["level"] == "OK", finding["todo"].is_null(), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_could_not_be_looked_at() {
    let world = World::new().await;
    let postgres = [("DATABASE_URL", "postgres://me:hunter2@127.0.0.1:1/frontrow")];
    let ended = check(&world, &postgres, &[]).await;
    ended.found(2, "UNKNOWN", &["127.0.0.1:1/frontrow is not reachable", "DATABASE_URL"]);
    let ended = check(&world, &[("REDIS_URL", "redis://me:hunter2@127.0.0.1:1")], &[]).await;
    ended.found(2, "UNKNOWN", &["127.0.0.1:1 is not reachable", "REDIS_URL"]);
    // What is known to be wrong is so, whatever else is not known.
    let both = [postgres[0], ("FRONTROW_TRUSTED_PROXIES", "0.0.0.0/0")];
    check(&world, &both, &[]).await.found(1, "WRONG", &["FRONTROW_TRUSTED_PROXIES"]);
    // An address that cannot be read leads nowhere.
    check(&world, &[("DATABASE_URL", "mysql://me:hunter2@h/d")], &[]).await.found(
        1,
        "WRONG",
        &["DATABASE_URL cannot be used"],
    );
    check(&world, &[("REDIS_URL", "http://me:hunter2@h")], &[]).await.found(
        1,
        "WRONG",
        &["REDIS_URL cannot be used"],
    );
    // Nor does a setting.
    let ended = check(&world, &[("FRONTROW_LOG", "inof")], &[]).await;
    ended.said(&["FRONTROW_LOG"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_do_is_told_apart() {
    let world = World::new().await;
    check(&world, &[], &["--instances", "1000"]).await.found(
        1,
        "WRONG",
        &["1000 instances open up to", "max_connections"],
    );
    // The owner of the tables may do more than a server needs.
    check(&world, &[("DATABASE_URL", &world.database.url)], &[]).await.found(
        0,
        "note",
        &["may change the ledger", "--app-role"],
    );
    world.sql("REVOKE UPDATE ON seat FROM frontrow_app").await;
    check(&world, &[], &[]).await.found(1, "WRONG", &["lacks rights (seat: UPDATE)"]);
    world.sql("GRANT UPDATE ON seat TO frontrow_app").await;

    let database = world.database.url.split('?').next().unwrap().rsplit('/').next().unwrap();
    let set = async |what: &str| world.sql(&format!("ALTER DATABASE {database} {what}")).await;
    set("SET synchronous_commit = off").await;
    check(&world, &[], &[]).await.found(1, "WRONG", &["synchronous_commit is off"]);
    set("RESET synchronous_commit").await;
    set("SET default_transaction_isolation = 'serializable'").await;
    check(&world, &[], &[]).await.found(1, "WRONG", &["isolation is serializable"]);
    set("RESET default_transaction_isolation").await;
    set("SET default_transaction_read_only = on").await;
    check(&world, &[], &[]).await.found(1, "WRONG", &["takes no writes", "primary"]);
    set("RESET default_transaction_read_only").await;

    world.sql("DELETE FROM seaql_migrations WHERE version LIKE '0022%'").await;
    check(&world, &[], &[]).await.found(
        1,
        "WRONG",
        &["1 migrations are missing, from 0022", "`frontrow migrate`"],
    );
    world.sql("INSERT INTO seaql_migrations VALUES ('9999_of_tomorrow', 0)").await;
    check(&world, &[], &[]).await.found(
        1,
        "WRONG",
        &["newer than this program (9999_of_tomorrow)"],
    );
    world.sql("DROP TABLE seaql_migrations").await;
    check(&world, &[], &[]).await.found(1, "WRONG", &["migrations are missing, from 0001_account"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_forgets_or_writes_otherwise_is_told() {
    let mut primary = PrivatePostgres::start().await;
    let world = World::new().await;
    primary
        .sql("CREATE DATABASE odd ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        .await;
    let url = primary.url("odd");
    check(&world, &[("DATABASE_URL", &url)], &[]).await.found(1, "WRONG", &["encoding is LATIN1"]);
    let standby = primary.standby().await;
    let url = standby.url("frontrow");
    check(&world, &[("DATABASE_URL", &url)], &[]).await.found(1, "WRONG", &["takes no writes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_do_is_told_apart() {
    let world = World::new().await;
    let mut redis = PrivateRedis::stopped().await;
    redis.start().await;
    let url = redis.flag().replace("--redis-url=", "");
    let at = [("REDIS_URL", url.as_str())];
    let set = async |name: &str, value: &str| {
        redis.ask(&["CONFIG", "SET", name, value]).await.unwrap();
    };
    assert_eq!(check(&world, &at, &[]).await.code, 0);
    set("maxmemory-policy", "allkeys-lru").await;
    check(&world, &at, &[]).await.found(0, "note", &["maxmemory-policy is allkeys-lru"]);
    set("maxmemory", "1gb").await;
    check(&world, &at, &[]).await.found(1, "WRONG", &["maxmemory-policy is allkeys-lru"]);
    set("maxmemory-policy", "noeviction").await;
    assert_eq!(check(&world, &at, &[]).await.code, 0);
    set("maxmemory", "0").await;
    set("appendonly", "yes").await;
    check(&world, &at, &[]).await.found(0, "note", &["appendonly is on"]);
    set("appendonly", "no").await;
    // A user who may not do what lines need.
    let user = ["ACL", "SETUSER", "fan", "on", ">hunter2", "~*", "&*", "+@all", "-@scripting"];
    redis.ask(&user).await.unwrap();
    let as_user = url.replace("redis://", "redis://fan:hunter2@");
    check(&world, &[("REDIS_URL", &as_user)], &[]).await.found(
        1,
        "WRONG",
        &["cannot run scripts", "NOPERM"],
    );
    redis.ask(&["ACL", "SETUSER", "fan", "+@all", "resetchannels"]).await.unwrap();
    check(&world, &[("REDIS_URL", &as_user)], &[]).await.found(
        1,
        "WRONG",
        &["cannot hear what is published"],
    );
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    check(&world, &at, &[]).await.found(1, "WRONG", &["is a replica", "primary"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_of_a_cluster_is_looked_at() {
    let cluster = Cluster::start().await;
    let world = World::new().await;
    let url = cluster.flag().replace("--redis-url=", "");
    let ended = check(&world, &[("REDIS_URL", &url)], &[]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.out.matches(" is Redis ").count(), 3, "{ended:?}");
    // As if it were a single server.
    let single = cluster.nodes[0].flag().replace("--redis-url=", "");
    check(&world, &[("REDIS_URL", &single)], &[]).await.found(
        1,
        "WRONG",
        &["is a node of a cluster", "redis+cluster://"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_taken_or_nobody_s_are_told() {
    let world = World::new().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&world, &[("FRONTROW_LISTEN", &address)], &[]).await.found(
        1,
        "WRONG",
        &[&address, "another program listens there", "FRONTROW_LISTEN"],
    );
    check(&world, &[("FRONTROW_METRICS_LISTEN", &address)], &[]).await.found(
        1,
        "WRONG",
        &[&address, "FRONTROW_METRICS_LISTEN"],
    );
    check(&world, &[("FRONTROW_LISTEN", "192.0.2.1:8000")], &[]).await.found(
        1,
        "WRONG",
        &["192.0.2.1:8000", "no such address"],
    );
    // Beside a server that runs, nothing is wrong.
    let instance = world.instance().await;
    let address = instance.address.to_string();
    check(&world, &[("FRONTROW_LISTEN", &address)], &[]).await.found(
        0,
        "ok",
        &["A server of ours listens on", &address],
    );
    check(&world, &[("FRONTROW_CONNECTIONS", "100000000")], &[]).await.found(
        1,
        "WRONG",
        &["FRONTROW_CONNECTIONS is 100000000", "LimitNOFILE"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_gateway_and_the_identity_provider_are_asked() {
    let world = World::new().await;
    let sandbox = Sandbox::start().await;
    let gateway = async |url: &str, secret: &str| {
        let others = [
            ("FRONTROW_CARD_GATEWAY", "sandbox"),
            ("FRONTROW_SANDBOX_URL", url),
            ("FRONTROW_SANDBOX_SECRET", secret),
        ];
        check(&world, &others, &[]).await
    };
    gateway(&sandbox.url, sandbox::SECRET).await.found(
        0,
        "ok",
        &["knows our secret", &sandbox.url],
    );
    gateway(&sandbox.url, "hunter2").await.found(1, "WRONG", &["it refuses our secret"]);
    gateway("http://127.0.0.1:1", sandbox::SECRET).await.found(
        2,
        "UNKNOWN",
        &["http://127.0.0.1:1", "it cannot be reached"],
    );

    let provider = IdentityProvider::start(&[Key::Rsa1]).await;
    let flags = provider.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    check(&world, &[], &flags).await.found(0, "ok", &["publishes 1 keys"]);
    provider.publish(&[]);
    check(&world, &[], &flags).await.found(1, "WRONG", &["publishes no key"]);
    provider.is_down(true);
    check(&world, &[], &flags).await.found(2, "UNKNOWN", &["keys could not be fetched"]);
}
