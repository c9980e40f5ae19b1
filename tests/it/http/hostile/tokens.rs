//! Sessions, queue tokens and refresh tokens that are none: forged, ended, truncated, somebody else's, or far too long.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{
    asking::{Http, Row, row},
    scene::Scene,
};
use crate::support::base64;

const NO: &str = "401 UNAUTHENTICATED";
/// Nobody, which is no mistake until somebody is needed.
const NOBODY: &str = "200 UNAUTHENTICATED";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    [sessions(scene), headers(scene), queue_tokens(scene), refresh_tokens(scene), log_ins()]
        .into_iter()
        .flatten()
        .collect()
}

fn me() -> Http {
    Http::document("{me{id}}", &json!({}))
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value;
    changed
}

fn sessions(scene: &Scene) -> Vec<Row> {
    let claims = Scene::claims(scene.fan.person_id());
    let good = scene.signed(&claims);
    let mut tokens = tampered(scene, &claims, &good);
    tokens.extend(headed(scene, &claims));
    let now = chrono::Utc::now().timestamp();
    let claimed = [
        ("ended a second ago", with(&claims, "exp", json!(now - 1)), NO),
        ("ended in 1970", with(&claims, "exp", json!(0)), NO),
        ("an end before all time", with(&claims, "exp", json!(i64::MIN)), NO),
        ("an end after all time", with(&claims, "exp", json!(i64::MAX)), NO),
        ("an end as a text", with(&claims, "exp", json!((now + 60).to_string())), NO),
        ("an end that is no number", with(&claims, "exp", json!("never")), NO),
        ("an end that is infinite", with(&claims, "exp", json!(1e300)), NO),
        ("no end", with(&claims, "exp", Value::Null), NO),
        ("no person", with(&claims, "sub", Value::Null), NO),
        ("a person who is no id", with(&claims, "sub", json!("admin")), NO),
        ("a list of people", with(&claims, "sub", json!([claims["sub"]])), NO),
        ("an unknown role", with(&claims, "role", json!("ADMIN")), NO),
        ("a role in small letters", with(&claims, "role", json!("organizer")), NO),
        ("no role", with(&claims, "role", Value::Null), NO),
        ("a session that is no id", with(&claims, "sid", json!("1")), NO),
        ("for another purpose", with(&claims, "aud", json!("frontrow:queue")), NO),
        ("for no purpose", with(&claims, "aud", Value::Null), NO),
        ("for every purpose", with(&claims, "aud", json!("*")), NO),
        ("a list instead of claims", json!([claims]), NO),
        ("a text instead of claims", json!("admin"), NO),
        ("of a person who never was", Scene::claims(&uuid::Uuid::now_v7().to_string()), NOBODY),
        ("of nobody at all", Scene::claims(&uuid::Uuid::nil().to_string()), NOBODY),
    ];
    tokens.extend(claimed.map(|(name, claims, expected)| (name, scene.signed(&claims), expected)));
    let rows = tokens.into_iter();
    rows.map(|(name, token, expected)| row(format!("a session: {name}"), me().of(&token), expected))
        .collect()
}

type Token = (&'static str, String, &'static str);

