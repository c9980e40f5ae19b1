//! What clients are written against: the schema file, the contract, the codes of refusals, and the names of metrics.

mod described;
mod identity;

use std::{collections::BTreeSet, fs, path::Path, process::Command, sync::Arc};

use async_graphql::Positioned;
use async_graphql::parser::{
    parse_schema,
    types::{FieldDefinition, InputValueDefinition, TypeKind, TypeSystemDefinition},
};
use frontrow::{
    api,
    telemetry::{
        CheckLabels, EndedLabels, LaneLabels, Metrics, OperationLabels, OutcomeLabels,
        RefusalLabels, RequestLabels, TaskLabels,
    },
};

use crate::support::process::clean;

/// What a schema promises, a line each: `Concert.title: String!`, `Query.concerts(first): Int = 20`, `Role.FAN`.
pub(crate) fn promises(sdl: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for definition in parse_schema(sdl).expect("a schema").definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = &definition.node.name.node;
        match definition.node.kind {
            TypeKind::Scalar => _ = lines.insert(format!("scalar {name}")),
            TypeKind::Object(object) => {
                lines.insert(format!("type {name}"));
                let implemented = object.implements.iter().map(|of| &of.node);
                lines.extend(implemented.map(|of| format!("type {name} implements {of}")));
                fields(&mut lines, name, &object.fields);
            }
            TypeKind::Interface(interface) => {
                lines.insert(format!("interface {name}"));
                fields(&mut lines, name, &interface.fields);
            }
            TypeKind::Enum(of) => {
                lines.insert(format!("enum {name}"));
                lines.extend(
                    of.values.iter().map(|value| format!("{name}.{}", value.node.value.node)),
                );
            }
            TypeKind::InputObject(input) => {
                lines.insert(format!("input {name}"));
                for field in &input.fields {
                    lines.insert(format!("{name}.{}", value(&field.node, "")));
                }
            }
            TypeKind::Union(_) => panic!("{name}: unions are not compared yet"),
        }
    }
    lines
}

fn fields(lines: &mut BTreeSet<String>, name: &str, fields: &[Positioned<FieldDefinition>]) {
    for field in fields.iter().map(|field| &field.node) {
        lines.insert(format!("{name}.{}: {}", field.name.node, field.ty.node));
        for argument in &field.arguments {
            lines.insert(format!("{name}.{}({}", field.name.node, value(&argument.node, ")")));
        }
    }
}

fn value(of: &InputValueDefinition, close: &str) -> String {
    let default =
        of.default_value.as_ref().map_or(String::new(), |value| format!(" = {}", value.node));
    format!("{}{close}: {}{default}", of.name.node, of.ty.node)
}

/// What a schema lacks of a contract, or demands beyond it: arguments and input fields that old clients do not send.
fn broken(contract: &str, schema: &str) -> Vec<String> {
    let (contract, schema) = (promises(contract), promises(schema));
    let owner = |line: &str| match line.split_once('(') {
        Some((field, _)) => format!("{field}:"),
        None => format!("input {}", line.split('.').next().unwrap_or_default()),
    };
    let inputs: BTreeSet<&str> =
        contract.iter().filter_map(|line| line.strip_prefix("input ")).collect();
    let demanded = schema.difference(&contract).filter(|line| {
        let is_input = line.contains('(')
            || line.split_once('.').is_some_and(|(name, _)| inputs.contains(name));
        let owner = owner(line);
        let known = contract.iter().any(|line| line.starts_with(&owner));
        is_input && known && line.ends_with('!')
    });
    let missing = contract.difference(&schema).map(|line| format!("missing: {line}"));
    missing.chain(demanded.map(|line| format!("demanded: {line}"))).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn schema_graphql_is_what_the_program_prints() {
    let printed =
        clean(Command::new(env!("CARGO_BIN_EXE_frontrow"))).arg("schema").output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, api::sdl());
    assert!(
        printed == read("schema.graphql"),
        "run `cargo run -- schema > schema.graphql`, and look at the difference"
    );
}

#[test]
fn the_contract_is_held() {
    assert_eq!(broken(&read("tests/contract.graphql"), &api::sdl()), Vec::<String>::new());
}

