//! What the settings alone tell: each can be used, and together they would not do what their operator wants.

use secrecy::{ExposeSecret, SecretString};

use super::finding::Finding;
use crate::{
    app::{GatewayChoice, Settings},
    gateway::Provider,
};

/// A secret with fewer different characters than this was not chosen by chance.
const DIFFERENT_MIN: usize = 10;
/// Words of examples, which everybody knows.
const OF_EXAMPLES: &[&str] = &["secret", "password", "change", "example", "rehearsal"];
/// An address that no proxy of anybody's has.
const ANYBODY: [u8; 4] = [192, 0, 2, 1];

pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut found = vec![Finding::ok("settings", "All of them can be read, and none is unknown")];
    secrets(settings, &mut found);
    sessions(settings, &mut found);
    cards(settings, &mut found);
    origins(settings, &mut found);
    edge(settings, &mut found);
    found
}

fn secrets(settings: &Settings, found: &mut Vec<Finding>) {
    let secrets = &settings.secrets;
    let signing = secrets.jwt_secret.expose_secret();
    let mut letters: Vec<char> = signing.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    let lower = signing.to_lowercase();
    if letters.len() < DIFFERENT_MIN || OF_EXAMPLES.iter().any(|word| lower.contains(word)) {
        found.push(Finding::note(
            "secrets",
            "FRONTROW_JWT_SECRET does not look as if it was drawn by chance",
            "whoever guesses it can be anybody, at any place in line",
            "before anybody buys, replace it by what `openssl rand -hex 32` prints",
        ));
    }
    let same = |other: &Option<SecretString>| {
        other.as_ref().is_some_and(|other| other.expose_secret() == signing)
    };
    for (name, other) in [
        ("FRONTROW_JWT_SECRET_PREVIOUS", &secrets.jwt_secret_previous),
        ("FRONTROW_JWT_SECRET_NEXT", &secrets.jwt_secret_next),
    ] {
        if same(other) {
            found.push(Finding::note(
                "secrets",
                format!("{name} is the same as FRONTROW_JWT_SECRET"),
                "nothing is accepted besides, and a rotation would lose everybody's session",
                "set it to the other secret, or unset it",
            ));
        }
    }
    if same(&settings.gateway.sandbox_secret) {
        found.push(Finding::wrong(
            "secrets",
            "FRONTROW_SANDBOX_SECRET is the same as FRONTROW_JWT_SECRET",
            "the sandbox could make anybody's session",
            "give each its own",
        ));
    }
}

fn sessions(settings: &Settings, found: &mut Vec<Finding>) {
    let secrets = &settings.secrets;
    if secrets.refresh_seconds < secrets.session_seconds {
        found.push(Finding::wrong(
            "sessions",
            "FRONTROW_REFRESH_SECONDS is less than FRONTROW_SESSION_SECONDS",
            "a session ends for good before anybody has a reason to refresh it",
            "make it longer; 30 days are usual",
        ));
    }
    if settings.audit_every == 0 {
        found.push(Finding::note(
            "books",
            "FRONTROW_AUDIT_EVERY is 0",
            "no instance looks by itself whether the books agree",
            "run `frontrow audit` often, or set it to 3600",
        ));
    }
}

fn cards(settings: &Settings, found: &mut Vec<Finding>) {
    let gateway = &settings.gateway;
    let cards = settings.cards();
    let charged = gateway.card_gateway != GatewayChoice::None;
    if charged && cards.return_origins.is_empty() {
        found.push(Finding::wrong(
            "cards",
            "There is a card gateway, and no origin that buyers may come back to",
            "a card whose bank wants to see its owner cannot be charged: every returnUrl is refused",
            "set FRONTROW_RETURN_ORIGINS to the shop's, as in https://shop.example",
        ));
    }
    if charged && cards.free_charge {
        found.push(Finding::note(
            "cards",
            "FRONTROW_FREE_CHARGE is true beside a card gateway",
            "whoever asks is given points without money",
            "unset it where money counts",
        ));
    }
    if !charged && !settings.listen.ip().is_loopback() {
        found.push(Finding::note(
            "cards",
            "There is no card gateway",
            "`charge` gives points to whoever asks",
            "set FRONTROW_CARD_GATEWAY, or FRONTROW_FREE_CHARGE=false",
        ));
    }
    if charged && gateway.gateway_timeout_ms >= settings.request_ms {
        found.push(Finding::note(
            "cards",
            "FRONTROW_GATEWAY_TIMEOUT_MS is not less than FRONTROW_REQUEST_MS",
            "a gateway that is slow leaves a request no time to write down what it said, and the buyer is told later",
            "make it a second less",
        ));
    }
    if let Provider::Stripe { secret_key, publishable_key, .. } = gateway.settings().provider {
        stripe(secret_key.expose_secret(), publishable_key.as_deref(), found);
    }
    if gateway.card_gateway == GatewayChoice::Sandbox && !settings.listen.ip().is_loopback() {
        found.push(Finding::note(
            "cards",
            "Cards are charged by the sandbox",
            "no money moves",
            "set FRONTROW_CARD_GATEWAY=stripe before anybody buys for money",
        ));
    }
}

