//! Who is attacked: a shop with two people in it, one of whom has turned hostile, and all that must not show.

use std::{fs, path::PathBuf};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{
    buying::{self, Buyer},
    client::Client,
    eventually,
    process::Process,
    sandbox::{self, Sandbox},
    shop::{self, Setup, Show},
    world::{Instance, World},
};

const PASSWORD: &str = "correct horse battery";

/// The scene. Everything is sent to a server in a process of its own, whose log is kept.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) process: Process,
    pub(super) show: Show,
    /// Runs no performance that anybody bought seats at.
    pub(super) organizer: Client,
    /// The hostile one, who is in and holds a seat.
    pub(super) fan: Buyer,
    pub(super) hold: String,
    /// Whose things are nobody else's affair: in, and owner of a seat.
    pub(super) other: Buyer,
    pub(super) others_reservation: String,
    /// Of a person of their own.
    pub(super) refresh_token: String,
    pub(super) others_refresh_token: String,
    /// What must stand in no answer, with what it is.
    secrets: Vec<(&'static str, String)>,
    log: PathBuf,
    before: Vec<String>,
    _office: Instance,
    _sandbox: Sandbox,
}

/// A sum over every table that holds what people have.
const STATE: &str = "
    SELECT name || coalesce(sum, '') FROM (
        SELECT 'person' AS name, md5(string_agg(p::text, ',' ORDER BY id)) AS sum FROM person p
        UNION ALL SELECT 'concert', md5(string_agg(c::text, ',' ORDER BY id)) FROM concert c
        UNION ALL SELECT 'schedule', md5(string_agg(s::text, ',' ORDER BY id)) FROM schedule s
        UNION ALL SELECT 'seat', md5(string_agg(s::text, ',' ORDER BY id)) FROM seat s
        UNION ALL SELECT 'reservation', md5(string_agg(r::text, ',' ORDER BY id)) FROM reservation r
        UNION ALL SELECT 'payment', md5(string_agg(p::text, ',' ORDER BY id)) FROM payment p
        UNION ALL SELECT 'wallet', md5(string_agg(w::text, ',' ORDER BY person_id)) FROM wallet w
        UNION ALL SELECT 'wallet_entry', md5(string_agg(e::text, ',' ORDER BY id)) FROM wallet_entry e
        UNION ALL SELECT 'session', md5(string_agg(s::text, ',' ORDER BY id)) FROM session s
        UNION ALL SELECT 'external_identity', md5(string_agg(e::text, ',')) FROM external_identity e
        UNION ALL SELECT 'waiting_room', md5(string_agg(w::text, ',' ORDER BY schedule_id)) FROM waiting_room w
        UNION ALL SELECT 'queue_token', md5(string_agg(id || status, ',' ORDER BY id)) FROM queue_token
    ) state";

impl Scene {
    pub(super) async fn set() -> Self {
        let world = World::new().await;
        let sandbox = Sandbox::start().await;
        let office = world.instance().await;
        let log = std::env::temp_dir().join(format!("{}.log", world.redis_prefix));
        let flags = sandbox.flags();
        let flags = flags.iter().map(String::as_str);
        // 3 s for a head and for a body; and no hold lapses meanwhile.
        let more = ["--connection-time-percent=30", "--hold-seconds=3600"];
        let flags: Vec<&str> = flags.chain(more).collect();
        let file = fs::File::create(&log).expect("a log");
        let process = Process::start_telling(&world, &file, &flags).await;
        // Places are not to end by themselves meanwhile.
        let waiting_room = json!({ "maxActive": 10, "admitPerRound": 10, "roundSeconds": 0.1, "idleSeconds": 3600,
                                   "activeSeconds": 7200 });
        let show = shop::show(&world, &office, Setup { waiting_room, ..Setup::default() }).await;
        let organizer = shop::person(&world, &office, "ORGANIZER").await.at(process.address);
        let fan = buyer(&world, &office, &show, &process).await;
        let other = buyer(&world, &office, &show, &process).await;
        world
            .sql(&format!(
                "UPDATE person SET name = 'Vera Verborgen', email = 'vera.verborgen@test.example' WHERE id = '{}'",
                other.client.person_id.as_deref().expect("a person")
            ))
            .await;
        let hold = fan.held(&show, 0).await;
        let others_reservation = other.bought(&show, 1, 1_000).await;
        let (refresh_token, others_refresh_token) =
            (refresh_token(&process, "hostile").await, refresh_token(&process, "robbed").await);
        let text = |text: &str| text.to_owned();
        let token = |client: &Client| client.token.clone().expect("a session");
        let secrets = vec![
            ("the secret that signs", world.secret.clone()),
            ("the sandbox's secret", text(sandbox::SECRET)),
            ("a session", token(&fan.client)),
            ("another's session", token(&other.client)),
            ("an organizer's session", token(&organizer)),
            ("a queue token", fan.token.clone()),
            ("another's queue token", other.token.clone()),
            ("a refresh token", refresh_token.clone()),
            ("another's refresh token", others_refresh_token.clone()),
            ("another's name", text("Verborgen")),
            ("another's address", text("vera.verborgen")),
            ("a password", text(PASSWORD)),
        ];
        let before = world.texts(STATE).await;
        Self {
            world,
            process,
            show,
            organizer,
            fan,
            hold,
            other,
            others_reservation,
            refresh_token,
            others_refresh_token,
            secrets,
            log,
            before,
            _office: office,
            _sandbox: sandbox,
        }
    }