/// Changed after they were signed, or never signed.
fn tampered(scene: &Scene, claims: &Value, good: &str) -> Vec<Token> {
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, tag] = parts[..] else { panic!("{good}") };
    let unsigned = |alg: &str| {
        let head = json!({ "alg": alg, "typ": "JWT" }).to_string();
        format!("{}.{}.", base64(head.as_bytes()), base64(claims.to_string().as_bytes()))
    };
    let promoted = base64(with(claims, "role", json!("ORGANIZER")).to_string().as_bytes());
    let others = scene.other.client.token.as_deref().expect("a session");
    let others_tag = others.rsplit('.').next().expect("a signature");
    let mut flipped = tag.to_owned();
    let last = if flipped.remove(0) == 'A' { 'B' } else { 'A' };
    flipped.insert(0, last);
    let foreign = |algorithm| {
        let key = EncodingKey::from_secret("guessed".repeat(8).as_bytes());
        encode(&Header::new(algorithm), claims, &key).expect("a token")
    };
    vec![
        ("alg none", unsigned("none"), NO),
        ("alg None", unsigned("None"), NO),
        ("alg NONE and a signature", format!("{}{tag}", unsigned("NONE")), NO),
        ("no alg", unsigned(""), NO),
        ("HS256 without a signature", unsigned("HS256"), NO),
        ("a guessed secret", foreign(Algorithm::HS256), NO),
        ("a guessed secret and HS512", foreign(Algorithm::HS512), NO),
        ("another role under the old signature", format!("{head}.{promoted}.{tag}"), NO),
        ("another's signature", format!("{head}.{body}.{others_tag}"), NO),
        ("a bit of the signature changed", format!("{head}.{body}.{flipped}"), NO),
        ("a letter less", good[..good.len() - 1].to_owned(), NO),
        ("a letter more", format!("{good}A"), NO),
        ("half of it", good[..good.len() / 2].to_owned(), NO),
        ("without its head", format!(".{body}.{tag}"), NO),
        ("without its claims", format!("{head}..{tag}"), NO),
        ("four parts", format!("{good}.{tag}"), NO),
        ("dots", "...".to_owned(), NO),
        ("a dot", ".".to_owned(), NO),
        ("padded", format!("{good}="), NO),
        ("with a line of its own in it", format!("{head}.\t{body}.{tag}"), NO),
        ("as it was and another", format!("{good} {good}"), NO),
        ("with a comma", format!("{good}, Bearer {good}"), NO),
        ("a queue token", scene.fan.token.clone(), NO),
        ("a refresh token", scene.refresh_token.clone(), NO),
        ("the secret's length in zeros", "0".repeat(64), NO),
        ("SQL", "' OR '1'='1".to_owned(), NO),
        ("3,000 letters of nonsense", "eyJ".repeat(1_000), NO),
        ("5,000 letters", "x".repeat(5_000), NO),
    ]
}

/// Signed with our secret, which nobody outside can: heads that lead elsewhere are not followed, and other algorithms are none.
fn headed(scene: &Scene, claims: &Value) -> Vec<Token> {
    let headed = |change: fn(&mut Header)| {
        let mut header = Header::new(Algorithm::HS256);
        change(&mut header);
        scene.signed_as(&header, claims)
    };
    let told = |alg: &str| {
        // The signature is ours, and the head says another algorithm.
        let good = scene.signed(claims);
        let (_, rest) = good.split_once('.').expect("parts");
        let head = json!({ "alg": alg, "typ": "JWT" }).to_string();
        format!("{}.{rest}", base64(head.as_bytes()))
    };
    vec![
        ("HS384", scene.signed_as(&Header::new(Algorithm::HS384), claims), NO),
        ("HS512", scene.signed_as(&Header::new(Algorithm::HS512), claims), NO),
        ("RS256 by name", told("RS256"), NO),
        ("ES256 by name", told("ES256"), NO),
        ("an unknown algorithm", told("HS255"), NO),
        (
            "a key's name that is a path, which nobody reads",
            headed(|it| it.kid = Some("../../../../dev/null".to_owned())),
            "200 ok",
        ),
        (
            "a key's name that is SQL, which nobody reads",
            headed(|it| it.kid = Some("' UNION SELECT 'k".to_owned())),
            "200 ok",
        ),
        (
            "an address of keys, which nobody asks",
            headed(|it| it.jku = Some("http://127.0.0.1:9/keys".to_owned())),
            "200 ok",
        ),
        (
            "an address of certificates, which nobody asks",
            headed(|it| it.x5u = Some("http://127.0.0.1:9/x".to_owned())),
            "200 ok",
        ),
    ]
}

fn headers(scene: &Scene) -> Vec<Row> {
    let good = scene.session();
    let authorized = |value: &str| me().header(format!("authorization: {value}"));
    [
        ("without its scheme", authorized(good), NO),
        ("of another scheme", authorized(&format!("Basic {good}")), NO),
        ("a scheme alone", authorized("Bearer"), NOBODY),
        ("a scheme and a space", authorized("Bearer "), NOBODY),
        ("another scheme alone", authorized("Basic"), NO),
        ("a scheme twice", authorized("Bearer Bearer"), NO),
        ("a scheme and a comma", authorized("Bearer,"), NO),
        ("a scheme and what a page forgot", authorized("Bearer undefined"), NO),
        ("two, both of them a scheme", authorized("Bearer").header("authorization: Bearer"), NO),
        ("a tab between", authorized(&format!("Bearer\t{good}")), NO),
        ("a colon", authorized(&format!("Bearer: {good}")), NO),
        ("bytes that are no text", authorized("Bearer \u{fc}\u{fc}"), NO),
        ("two", authorized(&format!("Bearer {good}")).of(good), NO),
        ("two, one of them empty", authorized("").of(good), NO),
        (
            "two of other people",
            me().of(good).of(scene.other.client.token.as_deref().expect("a session")),
            NO,
        ),
        ("12 KiB", authorized(&format!("Bearer {}", "x".repeat(12 * 1024))), NO),
        ("20 KiB", authorized(&format!("Bearer {}", "x".repeat(20 * 1024))), "431"),
        ("empty", authorized(""), NOBODY),
        ("spaces", authorized("   "), NOBODY),
        ("in small letters and spaced out", authorized(&format!("bearer   {good}  ")), "200 ok"),
        (
            "in a cookie",
            me().header(format!("cookie: authorization=Bearer {good}; token={good}")),
            NOBODY,
        ),
        (
            "in the proxy's header",
            me().header(format!("proxy-authorization: Bearer {good}")),
            NOBODY,
        ),
    ]
    .map(|(name, sent, expected)| row(format!("a session's header: {name}"), sent, expected))
    .into()
}