fn stripe(secret: &str, publishable: Option<&str>, found: &mut Vec<Finding>) {
    let test = secret.contains("_test_");
    match publishable {
        Some(page) if page.contains("_test_") != test => found.push(Finding::wrong(
            "cards",
            "One of Stripe's two keys is for tests, and the other is not",
            "no card of the page can be charged",
            "set FRONTROW_STRIPE_SECRET_KEY and FRONTROW_STRIPE_PUBLISHABLE_KEY to two of one kind",
        )),
        Some(_) if test => found.push(Finding::note(
            "cards",
            "Stripe's keys are for tests",
            "no money moves",
            "set the live ones before anybody buys for money",
        )),
        Some(_) => {}
        None => found.push(Finding::note(
            "cards",
            "FRONTROW_STRIPE_PUBLISHABLE_KEY is not set",
            "`cardGateway` cannot tell pages what to speak to Stripe with",
            "set it, unless the page knows it by itself",
        )),
    }
}

fn origins(settings: &Settings, found: &mut Vec<Finding>) {
    for origin in settings.allowed_origins.as_slice() {
        let (what, why, todo) = if origin == "*" {
            (
                "FRONTROW_ALLOWED_ORIGINS is *".to_owned(),
                "any page may use this server in its visitor's name, once it has their session",
                "list the shop's own, as in https://shop.example",
            )
        } else if origin.starts_with("http://") && !is_here(origin) {
            (
                format!("FRONTROW_ALLOWED_ORIGINS has {origin}"),
                "whoever is on the way reads and changes that page, and no buyer may come back to it",
                "serve it with https",
            )
        } else {
            continue;
        };
        found.push(Finding::note("origins", what, why, todo));
    }
}

fn is_here(origin: &str) -> bool {
    let here = ["http://localhost", "http://127.", "http://[::1]"];
    here.iter().any(|start| origin.starts_with(start))
}

fn edge(settings: &Settings, found: &mut Vec<Finding>) {
    if settings.trusted_proxies.contains(ANYBODY.into()) {
        found.push(Finding::wrong(
            "edge",
            "FRONTROW_TRUSTED_PROXIES holds addresses of everybody",
            "anybody may say in X-Forwarded-For who they are, so no limit by address holds",
            "list the proxies in front, and nobody else",
        ));
    }
    if settings.metrics_listen == Some(settings.listen) && settings.listen.port() != 0 {
        found.push(Finding::wrong(
            "edge",
            "FRONTROW_METRICS_LISTEN is the same as FRONTROW_LISTEN",
            "one of the two cannot be listened on",
            "give the metrics a port of their own",
        ));
    }
    unlimited(settings, found);
    if settings.listen.ip().is_loopback() {
        return;
    }
    if settings.metrics_listen.is_none() {
        found.push(Finding::note(
            "edge",
            "FRONTROW_METRICS_LISTEN is not set",
            "whoever reaches this server may read /metrics",
            "set it to an address that Prometheus reaches and nobody else, as in 10.0.0.5:9100",
        ));
    }
    if !settings.trusted_proxies.has_others_than_this_machine() {
        found.push(Finding::note(
            "edge",
            "FRONTROW_TRUSTED_PROXIES names this machine only, and others reach the server",
            "a proxy on another machine would be one client, with one client's share of connections and requests",
            "add its address, unless clients come without one",
        ));
    }
}