    /// The session of the hostile person.
    pub(super) fn session(&self) -> &str {
        self.fan.client.token.as_deref().expect("a session")
    }

    /// Claims that this server would sign, for somebody who may be nobody.
    pub(super) fn claims(person_id: &str) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({ "aud": "frontrow:session", "sub": person_id, "role": "FAN", "iat": now, "exp": now + 3600 })
    }

    /// Signs claims as this server does.
    pub(super) fn signed(&self, claims: &Value) -> String {
        self.signed_as(&Header::new(Algorithm::HS256), claims)
    }

    pub(super) fn signed_as(&self, header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_secret(self.world.secret.as_bytes());
        encode(header, claims, &key).expect("a token")
    }

    /// What an answer shows that it must not.
    pub(super) fn leaks(&self, answer: &str) -> Vec<&'static str> {
        /// Of the inside, and of what is never to come back as it was sent.
        const INSIDE: [&str; 17] = [
            "SELECT ",
            "INSERT INTO",
            "relation \"",
            "sqlx",
            "sea_orm",
            "postgres://",
            "redis://",
            // Wherever this was built.
            env!("CARGO_MANIFEST_DIR"),
            "/home/",
            "src/",
            ".rs:",
            "panicked",
            "$argon2",
            "RUST_BACKTRACE",
            "frontrow_app",
            "0x7f",
            "ECHO-ME-NOT",
        ];
        let secrets = self.secrets.iter().filter(|(_, secret)| answer.contains(secret));
        let inside = INSIDE.iter().filter(|inside| answer.contains(**inside)).copied();
        secrets.map(|(what, _)| *what).chain(inside).collect()
    }

    /// The books, the log and the metrics, when all is over.
    pub(super) async fn is_unharmed(&self) {
        let Self { process, fan, world, .. } = self;
        assert_eq!(world.texts(STATE).await, self.before, "nobody has changed anything");
        eventually("connections to be closed", async || {
            let page = metrics(process).await;
            let value = |name: &str| -> i64 {
                let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
            };
            let gone =
                ["frontrow_sockets", "frontrow_subscriptions", "frontrow_requests_in_flight"];
            // What is left are those of this test's own clients.
            (gone.iter().all(|name| value(name) == 0) && value("frontrow_connections") < 10)
                .then_some(())
        })
        .await;
        let page = metrics(process).await;
        let counts = page.lines().filter(|line| {
            line.starts_with("frontrow_faults_total")
                || line.starts_with("frontrow_task_panics_total{")
        });
        let counts: Vec<&str> = counts.collect();
        assert!(!counts.is_empty() && counts.iter().all(|line| line.ends_with(" 0")), "{counts:?}");
        let log = fs::read_to_string(&self.log).expect("a log");
        for line in log.lines() {
            assert!(!line.contains("panicked") && !line.contains(r#""level":"ERROR""#), "{line}");
            let shown = self.secrets.iter().find(|(_, secret)| line.contains(secret));
            assert!(shown.is_none(), "{shown:?} stands in the log: {line}");
        }
        assert!(log.lines().count() > 100, "the log says what happens:\n{log}");
        // The shop goes on.
        fan.client.charge(1_000, "after all").await;
        let paid = fan.client.pay(&self.hold, 1_000, "after all").await;
        assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
        world.books_are_true().await;
        drop(fs::remove_file(&self.log));
    }
}

/// Somebody who is in.
async fn buyer(world: &World, office: &Instance, show: &Show, process: &Process) -> Buyer {
    let Buyer { client, token } = buying::buyer(world, office, show).await;
    Buyer { client: client.at(process.address), token }
}

async fn metrics(process: &Process) -> String {
    let url = format!("http://{}/metrics", process.address);
    reqwest::get(url).await.expect("an answer").text().await.expect("a page")
}

/// Signs somebody up; their refresh token.
async fn refresh_token(process: &Process, name: &str) -> String {
    let query = "mutation ($input: SignUpInput!) { signUp(input: $input) { session { refreshToken } userErrors { code } } }";
    let email = format!("{name}@test.example");
    let input = json!({ "email": email, "password": PASSWORD, "name": name });
    let payload = process.client().payload(query, json!({ "input": input })).await;
    payload["session"]["refreshToken"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}