#[test]
fn a_broken_contract_is_noticed() {
    let contract = "type Query { a(x: Int = 1, y: [ID!]!): [String!]! b: E } enum E { P Q }
                    input I { f: Int! g: Int = 2 } interface N { m: String! } type T implements N { m: String! }
                    scalar S";
    assert_eq!(broken(contract, contract), Vec::<String>::new());
    let more = format!("{contract} type More {{ x(y: Int!): Int }} input Other {{ z: Int! }}")
        .replace("b: E", "b(new: Int): E c(d: Int!): Int")
        .replace("P Q", "P Q R");
    assert_eq!(broken(contract, &more), Vec::<String>::new());
    for (from, to, first) in [
        ("b: E", "", "missing: Query.b: E"),
        ("b: E", "b: E!", "missing: Query.b: E"),
        ("[String!]!", "[String]!", "missing: Query.a: [String!]!"),
        ("x: Int = 1, ", "", "missing: Query.a(x): Int = 1"),
        ("x: Int = 1", "x: Int = 3", "missing: Query.a(x): Int = 1"),
        ("x: Int = 1", "x: Int", "missing: Query.a(x): Int = 1"),
        ("y: [ID!]!", "y: [ID!]", "missing: Query.a(y): [ID!]!"),
        ("x: Int = 1", "x: Int = 1, z: Int!", "demanded: Query.a(z): Int!"),
        ("P Q", "P", "missing: E.Q"),
        ("f: Int!", "f: Int! h: Int!", "demanded: I.h: Int!"),
        ("g: Int = 2", "", "missing: I.g: Int = 2"),
        ("T implements N", "T", "missing: type T implements N"),
        ("scalar S", "enum S { A }", "missing: scalar S"),
        ("{ m: String! } type", "{ m: String } type", "missing: N.m: String!"),
    ] {
        let told = broken(contract, &contract.replace(from, to));
        assert_eq!(told.first().map(String::as_str), Some(first), "{from} -> {to}: {told:?}");
    }
}

/// Programs decide by these; one that goes, or gets another name, breaks them.
const CODES: &[(&str, &str)] = &[
    (
        "AccountErrorCode",
        "EMAIL_INVALID EMAIL_TAKEN NAME_INVALID PASSWORD_WEAK SESSION_ENDED STILL_HAS_SEATS WRONG_CREDENTIALS",
    ),
    (
        "CancelErrorCode",
        "CANCELLATION_CLOSED GATEWAY_UNAVAILABLE PAYMENT_IN_PROGRESS RESERVATION_EXPIRED RESERVATION_NOT_FOUND",
    ),
    (
        "ChargeErrorCode",
        "AMOUNT_INVALID BALANCE_LIMIT CARD_ACTION_FAILED CARD_DECLINED CARD_TOKEN_MISSING GATEWAY_UNAVAILABLE \
         IDEMPOTENCY_KEY_INVALID IDEMPOTENCY_KEY_REUSED RETURN_URL_INVALID",
    ),
    ("ExtendErrorCode", "EXTENSION_LIMIT HOLD_EXPIRED RESERVATION_NOT_FOUND"),
    (
        "HoldErrorCode",
        "NO_ADJACENT_SEATS QUEUE_ENDED QUEUE_NOT_ACTIVE QUEUE_TOKEN_INVALID SALE_CLOSED SEAT_HELD \
         SEAT_LIMIT_REACHED SEAT_NOT_FOUND SEAT_SOLD",
    ),
    ("OrganizerErrorCode", "NOT_FOUND VALUE_INVALID WRONG_STATE"),
    (
        "PayErrorCode",
        "AMOUNT_MISMATCH CARD_ACTION_FAILED CARD_DECLINED CARD_TOKEN_MISSING GATEWAY_UNAVAILABLE HOLD_EXPIRED \
         IDEMPOTENCY_KEY_INVALID IDEMPOTENCY_KEY_REUSED INSUFFICIENT_BALANCE PAYMENT_IN_PROGRESS \
         RESERVATION_NOT_FOUND RESERVATION_NOT_PAYABLE RETURN_URL_INVALID",
    ),
    (
        "QueueErrorCode",
        "NOT_IN_QUEUE SALE_CLOSED SALE_NOT_OPEN SCHEDULE_NOT_FOUND SEAT_LIMIT_REACHED SOLD_OUT",
    ),
    (
        "RequestErrorCode",
        "BAD_REQUEST FORBIDDEN INTERNAL NOT_FOUND OVERLOADED PERSISTED_QUERY_NOT_FOUND PERSISTED_QUERY_NOT_SUPPORTED \
         QUERY_TOO_COMPLEX QUEUE_ENDED QUEUE_NOT_ACTIVE QUEUE_TOKEN_INVALID RATE_LIMITED UNAUTHENTICATED",
    ),
];

