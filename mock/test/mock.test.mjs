// The mock as a page meets it: over HTTP as any client asks, and over a WebSocket as graphql-ws does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { buildClientSchema, buildSchema, getIntrospectionQuery, lexicographicSortSchema, printSchema } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { start } from "../server.mjs";
import { ROOMS, id } from "../world.mjs";

const PLACE = "token status position roomStatus everythingHeld expiresAt remainingSeconds";
const ENTER = `mutation ($id: ID!) { enterQueue(scheduleId: $id) { queueToken { ${PLACE} } userErrors { code message path } } }`;
const HOLD = `mutation ($input: HoldSeatInput!) { holdSeat(input: $input) { reservation { id status totalPrice remainingSeconds } userErrors { code seatIds } } }`;
const PAY = `mutation ($input: PayInput!) { pay(input: $input) { payment { id status failureCode action { redirectUrl } reservation { status } } userErrors { code } } }`;
const CHARGE = `mutation ($input: ChargeInput!) { charge(input: $input) { balance userErrors { code } } }`;
const SEATS = `query ($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token, grade: "R") { id row number price status } }`;

let mock, count = 0;
before(async () => {
  mock = await start({ port: 0 });
});
after(() => mock.stop());

const schedule = (name) => id(2, ROOMS.findIndex((room) => room.name === name) + 1);
const pick = (value, names) => Object.fromEntries(names.map((name) => [name, value[name]]));

async function ask(query, variables, headers = {}, url = mock.url) {
  const sent = { "content-type": "application/json", accept: "application/json", ...headers };
  const answer = await fetch(url, { method: "POST", headers: sent, body: JSON.stringify({ query, variables }) });
  return answer.json();
}

class Fan {
  static async signUp() {
    const fan = new Fan();
    const input = { email: `fan${(count += 1)}@frontrow.example`, password: "a fair long password", name: "Fan" };
    const payload = await fan.ask("mutation ($input: SignUpInput!) { signUp(input: $input) { session { accessToken user { email role } } userErrors { code } } }", { input });
    fan.token = payload.session.accessToken;
    return fan;
  }

  get headers() {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }

  /** The root field's value. */
  async ask(query, variables) {
    const { data, errors } = await ask(query, variables, this.headers);
    assert(!errors, JSON.stringify(errors));
    return Object.values(data)[0];
  }

  /** Resolves to all that a subscription tells until it ends, or until something fits. */
  async watch(query, variables, fits = () => false) {
    const client = createClient({ url: mock.url.replace("http", "ws"), webSocketImpl: WebSocket, connectionParams: this.headers, retryAttempts: 0 });
    const seen = [];
    for await (const { data, errors } of client.iterate({ query, variables })) {
      assert(!errors, JSON.stringify(errors));
      seen.push(Object.values(data)[0]);
      if (fits(seen.at(-1))) break;
    }
    await client.dispose();
    return seen;
  }

  async inside(name = "no wait") {
    const { queueToken } = await this.ask(ENTER, { id: schedule(name) });
    assert.equal(queueToken.status, "ACTIVE");
    const seats = await this.ask(SEATS, { id: schedule(name), token: queueToken.token });
    const hold = (seat) => this.ask(HOLD, { input: { scheduleId: schedule(name), seatId: seat.id, queueToken: queueToken.token } });
    return { seats, hold, free: () => seats.find(({ status }) => status === "AVAILABLE"), queueToken };
  }
}

test("a form is told everything that is wrong with it at once", async () => {
  const input = { email: "nobody", password: "short", name: " " };
  const answer = await ask("mutation ($input: SignUpInput!) { signUp(input: $input) { session { accessToken } userErrors { code message path } } }", { input });
  const { session, userErrors } = answer.data.signUp;
  assert.equal(session, null);
  assert.deepEqual(userErrors.map(({ code, path }) => `${code} ${path.join(".")}`), ["EMAIL_INVALID input.email", "PASSWORD_WEAK input.password", "NAME_INVALID input.name"]);
});

