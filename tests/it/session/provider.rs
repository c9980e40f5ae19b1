//! People who sign in at an identity provider: its tokens are sessions here, its keys come from its JWKS.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use super::*;
use crate::support::{
    provider::{IdentityProvider, Key},
    shop::{self, Setup},
};

async fn instance(world: &World, provider: &IdentityProvider) -> Instance {
    let flags = provider.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    world.instance_with(&flags).await
}

fn with(mut claims: Value, more: Value) -> Value {
    let all = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    claims
}

async fn me(client: &Client) -> Value {
    client.data("{ me { id email name role } }", json!({})).await["me"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_in_at_the_provider_is_one_person_here() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Rsa1, Key::Ec1]).await;
    let (a, b) = (instance(&world, &provider).await, instance(&world, &provider).await);
    let about = json!({ "email": "mina@id.example", "email_verified": true, "name": "박민아" });
    let claims = with(provider.claims("u-1"), about);
    let (rsa, ec) = (Key::Rsa1.sign(&claims), Key::Ec1.sign(&claims));
    let known = me(&a.client().with_token(&rsa)).await;
    assert_eq!(known["email"], "mina@id.example");
    assert_eq!((&known["name"], &known["role"]), (&json!("박민아"), &json!("FAN")));
    for (instance, token) in [(&a, &ec), (&b, &rsa), (&b, &ec)] {
        assert_eq!(me(&instance.client().with_token(token)).await, known);
    }
    // An audience among others, a clock that is a little off.
    let more = json!({ "aud": ["other", "frontrow"], "nbf": chrono::Utc::now().timestamp() + 10 });
    assert_eq!(me(&b.client().with_token(&Key::Ec1.sign(&with(claims, more)))).await, known);
    // The whole way, and a live subscription.
    let show = shop::show(&world, &a, Setup::default()).await;
    let id = known["id"].as_str().map(str::to_owned);
    let fan = Client { person_id: id, ..b.client().with_token(&ec) };
    let mut place = {
        fan.enter(&show.id).await;
        fan.watch_queue(&show.id).await
    };
    place.until("ACTIVE", |place| place["status"] == "ACTIVE").await;
    let token = fan.admitted(&show.id).await;
    fan.charge(1_000, "c").await;
    let held = fan.held(&show.id, &show.seats[0], &token).await;
    let paid = fan.pay(held["id"].as_str().unwrap(), 1_000, "p").await;
    assert_eq!(paid["payment"]["status"], "APPROVED", "{paid}");
    world.books_are_true().await;
    // Passwords open nothing here.
    for password in ["", "-", PASSWORD] {
        let refused = log_in(&a.client(), "mina@id.example", password).await;
        assert_eq!(refusal(&refused), Some("WRONG_CREDENTIALS"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_first_requests_make_one_account() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Ec1]).await;
    let (a, b) = (instance(&world, &provider).await, instance(&world, &provider).await);
    let about = json!({ "email": "mina@id.example", "email_verified": true });
    let token = Key::Ec1.sign(&with(provider.claims("u-1"), about));
    let attempts = (0..20).map(|n| {
        let client = if n % 2 == 0 { a.client() } else { b.client() }.with_token(&token);
        async move { me(&client).await }
    });
    let answers = join_all(attempts).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(world.number("SELECT count(*) FROM person").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM external_identity").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_somebody_has_opens_nobodys_account() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Ec1]).await;
    let a = instance(&world, &provider).await;
    let owner = Person::sign_up(&a.client(), "mina").await;
    let owned = me(&owner.at(&a)).await;
    for (subject, email, verified) in [
        ("thief", owner.email.clone(), true),
        ("louder", owner.email.to_uppercase(), true),
        ("liar", "not-mine@id.example".to_owned(), false),
        ("nobody", "no address".to_owned(), true),
    ] {
        let about = json!({ "email": email, "email_verified": verified });
        let token = Key::Ec1.sign(&with(provider.claims(subject), about));
        let other = me(&a.client().with_token(&token)).await;
        assert_ne!(other["id"], owned["id"], "{subject}");
        assert!(other["email"].as_str().unwrap().ends_with("@external.invalid"), "{other}");
        assert_eq!(other["name"], "Guest");
    }
    assert_eq!(me(&owner.at(&a)).await, owned);
    // The name at another provider is another person's.
    let other_provider = IdentityProvider::start(&[Key::Ec1]).await;
    let b = instance(&world, &other_provider).await;
    let there = me(&b.client().with_token(&Key::Ec1.sign(&other_provider.claims("thief")))).await;
    let here = me(&a.client().with_token(&Key::Ec1.sign(&provider.claims("thief")))).await;
    assert_ne!(there["id"], here["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_claim_makes_organizers_and_unmakes_them() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Rsa1]).await;
    let a = instance(&world, &provider).await;
    let concert = "mutation { createConcert(input: { title: \"T\", artist: \"A\", venue: \"V\", description: \"\",
                   timeZone: \"Asia/Seoul\" }) { concert { id } userErrors { code } } }";
    let token = |roles: Value| {
        let realm =
            json!({ "realm": { "roles": roles }, "role": "ORGANIZER", "roles": ["organizer"] });
        a.client().with_token(&Key::Rsa1.sign(&with(provider.claims("boss"), realm)))
    };
    let fan = token(json!(["fan"]));
    assert_eq!(fan.error_code(concert, json!({})).await, "FORBIDDEN");
    let organizer = token(json!(["fan", "organizer"]));
    assert!(organizer.payload(concert, json!({})).await["concert"]["id"].is_string());
    assert_eq!(me(&organizer).await["role"], "ORGANIZER");
    let again = token(json!([]));
    assert_eq!(again.error_code(concert, json!({})).await, "FORBIDDEN");
    assert_eq!(me(&again).await["role"], "FAN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_wholly_right_is_nobodys() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Rsa1, Key::Ec1]).await;
    let a = instance(&world, &provider).await;
    let good = provider.claims("u-1");
    let now = chrono::Utc::now().timestamp();
    assert!(is_in(&a.client().with_token(&Key::Rsa1.sign(&good))).await, "the recipe is right");
    let signed = |more: Value| Key::Rsa1.sign(&with(good.clone(), more));
    let headed = |key: Key, algorithm: Algorithm, id: &str| {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
        key.sign_with(&header, &good)
    };
    // The public key of RSA, which everybody knows, taken for a secret of HMAC.
    let public = serde_json::to_vec(&Key::Rsa1.public()).unwrap();
    let header = Header { kid: Some("rsa-1".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = encode(&header, &good, &EncodingKey::from_secret(&public)).unwrap();
    let ours = json!({ "aud": "frontrow:session", "sub": uuid::Uuid::nil(), "role": "ORGANIZER", "exp": now + 600,
                       "iss": provider.issuer() });
    let (head, _) =
        Key::Rsa1.sign(&good).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for (what, token) in [
        ("another issuer", signed(json!({ "iss": "https://evil.example" }))),
        ("no issuer", signed(json!({ "iss": null }))),
        ("another audience", signed(json!({ "aud": "other" }))),
        ("no audience", signed(json!({ "aud": null }))),
        ("ended", signed(json!({ "exp": now - 60 }))),
        ("without an end", signed(json!({ "exp": null }))),
        ("an end that is none", signed(json!({ "exp": "tomorrow" }))),
        ("not yet", signed(json!({ "nbf": now + 600 }))),
        ("nobody", signed(json!({ "sub": null }))),
        ("an empty name", signed(json!({ "sub": "" }))),
        ("a long name", signed(json!({ "sub": "s".repeat(256) }))),
        ("a name that no table holds", signed(json!({ "sub": "a\u{0}b" }))),
        ("a key that is not published", Key::Rsa2.sign(&good)),
        ("under the name of one that is", headed(Key::Rsa2, Algorithm::RS256, "rsa-1")),
        ("under the name of one of another kind", headed(Key::Rsa1, Algorithm::RS256, "ec-1")),
        ("another algorithm of the same key", headed(Key::Rsa1, Algorithm::RS512, "rsa-1")),
        ("the public key as a secret", confused),
        ("claims of ours", Key::Rsa1.sign(&ours)),
        ("no signature", format!("{head}.")),
        ("half", head),
    ] {
        let client = a.client().with_token(&token);
        assert_eq!(
            client.error_code("{ me { id } }", json!({})).await,
            "UNAUTHENTICATED",
            "{what}"
        );
        assert_eq!(client.connect().await.err(), Some(4403), "{what}");
    }
    assert_eq!(world.number("SELECT count(*) FROM person").await, 1);
    // Without a provider no such token is taken at all.
    let alone = world.instance().await;
    assert!(!is_in(&alone.client().with_token(&Key::Rsa1.sign(&good))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_an_outage_of_the_provider_changes_nothing() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Rsa1]).await;
    let a = instance(&world, &provider).await;
    let client = |key: Key| a.client().with_token(&key.sign(&provider.claims("u-1")));
    let first = me(&client(Key::Rsa1)).await;
    assert_eq!(provider.asked(), 1);
    // A key that nobody knows is asked for, and not again and again.
    for _ in 0..30 {
        assert!(!is_in(&client(Key::Ec2)).await);
    }
    assert!(provider.asked() <= 2, "{}", provider.asked());
    // The next one is found as soon as it may be asked for.
    provider.publish(&[Key::Rsa1, Key::Rsa2]);
    let soon = client(Key::Rsa2);
    eventually("the new key", async || is_in(&soon).await.then_some(())).await;
    assert_eq!(me(&soon).await, first);
    // The provider is away: what is known is known.
    provider.is_down(true);
    provider.publish(&[]);
    for key in [Key::Rsa1, Key::Rsa2] {
        assert_eq!(me(&client(key)).await, first);
    }
    assert!(!is_in(&client(Key::Ec1)).await);
    provider.is_down(false);
    provider.publish(&[Key::Rsa2, Key::Ec1]);
    let soon = client(Key::Ec1);
    eventually("the key after that", async || is_in(&soon).await.then_some(())).await;
    assert!(!is_in(&client(Key::Rsa1)).await, "a key that was taken back");
    assert!(provider.asked() < 12, "{}", provider.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_there_are_no_keys_yet_nobody_is_told_that_a_session_is_bad() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Rsa1]).await;
    provider.is_down(true);
    let a = instance(&world, &provider).await;
    let client = a.client().with_token(&Key::Rsa1.sign(&provider.claims("u-1")));
    for _ in 0..3 {
        assert_eq!(client.error_code("{ me { id } }", json!({})).await, "OVERLOADED");
        assert_eq!(client.connect().await.err(), Some(1013), "try again later");
    }
    // Those with sessions of ours notice nothing.
    let person = Person::sign_up(&a.client(), "mina").await;
    assert!(is_in(&person.at(&a)).await);
    provider.is_down(false);
    eventually("the provider to be asked again", async || {
        let answer = client.send("{ me { id } }", json!({})).await;
        answer["data"]["me"]["id"].is_string().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_are_passed_over() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[]).await;
    let mut for_encryption = Key::Rsa1.public();
    for_encryption.common.public_key_use = Some(jsonwebtoken::jwk::PublicKeyUse::Encryption);
    let mut nameless = Key::Ec1.public();
    nameless.common.key_id = None;
    let shared = jsonwebtoken::jwk::Jwk::from_encoding_key(
        &EncodingKey::from_secret(b"x"),
        Algorithm::HS256,
    );
    let mut shared = shared.unwrap();
    shared.common.key_id = Some("shared".to_owned());
    provider.publish_made_up(vec![for_encryption, shared, nameless]);
    let a = instance(&world, &provider).await;
    let claims = provider.claims("u-1");
    let header = Header::new(Algorithm::ES256);
    let nameless = a.client().with_token(&Key::Ec1.sign_with(&header, &claims));
    assert!(is_in(&nameless).await, "a key without a name checks tokens without one");
    assert!(
        !is_in(&a.client().with_token(&Key::Rsa1.sign(&claims))).await,
        "it is not for signatures"
    );
    let header = Header { kid: Some("shared".to_owned()), ..Header::new(Algorithm::HS256) };
    let forged = encode(&header, &claims, &EncodingKey::from_secret(b"x")).unwrap();
    assert!(!is_in(&a.client().with_token(&forged)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_and_deleting_the_account_end_tokens_of_the_provider_here() {
    let world = World::new().await;
    let provider = IdentityProvider::start(&[Key::Ec1]).await;
    let (a, b) = (instance(&world, &provider).await, instance(&world, &provider).await);
    let token = |sid: &str| Key::Ec1.sign(&with(provider.claims("u-1"), json!({ "sid": sid })));
    let (one, two) = (token("s-1"), token("s-2"));
    let person = me(&a.client().with_token(&one)).await;
    let mut socket = b.client().with_token(&one).subscribe(NEVER, json!({})).await;
    assert_eq!(socket.soon().await, None);
    let done = json!({ "data": { "logOut": { "userErrors": [] } } });
    for _ in 0..2 {
        assert_eq!(log_out(&a.client().with_token(&one)).await, done);
    }
    assert_eq!(socket.next().await, Pushed::Closed(4403));
    is_out_soon(&b.client().with_token(&one)).await;
    // Another token of the same session at the provider has ended with it, and another session goes on.
    let later = with(provider.claims("u-1"), json!({ "sid": "s-1", "iat": 1 }));
    assert!(!is_in(&a.client().with_token(&Key::Ec1.sign(&later))).await);
    assert_eq!(me(&b.client().with_token(&two)).await, person);

    let change = change_password(&a.client().with_token(&two), "", "a long new password").await;
    assert_eq!(refusal(&change), Some("WRONG_CREDENTIALS"));
    let delete = "mutation ($p: String!) { deleteAccount(password: $p) { userErrors { code } } }";
    let client = a.client().with_token(&two);
    assert_eq!(
        refusal(&client.payload(delete, json!({ "p": "x" })).await),
        Some("WRONG_CREDENTIALS")
    );
    assert_eq!(client.payload(delete, json!({ "p": "" })).await["userErrors"], json!([]));
    assert!(!is_in(&client).await);
    is_out_soon(&b.client().with_token(&two)).await;
    assert_eq!(world.number("SELECT count(*) FROM external_identity").await, 0);
    // Whoever signs in anew is somebody new.
    let late = instance(&world, &provider).await;
    assert_ne!(me(&late.client().with_token(&token("s-3"))).await["id"], person["id"]);
}
