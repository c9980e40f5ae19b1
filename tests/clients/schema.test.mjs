// That a new schema breaks nobody who wrote a client for the last release: docs/clients.md, "What may change".
// released.graphql is the last release's; docs/releasing.md says when another one takes its place.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema } from "graphql";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

/** What clients of the one schema lose with the other one, except for what was announced and has had its time. */
async function broken(before, after, day = new Date().toISOString().slice(0, 10)) {
  const schema = buildSchema(before);
  const changes = await diff(schema, buildSchema(after));
  const breaking = changes.filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking);
  return breaking.filter(({ type, path }) => !(type.endsWith("_REMOVED") && mayGo(schema, path, day))).map(({ path }) => path);
}

/** Whether what stands at a path was deprecated, until a day that has come. */
function mayGo(schema, path, day) {
  const [name, member, argument] = path.split(".");
  const type = schema.getType(name);
  const owner = type?.getFields?.()[member] ?? type?.getValues?.().find((value) => value.name === member);
  const gone = argument ? owner?.args?.find((other) => other.name === argument) : owner;
  const until = /Not before (\d{4}-\d\d-\d\d)/.exec(gone?.deprecationReason ?? "")?.[1];
  return until !== undefined && until <= day;
}

test("nothing of the last release is broken", async () => {
  assert.deepEqual(await broken(read("released.graphql"), read("../../schema.graphql")), []);
});

const DEPRECATED = '@deprecated(reason: "Use row. Not before 2027-03-01.")';
const SMALL = `
  type Query { seat(id: ID!, place: Int ${DEPRECATED}): Seat }
  type Seat { row: String! number: Int! line: String ${DEPRECATED} }
  enum Status { FREE SOLD GONE ${DEPRECATED} }
  input Wanted { row: String number: Int = 1 line: String ${DEPRECATED} }
`;
const without = (text, other = "") => {
  assert(SMALL.includes(text), text);
  return SMALL.replace(text, other);
};

test("what breaks clients is found", async () => {
  for (const [text, other, path] of [
    ["row: String! number", "number", "Seat.row"],
    ["row: String! number", "row: String number", "Seat.row"],
    ["row: String! number", "row: Int! number", "Seat.row"],
    ["seat(id: ID!", "seat(id: ID!, row: String!", "Query.seat.row"],
    ["seat(id: ID!, ", "seat(", "Query.seat.id"],
    ["FREE SOLD", "FREE", "Status.SOLD"],
    ["row: String number", "row: String! number", "Wanted.row"],
    ["row: String number", "number", "Wanted.row"],
    [/enum Status .*/.exec(SMALL)[0], "", "Status"],
  ]) {
    assert.deepEqual(await broken(SMALL, without(text, other)), [path], `${text} became ${other}`);
  }
});

test("what is new breaks nobody", async () => {
  for (const [text, other] of [
    ["row: String! number", "row: String! section: String! number"],
    ["seat(id: ID!", "seat(id: ID!, row: String, sold: Boolean! = false"],
    ["FREE SOLD", "FREE HELD SOLD"],
    ["row: String number", "row: String section: String number"],
    ["number: Int!", 'number: Int! @deprecated(reason: "Use row. Not before 2027-03-01.")'],
  ]) {
    assert.deepEqual(await broken(SMALL, without(text, other)), [], `${text} became ${other}`);
  }
});

test("what was deprecated goes when its day has come, and not before", async () => {
  for (const [text, path] of [
    [`, place: Int ${DEPRECATED}`, "Query.seat.place"],
    [`number: Int! line: String ${DEPRECATED}`, "Seat.line"],
    [`GONE ${DEPRECATED}`, "Status.GONE"],
    [`= 1 line: String ${DEPRECATED}`, "Wanted.line"],
  ]) {
    const after = without(text, text.startsWith("number") ? "number: Int!" : text.startsWith("=") ? "= 1" : "");
    assert.deepEqual(await broken(SMALL, after, "2027-02-28"), [path]);
    assert.deepEqual(await broken(SMALL, after, "2027-03-01"), [], path);
  }
});