test("it speaks the server's own schema", async () => {
  const { data } = await ask(getIntrospectionQuery());
  const own = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));
  const plain = (schema) => printSchema(lexicographicSortSchema(schema)).replaceAll(/^ *"""[^]*?"""\n/gm, "").replaceAll(/ @specifiedBy\([^)]*\)/g, "");
  assert.equal(plain(buildClientSchema(data)), plain(own));
});

test("what it invents is the same each time it starts", async () => {
  const all = `{ concerts { nodes { id title venue schedules { id remainingSeats grades { grade price remaining } waitingRoom { status waitingCount } } } } }`;
  const first = await ask(all);
  const other = await start({ port: 0 });
  // What the other tests hold is not in it.
  const fresh = await ask(all, {}, {}, other.url);
  await other.stop();
  const ids = ({ data }) => data.concerts.nodes.map(({ id, title, schedules }) => [id, title, schedules.map((each) => each.id)]);
  assert.deepEqual(ids(fresh), ids(first));
  assert.equal(fresh.data.concerts.nodes[0].title, "Continental Drift");
  assert.equal(fresh.data.concerts.nodes[0].schedules[0].remainingSeats, 40);
  assert.equal(fresh.data.concerts.nodes.flatMap(({ schedules }) => schedules).length, ROOMS.length);
});

test("what is sold out can be left out", async () => {
  const { data } = await ask(`{ concerts { nodes { title schedules { id } left: schedules(availableOnly: true) { id } } } available: concerts(availableOnly: true) { nodes { title } } }`);
  const all = data.concerts.nodes.flatMap(({ schedules }) => schedules.map((each) => each.id));
  const left = data.concerts.nodes.flatMap((concert) => concert.left.map((each) => each.id));
  assert.deepEqual(all.filter((each) => !left.includes(each)), [schedule("sold out")]);
  assert.equal(data.available.nodes.length, data.concerts.nodes.length);
});

test("a session ends, and is refreshed", async () => {
  const session = "session { accessToken refreshToken expiresAt user { email } } userErrors { code }";
  const logIn = `mutation ($input: LogInInput!) { logIn(input: $input) { ${session} } }`;
  const refresh = `mutation ($token: String!) { refreshSession(refreshToken: $token) { ${session} } }`;
  const { data } = await ask(logIn, { input: { email: "short-session@frontrow.example", password: "password" } });
  const first = data.logIn.session;
  const left = Date.parse(first.expiresAt) - Date.now();
  assert(left > 5_000 && left <= 10_000, `${left}`);
  const me = (token) => ask("{ me { email } }", {}, { authorization: `Bearer ${token}` });
  assert.equal((await me(first.accessToken)).data.me.email, "short-session@frontrow.example");
  const ended = "mock." + Buffer.from(JSON.stringify(["short-session@frontrow.example", Date.now() - 1])).toString("base64url");
  assert.equal((await me(ended)).errors[0].extensions.code, "UNAUTHENTICATED");
  const second = (await ask(refresh, { token: first.refreshToken }, { authorization: `Bearer ${ended}` })).data.refreshSession.session;
  assert.notEqual(second.refreshToken, first.refreshToken);
  const again = (await ask(refresh, { token: first.refreshToken })).data.refreshSession;
  assert.deepEqual(again, { session: null, userErrors: [{ code: "SESSION_ENDED" }] });
  const out = await ask("mutation { logOut { userErrors { code } } }", {}, { authorization: `Bearer ${second.accessToken}` });
  assert.deepEqual(out.data.logOut.userErrors, []);
  assert.equal((await ask(refresh, { token: second.refreshToken })).data.refreshSession.userErrors[0].code, "SESSION_ENDED");
});

test("a short wait falls and ends with a turn, over the WebSocket", async () => {
  const fan = await Fan.signUp();
  const { queueToken } = await fan.ask(ENTER, { id: schedule("short wait") });
  assert.equal(queueToken.status, "WAITING");
  const status = `subscription ($id: ID!) { queueStatus(scheduleId: $id) { ${PLACE} } }`;
  const seen = await fan.watch(status, { id: schedule("short wait") }, ({ status }) => status === "ACTIVE");
  const positions = seen.map(({ position }) => position).filter((position) => position !== null);
  assert(positions.length > 3, `${positions}`);
  assert.deepEqual(positions, positions.toSorted((a, b) => b - a), "it only falls");
  assert(seen.at(-1).remainingSeconds > 100);
  const again = await fan.ask(ENTER, { id: schedule("short wait") });
  assert.equal(again.queueToken.token, queueToken.token, "entering again keeps the place");
});

