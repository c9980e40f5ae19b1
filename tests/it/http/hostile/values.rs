//! Variables: each scalar beyond its range, ids and cursors of others or of nothing, lists that are none.

use serde_json::{Value, json};

use super::{
    asking::{Http, Row, row},
    scene::Scene,
};

const BAD: &str = "400 BAD_REQUEST";
/// What only the field itself can refuse: it is an error of the answer then.
const REFUSED: &str = "200 BAD_REQUEST";
const OK: &str = "200 ok";

pub(super) fn rows(scene: &Scene) -> Vec<Row> {
    let all = [
        instants(scene),
        points(),
        ints(),
        ids(),
        others(scene),
        cursors(scene),
        lists(scene),
        keys(scene),
        accounts(),
    ];
    let rows = all.concat().into_iter().map(|it| {
        let sent = Http::post(it.body).of(scene.session());
        row(format!("a value: {}", it.name), sent, it.expected)
    });
    rows.chain(organizers(scene)).collect()
}

/// An organizer at what is another's.
fn organizers(scene: &Scene) -> Vec<Row> {
    let show = json!({ "v": scene.show.id });
    let people = "query($v:ID!){scheduleReservations(scheduleId:$v){nodes{person{name email}}}}";
    let close = "mutation($v:ID!){closeSale(scheduleId:$v){userErrors{code}}}";
    let session = scene.organizer.token.as_deref().expect("a session");
    [("who comes", people), ("closed", close)]
        .map(|(what, query)| {
            let sent = Http::document(query, &show).of(session);
            row(format!("a value: another organizer's performance, {what}"), sent, "200 NOT_FOUND")
        })
        .into()
}

#[derive(Clone)]
struct Sending {
    name: String,
    body: String,
    expected: &'static str,
}

