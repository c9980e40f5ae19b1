//! Odd values, through the real server, in every place of every query, mutation and subscription that takes a value.
//!
//! The places are read out of the schema, so that a field which is added is tried by itself. Whatever is sent, it is refused
//! or answered: it is no fault of ours, and nothing panics.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_graphql::parser::{
    parse_schema,
    types::{BaseType, Type, TypeKind, TypeSystemDefinition},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    shop::{self, Setup, Show},
    socket::Pushed,
    world::World,
};

/// Values as JSON; some are none.
const ODD: &[&str] = &[
    "null",
    "true",
    "\"\"",
    "\" \"",
    "\"x\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ufffd\\u202e\\u200b\\n\\r\\t\"",
    "\"👩‍👩‍👧‍👦\"",
    "\"%_\\\\'; DROP TABLE person; --\"",
    "\"$1\"",
    "\"NOT_A_VALUE\"",
    "\"00000000-0000-0000-0000-000000000000\"",
    "\"ffffffff-ffff-ffff-ffff-ffffffffffff\"",
    "\"{00000000-0000-7000-8000-000000000000}\"",
    "\"9223372036854775807\"",
    "\"0000-01-01T00:00:00Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"-0001-01-01T00:00:00Z\"",
    "\"1582-10-10T00:00:00Z\"",
    "\"1999-12-31T23:59:59.999Z\"",
    "\"2200-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59Z\"",
    "\"+10000-01-01T00:00:00Z\"",
    "\"2030-06-30T23:59:60Z\"",
    "\"2030-02-30T00:00:00Z\"",
    "0",
    "-0",
    "-1",
    "0.1",
    "1.5",
    "1e308",
    "1e400",
    "-1e-400",
    "NaN",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "[]",
    "[null]",
    "[[]]",
    "[\"x\",\"x\"]",
    "{}",
    "{\"x\":1}",
];

/// Stands where the odd value comes.
const PLACE: &str = "the-odd-value";

/// Odd values that are too long to be written down.
fn huge() -> Vec<String> {
    vec![
        format!("\"{}\"", "x".repeat(300)),
        format!("\"{}\"", "é".repeat(10_000)),
        format!("\"{}\"", "9".repeat(10_000)),
        "9".repeat(1_000),
        format!("[{}\"x\"]", "\"x\",".repeat(1_000)),
        format!("{}{}", "[".repeat(100), "]".repeat(100)),
        format!("{}1{}", "{\"x\":".repeat(60), "}".repeat(60)),
    ]
}

/// A field of a root, with the document that asks for it and the names and types of its arguments.
struct Field {
    root: String,
    name: String,
    document: String,
    arguments: Vec<(String, Type)>,
}

/// What values types take, by name.
#[derive(Default)]
struct Types {
    inputs: HashMap<String, Vec<(String, Type)>>,
    enums: HashMap<String, String>,
    objects: Vec<String>,
}

fn schema() -> (Vec<Field>, Types) {
    let (mut fields, mut types) = (Vec::new(), Types::default());
    let definitions = parse_schema(frontrow::api::sdl()).unwrap().definitions;
    let kinds: Vec<(String, TypeKind)> = definitions
        .into_iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(of) => Some((of.node.name.node.to_string(), of.node.kind)),
            _ => None,
        })
        .collect();
    for (name, kind) in &kinds {
        match kind {
            TypeKind::Enum(of) => {
                _ = types.enums.insert(name.clone(), of.values[0].node.value.node.to_string());
            }
            TypeKind::InputObject(of) => {
                let inside = of.fields.iter();
                let inside =
                    inside.map(|it| (it.node.name.node.to_string(), it.node.ty.node.clone()));
                types.inputs.insert(name.clone(), inside.collect());
            }
            TypeKind::Object(_) => types.objects.push(name.clone()),
            _ => {}
        }
    }
    for (root, kind) in kinds {
        let TypeKind::Object(object) = kind else { continue };
        if !["Query", "Mutation", "Subscription"].contains(&root.as_str()) {
            continue;
        }
        for field in object.fields.iter().map(|field| &field.node) {
            let arguments: Vec<(String, Type)> = field
                .arguments
                .iter()
                .map(|it| (it.node.name.node.to_string(), it.node.ty.node.clone()))
                .collect();
            let name = field.name.node.to_string();
            let declared: Vec<String> =
                arguments.iter().map(|(name, ty)| format!("${name}: {ty}")).collect();
            let passed: Vec<String> =
                arguments.iter().map(|(name, _)| format!("{name}: ${name}")).collect();
            let selection = if types.objects.contains(&innermost(&field.ty.node)) {
                " { __typename }"
            } else {
                ""
            };
            let document = format!(
                "{} ({}) {{ {name} ({}){selection} }}",
                root.to_lowercase(),
                declared.join(", "),
                passed.join(", ")
            );
            if !arguments.is_empty() {
                fields.push(Field { root: root.clone(), name, document, arguments });
            }
        }
    }
    (fields, types)
}