test("each line plays what its name says", async () => {
  const fan = await Fan.signUp();
  const entered = (name) => fan.ask(ENTER, { id: schedule(name) });
  const told = async (name) => pick((await entered(name)).queueToken, ["status", "position", "roomStatus"]);
  assert((await told("long line")).position > 10_000);
  assert.deepEqual(await told("not open yet"), { status: "WAITING", position: null, roomStatus: "PREQUEUE" });
  assert.deepEqual(await told("paused"), { status: "WAITING", position: 5, roomStatus: "PAUSED" });
  assert.equal((await entered("sold out")).userErrors[0].code, "SOLD_OUT");
  const held = (await fan.ask(ENTER, { id: schedule("everything held") })).queueToken;
  assert.deepEqual(pick(held, ["status", "roomStatus", "everythingHeld"]), { status: "WAITING", roomStatus: "OPEN", everythingHeld: true });
  const left = await fan.ask("mutation ($id: ID!) { leaveQueue(scheduleId: $id) { queueToken { status endedBecause } } }", { id: schedule("paused") });
  assert.deepEqual(left.queueToken, { status: "EXPIRED", endedBecause: "LEFT" });
  assert((await entered("turn of 10 seconds")).queueToken.remainingSeconds <= 10);
  assert.equal((await fan.ask(ENTER, { id: id(2, 99) })).userErrors[0].code, "SCHEDULE_NOT_FOUND");
});

test("a seat is held and paid with points, and everybody is told", async () => {
  const fan = await Fan.signUp();
  const { hold, free, seats, queueToken } = await fan.inside();
  const told = fan.watch("subscription { reservationChanges { status totalPrice } }", {}, ({ status }) => status === "CONFIRMED");
  const query = "subscription ($id: ID!, $token: String!) { seatChanges(scheduleId: $id, queueToken: $token) { id status version } }";
  const changes = fan.watch(query, { id: schedule("no wait"), token: queueToken.token }, () => true);
  await pause(1_000);
  assert.equal((await hold(seats[2])).userErrors[0].code, "SEAT_HELD");
  assert.deepEqual((await hold(seats[3])).userErrors[0], { code: "SEAT_SOLD", seatIds: [seats[3].id] });
  const { reservation } = await hold(free());
  assert.deepEqual(pick(reservation, ["status", "totalPrice"]), { status: "HOLD", totalPrice: 110_000 });
  assert(reservation.remainingSeconds >= 299);
  assert.equal((await changes)[0][0].status, "HOLD");
  const input = { reservationId: reservation.id, method: "POINT", amount: 110_000, idempotencyKey: "pay-1" };
  assert.equal((await fan.ask(PAY, { input })).userErrors[0].code, "INSUFFICIENT_BALANCE");
  const charge = { amount: 200_000, idempotencyKey: "charge-1" };
  for (const _ of ["once", "and again, to no effect"]) assert.equal((await fan.ask(CHARGE, { input: charge })).balance, 200_000);
  assert.equal((await fan.ask(PAY, { input: { ...input, amount: 1 } })).userErrors[0].code, "AMOUNT_MISMATCH");
  const paid = await fan.ask(PAY, { input });
  assert.deepEqual(pick(paid.payment, ["status", "reservation"]), { status: "APPROVED", reservation: { status: "CONFIRMED" } });
  assert.equal((await fan.ask(PAY, { input })).payment.id, paid.payment.id);
  assert.deepEqual((await told).map(({ status }) => status), ["HOLD", "CONFIRMED"]);
  assert.equal(await fan.ask("{ balance }"), 90_000);
  const cancel = "mutation ($id: ID!) { cancelReservation(id: $id) { reservation { status payment { status } } userErrors { code } } }";
  assert.deepEqual((await fan.ask(cancel, { id: reservation.id })).reservation, { status: "CANCELLED", payment: { status: "REFUNDED" } });
  assert.equal(await fan.ask("{ balance }"), 200_000);
  const { nodes } = await fan.ask("{ walletEntries { nodes { kind delta payment { status } } } }");
  assert.deepEqual(nodes.map(({ kind }) => kind), ["ROLLBACK", "DEDUCT", "CHARGE"]);
});