#[test]
fn codes_are_those_that_clients_know() {
    let promised = promises(&api::sdl());
    let enums = promised.iter().filter_map(|line| line.strip_prefix("enum "));
    let told: Vec<(String, String)> = enums
        .filter(|name| name.ends_with("ErrorCode"))
        .map(|name| {
            let prefix = format!("{name}.");
            let values: Vec<&str> =
                promised.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
            (name.to_owned(), values.join(" "))
        })
        .collect();
    let known: Vec<(String, String)> =
        CODES.iter().map(|(name, codes)| ((*name).to_owned(), (*codes).to_owned())).collect();
    assert_eq!(told, known);
}

/// Dashboards and alarms read these.
pub(crate) const METRICS: &[(&str, &str)] = &[
    ("frontrow_answers_refused", "counter"),
    ("frontrow_audit_faults", "gauge"),
    ("frontrow_audit_finished_seconds", "gauge"),
    ("frontrow_audit_seconds", "gauge"),
    ("frontrow_connections", "gauge"),
    ("frontrow_connections_ended", "counter"),
    ("frontrow_connections_refused", "counter"),
    ("frontrow_faults", "counter"),
    ("frontrow_gateway_calls", "counter"),
    ("frontrow_gateway_seconds", "histogram"),
    ("frontrow_holds", "counter"),
    ("frontrow_holds_lapsed", "counter"),
    ("frontrow_journal_batch", "histogram"),
    ("frontrow_lane_groups", "histogram"),
    ("frontrow_operations", "counter"),
    ("frontrow_payments", "counter"),
    ("frontrow_queue_admitted", "counter"),
    ("frontrow_queue_ended", "counter"),
    ("frontrow_queue_entered", "counter"),
    ("frontrow_queue_passed_over", "counter"),
    ("frontrow_redis_failures", "counter"),
    ("frontrow_request_seconds", "histogram"),
    ("frontrow_rate_limited", "counter"),
    ("frontrow_refunds", "counter"),
    ("frontrow_refusals", "counter"),
    ("frontrow_requests", "counter"),
    ("frontrow_requests_in_flight", "gauge"),
    ("frontrow_room_absent", "gauge"),
    ("frontrow_room_active", "gauge"),
    ("frontrow_room_admitted", "counter"),
    ("frontrow_room_expired", "counter"),
    ("frontrow_room_passed_over", "counter"),
    ("frontrow_room_push_seconds", "histogram"),
    ("frontrow_room_rebuilds", "counter"),
    ("frontrow_room_status", "gauge"),
    ("frontrow_room_wait_seconds", "histogram"),
    ("frontrow_room_waiting", "gauge"),
    ("frontrow_room_watchers", "gauge"),
    ("frontrow_sessions", "counter"),
    ("frontrow_shed", "counter"),
    ("frontrow_slow_operations", "counter"),
    ("frontrow_sockets", "gauge"),
    ("frontrow_spans", "counter"),
    ("frontrow_subscriptions", "gauge"),
    ("frontrow_task_panics", "counter"),
];

#[test]
fn metrics_are_those_that_dashboards_know() {
    let metrics = Metrics::new();
    // Those with labels show themselves when they have counted something.
    drop(metrics.requests.get_or_create(&RequestLabels { kind: "query", code: "ok" }));
    let field: Arc<str> = "concerts".into();
    let labels = OperationLabels { kind: "query", field: field.clone(), outcome: "ok" };
    drop(metrics.operations.answered.get_or_create(&labels));
    drop(metrics.operations.refused.get_or_create(&RefusalLabels { field, code: "NOT_FOUND" }));
    drop(metrics.audit_faults.get_or_create(&CheckLabels { check: String::new() }));
    drop(metrics.queue_ended.get_or_create(&EndedLabels { status: "USED" }));
    drop(metrics.holds.get_or_create(&OutcomeLabels { outcome: "ok" }));
    drop(metrics.payments.get_or_create(&OutcomeLabels { outcome: "ok" }));
    drop(metrics.lane_groups.get_or_create(&LaneLabels { lane: "holds" }));
    drop(metrics.task_panics.get_or_create(&TaskLabels { task: "rounds" }));
    let text = metrics.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let told: BTreeSet<(&str, &str)> = types.collect();
    assert_eq!(told, METRICS.iter().copied().collect());
}
