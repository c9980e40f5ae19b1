//! An address that names several servers: the one that takes writes is found, whichever it is.

use tokio::net::TcpListener;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_one_server_of_several_that_takes_writes_is_found_and_found_again() {
    let mut primary = PrivatePostgres::start().await;
    let standby = primary.standby().await;
    // A server that was cut off: it takes connections and says nothing. And one that is gone.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let hosts = [silent.local_addr().unwrap(), gone, standby.address(), primary.address()];
    let hosts = hosts.map(|address| address.to_string()).join(",");
    let several = format!("postgres://postgres@{hosts}/frontrow?target_session_attrs=read-write");
    let world = World::elsewhere(primary.url("frontrow")).await;
    let flag = format!("--database-url={several}");
    let instance = world.instance_with(&[&flag, SHORT[0], SHORT[1]]).await;
    let fan = shop::fan(&world, &instance).await;
    let charged = fan.send(CHARGE, one_point("before")).await;
    assert_eq!(charged["data"]["charge"]["balance"], 1, "{charged}");

    primary.kill();
    standby.promote().await;
    let after = eventually("the new primary to be found", async || {
        let answer = fan.send(CHARGE, one_point("after")).await;
        answer["data"]["charge"]["balance"].as_i64()
    })
    .await;
    assert_eq!(after, 2, "nothing was lost, and nothing was done twice");
    eventually("the instance to be ready", async || is_ready(&instance).await.then_some(())).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_of_several_takes_writes_that_is_said() {
    let mut primary = PrivatePostgres::start().await;
    let standby = primary.standby().await;
    primary.kill();
    let hosts = format!("{},{}", standby.address(), standby.address());
    let url = format!("postgres://postgres@{hosts}/frontrow");
    let settings = DbSettings { url, pool_size: 2, patience: Duration::from_secs(5) };
    let fault = Db::connect(&settings, &Tasks::default()).await.unwrap_err();
    let told = fault.report().to_string();
    assert!(told.contains("takes no writes"), "{told}");
}