fn queue_tokens(scene: &Scene) -> Vec<Row> {
    let claims = |person: &str, schedule: &str| json!({ "aud": "frontrow:queue", "sub": person, "sch": schedule, "jti": uuid::Uuid::now_v7() });
    let (me, show) = (scene.fan.person_id(), scene.show.id.as_str());
    let elsewhere = uuid::Uuid::now_v7().to_string();
    let token = &scene.fan.token;
    let tokens = [
        ("nothing", String::new()),
        ("a letter", "x".to_owned()),
        ("an id", show.to_owned()),
        ("NUL", "\0".to_owned()),
        ("another's", scene.other.token.clone()),
        ("a session", scene.session().to_owned()),
        ("a refresh token", scene.refresh_token.clone()),
        ("a letter less", token[..token.len() - 1].to_owned()),
        ("with a space", format!("{token} ")),
        ("twice", format!("{token}{token}")),
        ("a place that nobody has", scene.signed(&claims(me, show))),
        ("another performance's", scene.signed(&claims(me, &elsewhere))),
        ("of a person who never was", scene.signed(&claims(&elsewhere, show))),
        (
            "for another purpose",
            scene.signed(&with(&claims(me, show), "aud", json!("frontrow:session"))),
        ),
        ("30,000 letters", "x".repeat(30_000)),
    ];
    let seats = "query($s:ID!,$t:String!){seats(scheduleId:$s,queueToken:$t){id}}";
    tokens
        .map(|(name, token)| {
            let sent = Http::document(seats, &json!({ "s": show, "t": token })).of(scene.session());
            row(format!("a queue token: {name}"), sent, "200 QUEUE_TOKEN_INVALID")
        })
        .into()
}

fn refresh_tokens(scene: &Scene) -> Vec<Row> {
    let (own, others) = (&scene.refresh_token, &scene.others_refresh_token);
    let tokens = [
        ("nothing", String::new()),
        ("a letter", "x".to_owned()),
        ("a prefix", "frt_".to_owned()),
        ("zeros", format!("frt_{}", "0".repeat(96))),
        ("NUL", "frt_\0".to_owned()),
        ("in capitals", own.to_uppercase()),
        ("a letter less", own[..own.len() - 1].to_owned()),
        ("a letter more", format!("{own}0")),
        ("with a space", format!(" {own}")),
        ("half of one and half of another", format!("{}{}", &own[..30], &others[30..])),
        ("a session", scene.session().to_owned()),
        ("a queue token", scene.fan.token.clone()),
        ("30,000 letters", "f".repeat(30_000)),
    ];
    let query = "mutation($t:String!){refreshSession(refreshToken:$t){session{accessToken refreshToken} userErrors{code}}}";
    tokens
        .map(|(name, token)| {
            let sent = Http::document(query, &json!({ "t": token }));
            row(format!("a refresh token: {name}"), sent, "200 SESSION_ENDED")
        })
        .into()
}

fn log_ins() -> Vec<Row> {
    let query = "mutation($i:LogInInput!){logIn(input:$i){session{accessToken} userErrors{code}}}";
    [
        ("a wrong password", "vera.verborgen@test.example", "not this one".to_owned()),
        ("an address that nobody has", "nobody@test.example", "not this one".to_owned()),
        ("SQL for an address", "' OR 1=1 --", "not this one".to_owned()),
        ("NUL in an address", "a\0@b.c", "not this one".to_owned()),
        ("no password", "vera.verborgen@test.example", String::new()),
        ("60,000 letters of password", "vera.verborgen@test.example", "p".repeat(60_000)),
    ]
    .map(|(name, email, password)| {
        let sent = Http::document(query, &json!({ "i": { "email": email, "password": password } }));
        row(format!("a log-in: {name}"), sent, "200 WRONG_CREDENTIALS")
    })
    .into()
}