fn innermost(ty: &Type) -> String {
    match &ty.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(inside) => innermost(inside),
    }
}

/// What a test has to put where a value is usual.
struct Usual<'a> {
    show: &'a Show,
    queue_token: &'a str,
    types: &'a Types,
}

impl Usual<'_> {
    fn value(&self, name: &str, ty: &Type) -> Value {
        let inside = match &ty.base {
            BaseType::List(inside) => return json!([self.value(name, inside)]),
            BaseType::Named(inside) => inside.as_str(),
        };
        if let Some(fields) = self.types.inputs.get(inside) {
            let fields = fields.iter().map(|(name, ty)| (name.clone(), self.value(name, ty)));
            return Value::Object(fields.collect());
        }
        if let Some(first) = self.types.enums.get(inside) {
            return json!(first);
        }
        match (inside, name) {
            ("ID", "concertId") => json!(self.show.concert_id),
            ("ID", "seatId" | "seatIds") => json!(self.show.seats[0]),
            ("ID", _) => json!(self.show.id),
            ("String", "queueToken") => json!(self.queue_token),
            ("String", "timeZone") => json!("Asia/Seoul"),
            ("String", "email") => json!(format!("{}@test.example", uuid::Uuid::new_v4())),
            ("String", "after") => Value::Null,
            ("String", "grade") => json!("R"),
            ("String", _) => json!(format!("usual-{}", uuid::Uuid::new_v4())),
            ("DateTime", "salesOpenAt") => json!("2030-01-01T00:00:00Z"),
            ("DateTime", "salesCloseAt") => json!("2030-01-02T00:00:00Z"),
            ("DateTime", _) => json!("2030-01-03T00:00:00Z"),
            ("Boolean", _) => json!(false),
            ("Int", "idleSeconds" | "activeSeconds") => json!(600),
            ("Int" | "Float" | "Points", _) => json!(1),
            other => panic!("{other:?} has no usual value here"),
        }
    }

    /// Every way to put the odd value in one place of these arguments, all others having usual ones.
    fn all(&self, arguments: &[(String, Type)]) -> Vec<Value> {
        let usual: serde_json::Map<String, Value> =
            arguments.iter().map(|(name, ty)| (name.clone(), self.value(name, ty))).collect();
        let usual = Value::Object(usual);
        let mut places = Vec::new();
        pointers(&usual, String::new(), &mut places);
        let put = |place: &String| {
            let mut variables = usual.clone();
            *variables.pointer_mut(place).unwrap() = json!(PLACE);
            variables
        };
        places.iter().map(put).collect()
    }
}

fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.clone());
    }
    match value {
        Value::Object(fields) => {
            for (name, inside) in fields {
                pointers(inside, format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inside) in items.iter().enumerate() {
                pointers(inside, format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Sends a body as it is, JSON or not; the status and the codes of its errors.
async fn send(client: &Client, body: String) -> (u16, Vec<String>, String) {
    let request = client
        .http
        .post(format!("http://{}/graphql", client.address))
        .header("content-type", "application/json")
        .bearer_auth(client.token.as_ref().unwrap())
        .body(body);
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    let errors = told["errors"].as_array().cloned().unwrap_or_default();
    let codes = errors.iter().map(|error| error["extensions"]["code"].as_str().unwrap().to_owned());
    (status, codes.collect(), text)
}

#[track_caller]
fn no_fault_of_ours(status: u16, codes: &[String], told: &str) {
    let ours = |code: &String| ["INTERNAL", "OVERLOADED"].contains(&code.as_str());
    assert!(status < 500 && !codes.iter().any(ours), "{status} {codes:?}: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_answered_with_a_fault_of_ours() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual_hook(panic);
    }));
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup { rows: 2, ..Setup::default() }).await;
    let queue_token = show.organizer.admitted(&show.id).await;
    let (fields, types) = schema();
    let usual = Usual { show: &show, queue_token: &queue_token, types: &types };
    let odd: Vec<String> = ODD.iter().map(|&text| text.to_owned()).chain(huge()).collect();
    let mut bodies = Vec::new();
    for field in fields.iter().filter(|field| field.root != "Subscription") {
        // The sale is closed last; nothing could be held any more.
        for variables in usual.all(&field.arguments) {
            let body = json!({ "query": field.document, "variables": variables }).to_string();
            let (before, after) = body.split_once(&format!("\"{PLACE}\"")).unwrap();
            bodies.extend(
                odd.iter().map(|odd| (field.name != "closeSale", format!("{before}{odd}{after}"))),
            );
        }
    }
    assert!(bodies.len() > 2_000, "{}", bodies.len());
    bodies.sort_by_key(|(first, _)| !first);
    let client = &show.organizer;
    let tried = stream::iter(bodies).map(async |(_, body)| {
        let (status, codes, told) = send(client, body.clone()).await;
        let body: String = body.chars().take(600).collect();
        no_fault_of_ours(status, &codes, &format!("{told} for {body}"));
    });
    tried.buffer_unordered(3).collect::<Vec<()>>().await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    let page = instance.app.metrics.render();
    let deaths: Vec<&str> =
        page.lines().filter(|line| line.starts_with("frontrow_task_panics_total{")).collect();
    assert!(deaths.iter().all(|line| line.ends_with(" 0")), "{deaths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_subscription_takes_an_odd_value_ill() {
    let world = World::new().await;
    let instance = world.instance().await;
    let show = shop::show(&world, &instance, Setup::default()).await;
    let queue_token = show.organizer.admitted(&show.id).await;
    let (fields, types) = schema();
    let usual = Usual { show: &show, queue_token: &queue_token, types: &types };
    // What is no JSON never gets as far as a subscription.
    let odd = ODD.iter().filter_map(|odd| serde_json::from_str::<Value>(odd).ok());
    let odd: Vec<Value> = odd.collect();
    let mut asked = Vec::new();
    for field in fields.iter().filter(|field| field.root == "Subscription") {
        for variables in usual.all(&field.arguments) {
            let text = variables.to_string();
            let put = |odd: &Value| text.replace(&format!("\"{PLACE}\""), &odd.to_string());
            asked.extend(odd.iter().map(|odd| (field.document.as_str(), put(odd))));
        }
    }
    assert!(asked.len() > 100, "{}", asked.len());
    let client = &show.organizer;
    let tried = stream::iter(asked).map(async |(document, variables)| {
        let values = serde_json::from_str(&variables).unwrap();
        match client.subscribe(document, values).await.soon().await {
            Some(Pushed::Error(errors)) => {
                let code = errors[0]["extensions"]["code"].as_str().unwrap().to_owned();
                no_fault_of_ours(200, &[code], &format!("{errors} for {variables}"));
            }
            Some(Pushed::Closed(code)) => panic!("closed with {code} for {variables}"),
            Some(Pushed::Next(_) | Pushed::Complete) | None => {}
        }
    });
    tried.buffer_unordered(8).collect::<Vec<()>>().await;
}
