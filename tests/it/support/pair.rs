//! Two servers in processes of their own that are killed at a moment of the test's choice, a quiet one that lives, and a sandbox.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use super::{
    cards::{agree, free_address},
    process::Process,
    relay::{Lookout, Moment, Relay, Speech},
    sandbox::{Sandbox, flags_for},
    world::{Instance, World},
};

/// A server meets the moment within this time, or the test fails: it would prove nothing.
const MET_WITHIN: Duration = Duration::from_secs(30);
/// Money has its place this long after a killed server was started again.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How they run: short times, so that what a kill leaves behind is soon due.
const FLAGS: [&str; 3] =
    ["--gateway-timeout-ms=600", "--card-action-seconds=5", "--refund-seconds=600"];

/// A server, and its own ways to Postgres and to the gateway.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) process: Process,
    postgres: Relay,
    gateway: Relay,
    flags: Vec<String>,
}

/// Everything that a test of kills between steps needs. The sandbox tells the first server.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) servers: [Served; 2],
    /// Does nothing by itself, and is never killed.
    pub(crate) office: Instance,
    pub(crate) sandbox: Sandbox,
    pub(crate) world: World,
    lookout: Lookout,
    /// How many kills there were, and how long money took to have its place afterwards.
    pub(crate) kills: usize,
    pub(crate) longest: Duration,
}

fn address_of(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").expect("a URL");
    let authority = rest.split('/').next().expect("a host");
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    place.to_socket_addrs().expect("a host").next().expect("an address")
}

impl Served {
    async fn start(world: &World, sandbox: SocketAddr, number: usize, lookout: &Lookout) -> Self {
        let address = free_address().await.parse().expect("an address");
        Self::start_at(world, address, sandbox, number, lookout).await
    }

    async fn start_at(
        world: &World,
        address: SocketAddr,
        sandbox: SocketAddr,
        number: usize,
        lookout: &Lookout,
    ) -> Self {
        let url = &world.database.app_url;
        let target = address_of(url);
        let postgres = Relay::to(target, Speech::Postgres, number, lookout).await;
        let gateway = Relay::to(sandbox, Speech::Http, number, lookout).await;
        let (head, rest) = url.split_once("://").expect("a URL");
        let (authority, path) = rest.split_once('/').expect("a database");
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let at = if user.is_empty() { "" } else { "@" };
        let mut flags = flags_for(&format!("http://{}", gateway.address)).to_vec();
        flags.extend(FLAGS.map(str::to_owned));
        flags.push(format!("--database-url={head}://{user}{at}{}/{path}", postgres.address));
        let process = Process::start_at(world, address, &texts(&flags)).await;
        Self { process, postgres, gateway, flags }
    }
}

fn texts(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let world = World::new().await;
        // The sandbox has to know a server, and servers the sandbox: an address that is taken first.
        let told = free_address().await;
        let sandbox = Sandbox::start_with(&format!("http://{told}/webhooks/sandbox"), &[]).await;
        let lookout = Lookout::default();
        let at = address_of(&sandbox.url);
        let told = told.parse().expect("an address");
        let first = Served::start_at(&world, told, at, 0, &lookout).await;
        let second = Served::start(&world, at, 1, &lookout).await;
        let mut flags = sandbox.flags().to_vec();
        flags.extend(FLAGS.map(str::to_owned));
        let office = world.quiet_instance(&texts(&flags)).await;
        let servers = [first, second];
        Self { servers, office, sandbox, world, lookout, kills: 0, longest: Duration::ZERO }
    }

    /// Orders something; the server that meets the moment first is killed there with SIGKILL, and started again. What the order was
    /// told, and when it was started again.
    pub(crate) async fn killed(
        &mut self,
        moment: Moment,
        name: &str,
        order: impl Future<Output = Option<Value>>,
    ) -> (Option<Value>, SystemTime) {
        let meets = self.lookout.look_out_for(moment);
        let servers = &mut self.servers;
        let kill = async {
            let met = tokio::time::timeout(MET_WITHIN, meets).await;
            let met = met.unwrap_or_else(|_| panic!("no server came to this: {name}"));
            let number = met.expect("a server");
            let served = &mut servers[number];
            served.process.kill();
            served.postgres.cut();
            served.gateway.cut();
            number
        };
        let (told, number) = tokio::join!(order, kill);
        self.kills += 1;
        let served = &mut self.servers[number];
        let address = served.process.address;
        served.process = Process::start_at(&self.world, address, &texts(&served.flags)).await;
        (told, SystemTime::now())
    }

    /// Waits until a payment is as it has to be, a condition of SQL, and sees that it was so soon enough after the kill. What is not
    /// noted with its time, a payment that failed, counts from now.
    pub(crate) async fn settled(&mut self, name: &str, killed_at: SystemTime, payment: &str) {
        let sql = format!(
            "SELECT coalesce(max(1000 * extract(epoch FROM coalesce(p.refunded_at, p.approved_at, clock_timestamp())))::bigint, 0)
             FROM payment p WHERE {payment}"
        );
        let asked_at = Instant::now();
        let at = loop {
            match u64::try_from(self.world.number(&sql).await).expect("a time") {
                0 => {}
                at => break SystemTime::UNIX_EPOCH + Duration::from_millis(at),
            }
            assert!(asked_at.elapsed() < SETTLED_WITHIN, "{name}: not so: {payment}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // What was settled before its server was up again took no time.
        let took = at.duration_since(killed_at).unwrap_or_default();
        assert!(took < SETTLED_WITHIN, "{name}: {took:?} until {payment}");
        self.longest = self.longest.max(took);
    }

    /// The books are true, they and the gateway's agree to the point, and the figures of the run.
    pub(crate) async fn ends(&self, what: &str) {
        self.world.books_are_true().await;
        agree(&self.world, &self.sandbox).await;
        #[expect(clippy::print_stderr, reason = "the figures of a run by hand")]
        {
            let (kills, longest) = (self.kills, self.longest);
            eprintln!("{what}: {kills} kills, everything in its place after {longest:.1?} at most");
        }
    }
}