test("cards do what the sandbox's tokens say", async () => {
  const pay = (fan, { id: reservationId, totalPrice: amount }, cardToken, idempotencyKey) =>
    fan.ask(PAY, { input: { reservationId, method: "CARD", amount, idempotencyKey, cardToken } });
  const fan = await Fan.signUp();
  const { hold, free } = await fan.inside("turn of 10 seconds");
  const { reservation } = await hold(free());
  assert.equal((await pay(fan, reservation, undefined, "a")).userErrors[0].code, "CARD_TOKEN_MISSING");
  const declined = await pay(fan, reservation, "tok_declined", "b");
  assert.equal(declined.userErrors[0].code, "CARD_DECLINED");
  assert.deepEqual(pick(declined.payment, ["status", "failureCode"]), { status: "FAILED", failureCode: "CARD_DECLINED" });
  const asked = (await pay(fan, reservation, "tok_challenge", "c")).payment;
  assert.equal(asked.status, "PENDING");
  const bank = async (options) => (await fetch(asked.action.redirectUrl, options)).text();
  assert.match(await bank(), /Confirm the payment/);
  assert.match(await bank({ method: "POST", body: new URLSearchParams({ outcome: "pass" }) }), /Paid/);
  assert.equal((await pay(fan, reservation, "tok_challenge", "c")).payment.status, "APPROVED");
  assert.equal((await pay(fan, reservation, "tok_ok", "c")).userErrors[0].code, "IDEMPOTENCY_KEY_REUSED");

  const other = await Fan.signUp();
  const inside = await other.inside();
  const held = (await inside.hold(inside.free())).reservation;
  assert.equal((await pay(other, held, "tok_timeout", "d")).payment.status, "PENDING");
  await pause(2_100);
  assert.equal((await pay(other, held, "tok_timeout", "d")).payment.status, "APPROVED");
});

test("refusals by inputs that are documented", async () => {
  const signUp = "mutation ($input: SignUpInput!) { signUp(input: $input) { session { accessToken } userErrors { code path } } }";
  const good = { email: "somebody@frontrow.example", password: "a fair long password", name: "S" };
  const wrong = [[{ email: "taken@frontrow.example" }, "EMAIL_TAKEN"], [{ email: "x" }, "EMAIL_INVALID"], [{ password: "short" }, "PASSWORD_WEAK"], [{ name: " " }, "NAME_INVALID"]];
  for (const [change, code] of wrong) {
    const { data } = await ask(signUp, { input: { ...good, ...change } });
    assert.equal(data.signUp.userErrors[0].code, code);
  }
  const logIn = "mutation ($input: LogInInput!) { logIn(input: $input) { session { accessToken } userErrors { code } } }";
  const { data } = await ask(logIn, { input: { email: good.email, password: "wrong password" } });
  assert.equal(data.logIn.userErrors[0].code, "WRONG_CREDENTIALS");
  const refused = [[{}, "UNAUTHENTICATED"], [{ authorization: "Bearer eyJ" }, "UNAUTHENTICATED"], [{ "x-mock-error": "OVERLOADED" }, "OVERLOADED"], [{ "x-mock-error": "RATE_LIMITED" }, "RATE_LIMITED"]];
  for (const [headers, code] of refused) {
    const { errors } = await ask("{ me { id } }", {}, headers);
    assert.equal(errors[0].extensions.code, code, JSON.stringify(errors));
    assert.equal(errors[0].extensions.retryable, ["OVERLOADED", "RATE_LIMITED"].includes(code));
  }
  const { errors } = await ask('mutation { openSale(scheduleId: "x") { userErrors { code } } }');
  assert.equal(errors[0].extensions.code, "FORBIDDEN", "it plays fans only");
  const started = performance.now();
  await ask("{ __typename }", {}, { "x-mock-delay-ms": "300" });
  assert(performance.now() - started >= 290);
});