/// A document whose variable `$v` is this JSON.
fn sending(name: &str, query: &str, value: &str, expected: &'static str) -> Sending {
    let name = format!("{name}: {value:.60}");
    let body = format!(r#"{{"query":{},"variables":{{"v":{value}}}}}"#, json!(query));
    Sending { name, body, expected }
}

fn each<const N: usize>(
    name: &str,
    query: &str,
    values: [(&str, &'static str); N],
) -> Vec<Sending> {
    values.map(|(value, expected)| sending(name, query, value, expected)).into()
}

fn instants(scene: &Scene) -> Vec<Sending> {
    let query = format!(
        "query($v:DateTime){{schedules(concertId:\"{}\",from:$v){{id}}}}",
        scene.show.concert_id
    );
    each(
        "an instant",
        &query,
        [
            ("0", BAD),
            ("1764236400", BAD),
            ("true", BAD),
            ("[]", BAD),
            ("{}", BAD),
            (r#""""#, BAD),
            (r#""now""#, BAD),
            (r#""2026-11-27""#, BAD),
            (r#""2026-11-27T10:00:00""#, BAD),
            (r#""2026-02-30T10:00:00Z""#, BAD),
            (r#""2026-11-27T25:00:00Z""#, BAD),
            (r#""2026-11-27T10:00:00+25:00""#, BAD),
            (r#""9999-12-31T23:59:59-00:01""#, BAD),
            (r#""0000-01-01T00:00:00+00:01""#, BAD),
            (r#""-0001-01-01T00:00:00Z""#, BAD),
            (r#""+10000-01-01T00:00:00Z""#, BAD),
            (r#""292277026596-12-04T15:30:08Z""#, BAD),
            (r#""2026-11-27T10:00:00Z\u0000""#, BAD),
            (r#"" 2026-11-27T10:00:00Z""#, BAD),
            (r#""２０２６-11-27T10:00:00Z""#, BAD),
            (r#""0000-01-01T00:00:00Z""#, OK),
            (r#""9999-12-31T23:59:59.999999999Z""#, OK),
            (r#""2016-12-31T23:59:60Z""#, OK),
        ],
    )
}

fn points() -> Vec<Sending> {
    let query = "mutation($v:Points!){charge(input:{amount:$v,idempotencyKey:\"hostile\"}){balance userErrors{code}}}";
    each(
        "points",
        query,
        [
            ("null", BAD),
            ("\"1\"", BAD),
            ("true", BAD),
            ("-1", BAD),
            ("1.5", BAD),
            ("1e16", BAD),
            ("9007199254740992.0", BAD),
            ("1e308", BAD),
            ("-1.0", BAD),
            ("1.0e-1", BAD),
            ("1e-400", "200 AMOUNT_INVALID"),
            ("-0.0", "200 AMOUNT_INVALID"),
            ("1e9", "200 AMOUNT_INVALID"),
            ("10000001.0", "200 AMOUNT_INVALID"),
            ("9007199254740992", BAD),
            ("9223372036854775807", BAD),
            ("9223372036854775808", BAD),
            ("-9223372036854775808", BAD),
            ("18446744073709551616", BAD),
            ("[1]", BAD),
            ("{\"value\":1}", BAD),
            ("0", "200 AMOUNT_INVALID"),
            ("10000001", "200 AMOUNT_INVALID"),
            ("9007199254740991", "200 AMOUNT_INVALID"),
        ],
    )
}

fn ints() -> Vec<Sending> {
    each(
        "a page's size",
        "query($v:Int){concerts(first:$v){nodes{id}}}",
        [
            ("2147483648", BAD),
            ("-2147483649", BAD),
            ("4294967297", BAD),
            ("9223372036854775808", BAD),
            ("1.5", BAD),
            ("1e10", BAD),
            ("2147483648.0", BAD),
            ("\"1\"", BAD),
            ("true", BAD),
            ("[1]", BAD),
            ("1e2", OK),
            ("100.0", OK),
            ("101.0", REFUSED),
            ("101", REFUSED),
            ("2147483647", REFUSED),
            ("-2147483648", REFUSED),
        ],
    )
}

fn ids() -> Vec<Sending> {
    let long = format!("\"{}\"", "a".repeat(40_000));
    let mut all = each(
        "an id",
        "query($v:ID!){concert(id:$v){id title}}",
        [
            ("null", BAD),
            ("\"\"", OK),
            ("\"x\"", OK),
            ("\"\\u0000\"", OK),
            ("\"' OR 1=1 --\"", OK),
            ("\"../../etc/passwd\"", OK),
            ("\"00000000-0000-0000-0000-000000000000\"", OK),
            ("\"ffffffff-ffff-ffff-ffff-ffffffffffff\"", OK),
            ("\"urn:uuid:01a1fd5a-b478-76e1-bca7-9a7ec0994ed9\"", OK),
            ("\"{01a1fd5a-b478-76e1-bca7-9a7ec0994ed9}\"", OK),
            ("7", OK),
            ("7.0", OK),
            ("18446744073709551616", BAD),
            ("1.5", BAD),
            ("true", BAD),
            ("[\"x\"]", BAD),
            ("{\"id\":\"x\"}", BAD),
        ],
    );
    all.push(sending("an id", "query($v:ID!){concert(id:$v){id}}", &long, OK));
    all
}

/// Things of others, by their right ids.
fn others(scene: &Scene) -> Vec<Sending> {
    const NOT_FOUND: &str = "200 RESERVATION_NOT_FOUND";
    const FORBIDDEN: &str = "200 FORBIDDEN";
    let (show, token) = (&scene.show.id, &scene.other.token);
    let reservation = json!(scene.others_reservation).to_string();
    let [show_id, seat] = [json!(show), json!(scene.show.seats[2])].map(|id| id.to_string());
    let query = |field: &str| format!("query($v:ID!){{{field}}}");
    let mutation = |field: &str| format!("mutation($v:ID!){{{field}{{userErrors{{code}}}}}}");
    let pay = "pay(input:{reservationId:$v,method:POINT,amount:1000,idempotencyKey:\"hostile\"})";
    let hold =
        format!("holdSeat(input:{{scheduleId:\"{show}\",seatId:$v,queueToken:\"{token}\"}})");
    let people = "scheduleReservations(scheduleId:$v){nodes{person{name email}}}";
    let of_a_reservation = [
        ("seen", query("reservation(id:$v){id person{id name email} payment{id}}"), OK),
        ("cancelled", mutation("cancelReservation(id:$v)"), NOT_FOUND),
        ("kept for longer", mutation("extendHold(reservationId:$v)"), NOT_FOUND),
        ("refunded", mutation("refundReservation(id:$v)"), FORBIDDEN),
        ("paid", mutation(pay), NOT_FOUND),
    ];
    let of_a_show = [
        ("who comes", query(people), FORBIDDEN),
        ("what was sold", query("schedule(id:$v){sales{revenue}}"), OK),
        ("closed", mutation("closeSale(scheduleId:$v)"), FORBIDDEN),
        ("called off", mutation("cancelSchedule(scheduleId:$v)"), FORBIDDEN),
    ];
    let reservations = of_a_reservation.into_iter().map(|(what, query, expected)| {
        sending(&format!("another's reservation, {what}"), &query, &reservation, expected)
    });
    let shows = of_a_show.into_iter().map(|(what, query, expected)| {
        sending(&format!("another's performance, {what}"), &query, &show_id, expected)
    });
    let held =
        sending("a seat by another's token", &mutation(&hold), &seat, "200 QUEUE_TOKEN_INVALID");
    reservations.chain(shows).chain([held]).collect()
}

fn cursors(scene: &Scene) -> Vec<Sending> {
    let mut all = each(
        "a cursor of the ledger",
        "query($v:String){walletEntries(first:1,after:$v){nodes{id}}}",
        [
            ("\"\"", REFUSED),
            ("\"x\"", REFUSED),
            ("\" 1\"", REFUSED),
            ("\"+1\"", REFUSED),
            ("\"01\"", REFUSED),
            ("\"1.0\"", REFUSED),
            ("\"1e3\"", REFUSED),
            ("\"9223372036854775808\"", REFUSED),
            ("\"1\\u0000\"", REFUSED),
            ("\"1; DROP TABLE person\"", REFUSED),
            ("\"01a1fd5a-b478-76e1-bca7-9a7ec0994ed9\"", REFUSED),
            ("1", BAD),
            ("\"9223372036854775807\"", OK),
        ],
    );
    let reservations = "query($v:String){reservations(first:1,after:$v){nodes{id person{name}}}}";
    all.extend(each(
        "a cursor of reservations",
        reservations,
        [
            ("\"1\"", REFUSED),
            ("\"01A1FD5A-B478-76E1-BCA7-9A7EC0994ED9\"", REFUSED),
            ("\"01a1fd5ab47876e1bca79a7ec0994ed9\"", REFUSED),
            ("\"{01a1fd5a-b478-76e1-bca7-9a7ec0994ed9}\"", REFUSED),
            ("\"urn:uuid:01a1fd5a-b478-76e1-bca7-9a7ec0994ed9\"", REFUSED),
            ("[\"01a1fd5a-b478-76e1-bca7-9a7ec0994ed9\"]", BAD),
        ],
    ));
    all.push(sending(
        "another's cursor",
        reservations,
        &json!(scene.others_reservation).to_string(),
        OK,
    ));
    all
}

fn lists(scene: &Scene) -> Vec<Sending> {
    let query = format!(
        "mutation($v:[ID!]!){{holdSeats(input:{{scheduleId:\"{}\",seatIds:$v,queueToken:\"{}\"}}){{userErrors{{code}}}}}}",
        scene.show.id, scene.fan.token
    );
    let seat = json!(scene.show.seats[3]);
    let many: Vec<&Value> = vec![&seat; 21];
    let unknown: Vec<String> = (0..20).map(|_| uuid::Uuid::now_v7().to_string()).collect();
    [
        ("null".to_owned(), BAD),
        ("[null]".to_owned(), BAD),
        ("[[]]".to_owned(), BAD),
        (json!([[seat]]).to_string(), BAD),
        ("{}".to_owned(), BAD),
        ("true".to_owned(), BAD),
        ("[]".to_owned(), REFUSED),
        (json!(many).to_string(), REFUSED),
        (json!(unknown).to_string(), "200 SEAT_NOT_FOUND"),
        (json!([seat, "x"]).to_string(), "200 SEAT_NOT_FOUND"),
        (json!(vec!["x"; 3_000]).to_string(), REFUSED),
    ]
    .into_iter()
    .map(|(value, expected)| sending("seats", &query, &value, expected))
    .collect()
}

fn keys(scene: &Scene) -> Vec<Sending> {
    let query = format!(
        "mutation($v:String!){{pay(input:{{reservationId:\"{}\",method:POINT,amount:1000,idempotencyKey:$v}}){{userErrors{{code}}}}}}",
        scene.hold
    );
    let long = format!("\"{}\"", "k".repeat(256));
    let mut all = each(
        "a key",
        &query,
        [
            ("\"\"", "200 IDEMPOTENCY_KEY_INVALID"),
            ("\"a\\u0000b\"", "200 IDEMPOTENCY_KEY_INVALID"),
            ("1", BAD),
            ("null", BAD),
        ],
    );
    all.push(sending("a key", &query, &long, "200 IDEMPOTENCY_KEY_INVALID"));
    all
}

fn accounts() -> Vec<Sending> {
    let query =
        "mutation($v:SignUpInput!){signUp(input:$v){session{accessToken} userErrors{code}}}";
    let person = |email: &str, password: &str, name: &str| {
        json!({ "email": email, "password": password, "name": name }).to_string()
    };
    let (email, password) = ("new@test.example", "a long enough password");
    [
        (person("x", password, "X"), "200 EMAIL_INVALID"),
        (person("a@b\0.c", password, "X"), "200 EMAIL_INVALID"),
        (person("a\r\nbcc: b@c.d", password, "X"), "200 EMAIL_INVALID"),
        (person(&format!("{}@b.c", "a".repeat(60_000)), password, "X"), "200 EMAIL_INVALID"),
        (person("VERA.VERBORGEN@test.example", password, "X"), "200 EMAIL_TAKEN"),
        (person(email, "short", "X"), "200 PASSWORD_WEAK"),
        (person(email, &"p".repeat(129), "X"), "200 PASSWORD_WEAK"),
        (person(email, &"pq".repeat(30_000), "X"), "200 PASSWORD_WEAK"),
        (person(email, password, ""), "200 NAME_INVALID"),
        (person(email, password, "a\u{1b}[31m"), "200 NAME_INVALID"),
        (person(email, password, &"é".repeat(101)), "200 NAME_INVALID"),
        (r#"{"email":"a@b.c","password":"a long enough password"}"#.to_owned(), BAD),
        (r#"{"email":"a@b.c","password":"a long enough password","name":"X","role":"ORGANIZER"}"#.to_owned(), BAD),
    ]
    .into_iter()
    .map(|(value, expected)| sending("somebody new", query, &value, expected))
    .collect()
}