fn unlimited(settings: &Settings, found: &mut Vec<Finding>) {
    let rates = &settings.rates;
    let limits = [
        ("FRONTROW_REQUESTS_PER_ADDRESS", rates.requests_per_address),
        ("FRONTROW_REQUESTS_PER_PERSON", rates.requests_per_person),
        ("FRONTROW_ORDERS_PER_PERSON", rates.orders_per_person),
        ("FRONTROW_LOG_INS_PER_ADDRESS", rates.log_ins_per_address),
        ("FRONTROW_SIGN_UPS_PER_ADDRESS", rates.sign_ups_per_address),
        ("FRONTROW_WRONG_PASSWORDS_PER_ADDRESS", rates.wrong_passwords_per_address),
        ("FRONTROW_WRONG_PASSWORDS_PER_ACCOUNT", rates.wrong_passwords_per_account),
    ];
    let off: Vec<_> = limits.iter().filter(|(_, limit)| *limit == 0).map(|it| it.0).collect();
    if !off.is_empty() {
        found.push(Finding::note(
            "limits",
            format!("{} is 0", off.join(" and ")),
            "nobody is told to slow down",
            "unset it, unless this is a rehearsal",
        ));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{super::finding::Level, *};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    const CHOSEN: &str = "--jwt-secret=0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c";

    fn found(flags: &[&str]) -> Vec<Finding> {
        let secret = flags.iter().any(|flag| flag.starts_with("--jwt-secret="));
        let line = ["frontrow", "--database-url=", "--redis-url="].iter().chain(flags);
        let line = line.copied().chain((!secret).then_some(CHOSEN));
        look(&Line::parse_from(line).settings)
    }

    /// Everything but what is as it should be, a line each.
    fn told(flags: &[&str]) -> Vec<String> {
        let found = found(flags);
        found.iter().filter(|it| it.level != Level::Ok).map(ToString::to_string).collect()
    }

    #[test]
    fn the_usual_settings_on_one_machine_are_fine() {
        assert_eq!(told(&[]), [""; 0]);
    }

    const SANDBOX: [&str; 3] =
        ["--card-gateway=sandbox", "--sandbox-url=http://h:1", "--sandbox-secret=s"];
    const STRIPE: [&str; 3] =
        ["--card-gateway=stripe", "--stripe-secret-key=sk_live_1", "--stripe-webhook-secret=w"];
    const CASES: &[(&[&str], &[&str], &str)] = &[
        (
            &["--jwt-secret=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
            &[],
            "note secrets does not look as if",
        ),
        (
            &["--jwt-secret=a-Secret-of-at-least-32-bytes-length"],
            &[],
            "note secrets does not look as if",
        ),
        (
            &["--jwt-secret-next=0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"],
            &[],
            "note secrets FRONTROW_JWT_SECRET_NEXT is the same",
        ),
        (
            &["--sandbox-secret=0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"],
            &[],
            "WRONG secrets FRONTROW_SANDBOX_SECRET",
        ),
        (&["--refresh-seconds=60"], &[], "WRONG sessions FRONTROW_REFRESH_SECONDS is less"),
        (&["--audit-every=0"], &[], "note books FRONTROW_AUDIT_EVERY is 0"),
        (
            &["--listen=10.0.0.5:8000"],
            &SANDBOX,
            "WRONG cards no origin that buyers may come back to",
        ),
        (&["--listen=10.0.0.5:8000"], &SANDBOX, "note cards Cards are charged by the sandbox"),
        (&["--listen=10.0.0.5:8000"], &[], "note cards There is no card gateway"),
        (&["--free-charge=true"], &SANDBOX, "note cards FRONTROW_FREE_CHARGE is true"),
        (&["--gateway-timeout-ms=5000"], &SANDBOX, "note cards FRONTROW_GATEWAY_TIMEOUT_MS"),
        (&["--stripe-publishable-key=pk_test_1"], &STRIPE, "WRONG cards One of Stripe's two keys"),
        (&[], &STRIPE, "note cards FRONTROW_STRIPE_PUBLISHABLE_KEY is not set"),
        (&["--allowed-origins=*"], &[], "note origins FRONTROW_ALLOWED_ORIGINS is *"),
        (&["--allowed-origins=http://shop.example"], &[], "note origins http://shop.example"),
        (&["--trusted-proxies=0.0.0.0/0"], &[], "WRONG edge FRONTROW_TRUSTED_PROXIES holds"),
        (
            &["--metrics-listen=127.0.0.1:8000"],
            &[],
            "WRONG edge FRONTROW_METRICS_LISTEN is the same",
        ),
        (&["--listen=10.0.0.5:8000"], &[], "note edge FRONTROW_METRICS_LISTEN is not set"),
        (&["--listen=10.0.0.5:8000"], &[], "note edge FRONTROW_TRUSTED_PROXIES names this machine"),
        (
            &["--requests-per-person=0", "--orders-per-person=0"],
            &[],
            "note limits FRONTROW_REQUESTS_PER_PERSON and FRONTROW_ORDERS_PER_PERSON is 0",
        ),
    ];

    #[test]
    fn each_of_these_is_told_with_what_to_do() {
        for (flags, more, wanted) in CASES {
            let told = told(&[*flags, *more].concat());
            let mut words = wanted.splitn(3, ' ');
            let (level, about, text) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let fits = |line: &&String| {
                line.starts_with(&format!("{level:<8} {about:<14} ")) && line.contains(text)
            };
            assert_eq!(told.iter().filter(fits).count(), 1, "{flags:?}: {wanted}: {told:#?}");
        }
    }

    #[test]
    fn what_is_right_is_not_told() {
        let quiet = [
            "--listen=10.0.0.5:8000",
            "--metrics-listen=10.0.0.5:9100",
            "--trusted-proxies=10.0.0.1",
            "--card-gateway=stripe",
            "--stripe-secret-key=sk_live_1",
            "--stripe-webhook-secret=w",
            "--stripe-publishable-key=pk_live_1",
            "--allowed-origins=https://shop.example,http://localhost:3000",
        ];
        assert_eq!(told(&quiet), [""; 0]);
    }

    #[test]
    fn no_finding_repeats_a_secret() {
        let secret = "S3cr3t-S3cr3t-S3cr3t-S3cr3t-S3cr3t";
        let flags = [
            format!("--jwt-secret={secret}"),
            format!("--jwt-secret-next={secret}"),
            format!("--sandbox-secret={secret}"),
        ];
        let told = told(&flags.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(told.len() > 2 && !told.concat().contains("S3cr3t"), "{told:?}");
    }
}
