// The configuration in deploy/nginx under the real nginx, over TLS, in front of two instances: the whole way of a fan, restarts
// one after the other under load, an instance that hangs, one that is killed, and the limits.
//
// FRONTROW_TEST_NGINX_ROUNDS says how often both instances are restarted (3), FRONTROW_TEST_NGINX_FANS how many fans ask meanwhile (24),
// FRONTROW_TEST_NGINX_SESSION how many seconds a session of those lasts who wait for longer (3), FRONTROW_TEST_NGINX_WAIT how long they do (12).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Deployment, PASSWORD, Wire, program } from "./deployment.mjs";
import { createSessionClient } from "./session.mjs";

const ROUNDS = Number(process.env.FRONTROW_TEST_NGINX_ROUNDS ?? 3);
const FANS = Number(process.env.FRONTROW_TEST_NGINX_FANS ?? 24);
const SESSION = Number(process.env.FRONTROW_TEST_NGINX_SESSION ?? 3);
const WAIT = Number(process.env.FRONTROW_TEST_NGINX_WAIT ?? 12);
const PRICE = 50_000;

const CHARGE = `mutation Charge($input: ChargeInput!) { charge(input: $input) { balance userErrors { code } } }`;
const ENTER = `mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { queueToken { token status position } userErrors { code } } }`;
const SIGN_UP = `mutation SignUp($input: SignUpInput!) { signUp(input: $input) { session { accessToken } userErrors { code } } }`;
const LEAVE = `mutation Leave($id: ID!) { leaveQueue(scheduleId: $id) { queueToken { status } userErrors { code } } }`;
const QUEUE_STATUS = `subscription Queue($id: ID!) { queueStatus(scheduleId: $id) { status position } }`;
const RENEWABLE = "session { accessToken expiresAt refreshToken } userErrors { code }";
const ORGANIZER = "organizer@nginx.example";
const BALANCE = `query Balance { balance }`;

const nginx = process.env.FRONTROW_TEST_SERVER_URL ? program("nginx") : undefined;
/** Runs stampede, which is built beside the program. */
const stampede = (words) => promisify(execFile)(join(dirname(process.env.FRONTROW_TEST_BIN), "stampede"), words);
const unique = (word) => `${word}-${randomBytes(6).toString("hex")}`;

describe("nginx in front of two instances", { skip: !nginx }, () => {
  describe("that come and go", () => {
    let deployment, organizer, wires;
    before(async () => {
      deployment = await Deployment.start(nginx);
      wires = [new Wire(deployment.nginx), new Wire(deployment.nginx, { protocol: "http/1.1" })];
      organizer = await organizerOf(deployment, wires[0]);
    });
    after(async () => {
      wires?.forEach((wire) => wire.close());
      await deployment?.stop();
    });

    test("the whole way of a fan, over HTTP/2 and a WebSocket", async () => {
      const [wire] = wires;
      const id = await performanceOnSale(wire, organizer, { maxActive: 1, admitPerRound: 1 });
      const email = `${unique("fan")}@frontrow.example`;
      const { session } = await payload(wire, SIGN_UP, { input: { email, password: PASSWORD, name: "Fan" } }, { op: "signUp" });
      const token = session.accessToken;
      const { queueToken } = await payload(wire, ENTER, { id }, { token, op: "enterQueue" });
      const watch = new Watch(deployment.nginx, token, QUEUE_STATUS, { id });
      await watch.until(({ status }) => status === "ACTIVE", "ACTIVE");
      const seats = `query Seats($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { id status } }`;
      const [seat] = (await wire.graphql(seats, { id, token: queueToken.token }, { token })).data.seats;
      const hold = `mutation Hold($input: HoldSeatInput!) { holdSeat(input: $input) { reservation { id } userErrors { code } } }`;
      const input = { scheduleId: id, seatId: seat.id, queueToken: queueToken.token };
      const { reservation } = await payload(wire, hold, { input }, { token, op: "holdSeat" });
      await payload(wire, CHARGE, { input: { amount: PRICE, idempotencyKey: unique("charge") } }, { token, op: "charge" });
      const pay = `mutation Pay($input: PayInput!) { pay(input: $input) { payment { status reservation { status } } userErrors { code } } }`;
      const paid = await payload(wire, pay, { input: { reservationId: reservation.id, method: "POINT", amount: PRICE, idempotencyKey: unique("pay") } }, { token, op: "pay" });
      assert.deepEqual(paid.payment, { status: "APPROVED", reservation: { status: "CONFIRMED" } });
      await watch.until(({ status }) => status === "USED", "USED");
      await watch.close();
    });

    test("an event stream passes as it is told, and stays for longer than an answer may take", async () => {
      const [wire] = wires;
      const id = await performanceOnSale(wire, organizer, { maxActive: 1, admitPerRound: 1 });
      const { session } = await payload(wire, SIGN_UP, { input: { email: `${unique("events")}@frontrow.example`, password: PASSWORD, name: "Fan" } }, { op: "signUp" });
      const token = session.accessToken;
      const told = wire.events(QUEUE_STATUS, { id }, token);
      await pause(1_000);
      assert.match(told.text, /^:\n\nevent: next\ndata: .*NOT_FOUND.*\n\nevent: complete\ndata:\n\n$/);
      await payload(wire, ENTER, { id }, { token, op: "enterQueue" });
      const line = wire.events(QUEUE_STATUS, { id }, token);
      // Ordinary answers have 12 s.
      await pause(14_000);
      assert.match(line.text, /^:\n\nevent: next\ndata: .*"queueStatus"/);
      assert.equal(line.ended, undefined, String(line.ended));
      await payload(wire, LEAVE, { id }, { token });
      for (let n = 0; n < 50 && !line.text.includes("EXPIRED"); n += 1) await pause(100);
      assert.match(line.text, /"EXPIRED"/);
      [told, line].forEach(({ close }) => close());
    });

    test("what nginx adds and what it refuses", async () => {
      const [wire, old] = wires;
      for (const each of wires) assert.equal((await each.request("/health/ready")).status, 200);
      const live = await wire.request("/health/live");
      assert.match(live.headers["strict-transport-security"], /^max-age=\d+$/);
      assert.equal(live.headers["x-refused-by"], undefined);
      assert.equal((await wire.request("/metrics")).status, 404);
      assert.equal((await wire.request("/graphiql")).status, 200);
      const plain = await fetch(`http://127.0.0.1:${deployment.nginx.plain}/graphql?op=pay`, { method: "POST", redirect: "manual" });
      assert.equal(plain.status, 308);
      assert.equal(plain.headers.get("location"), "https://127.0.0.1/graphql?op=pay");
      // As large as the server takes it, and one byte more.
      const headers = { "content-type": "application/json" };
      const padded = (bytes) => `{"query":"{ __typename }"${" ".repeat(bytes - 26)}}`.padEnd(bytes);
      for (const each of wires) {
        assert.equal((await each.request("/graphql", { method: "POST", headers, body: padded(65_536) })).status, 200);
        const large = await each.request("/graphql", { method: "POST", headers, body: padded(65_537) });
        assert.equal(large.status, 413);
        assert.equal(JSON.parse(large.text).errors[0].extensions.code, "BAD_REQUEST");
        // Who refused, and the way back by TLS only, also where nginx answers by itself.
        assert.equal(large.headers["x-refused-by"], "nginx");
        assert.match(large.headers["strict-transport-security"], /^max-age=\d+$/);
      }
      // What a client says of its address is not passed on, and its id of a request is, if it is one.
      const named = await old.graphql("{ __typename }", {}, { id: "mine-1" });
      assert.equal(named.headers["x-request-id"], "mine-1");
      const odd = await old.request("/graphql", { method: "POST", headers: { ...headers, "x-request-id": "a b" }, body: padded(64) });
      assert.match(odd.headers["x-request-id"], /^[0-9a-f]{32}$/);
    });

    test("an address that asks too often is told so, by the mutation's name too", async () => {
      const crowd = new Wire(deployment.nginx, { localAddress: "127.0.0.9" });
      const answers = async (count, op) => {
        const asked = Array.from({ length: count }, () => crowd.graphql("{ __typename }", {}, { op }));
        return Promise.all(asked);
      };
      const refused = (all) => all.filter(({ status }) => status === 429);
      const strict = refused(await answers(60, "logIn"));
      assert(strict.length >= 20 && strict.length < 60, `${strict.length} of 60`);
      const [{ errors, headers }] = strict;
      assert.deepEqual({ ...errors[0].extensions, requestId: undefined }, { code: "RATE_LIMITED", retryable: true, retryAfterSeconds: 2, requestId: undefined });
      assert.equal(headers["retry-after"], "2");
      assert.equal(headers["x-refused-by"], "nginx");
      assert.match(headers["strict-transport-security"], /^max-age=\d+$/);
      assert.equal(refused(await answers(40)).length, 0, "others are not counted with these");
      assert(refused(await answers(400)).length > 50, "nobody may ask as much as that");
      crowd.close();
    });

    test("a rehearsal runs through it, and is told who refuses", async () => {
      const id = await performanceOnSale(wires[0], organizer, { maxActive: 50, admitPerRound: 20 });
      deployment.fans(20);
      const report = join(deployment.folder, "report.json");
      const words = ["run", "--url", deployment.url, "--sessions", join(deployment.folder, "fans.jsonl"), "--schedule", id, "--seconds", "20",
        "--early", "0", "--rush", "1", "--rush-seconds", "1", "--arrive-seconds", "2", "--think-seconds", "0.1", "--lapse", "0", "--idle", "0", "--json", report];
      const trusting = ["--ca", join(deployment.folder, "frontrow.crt")];
      await stampede([...words, ...trusting]);
      const told = JSON.parse(readFileSync(report, "utf8"));
      assert(told.passed, told.headline);
      assert(told.counts.bought > 0, told.headline);
      const codes = told.figures.operations.flatMap(({ outcomes }) => Object.keys(outcomes));
      assert(!codes.some((code) => /^(TLS|HTTP|CONNECTION)/.test(code)), codes.join());
      assert(told.figures.operations.find(({ name }) => name.startsWith("subscribe")).outcomes.OK > 0);
      // Without the authority nobody is believed.
      await assert.rejects(stampede(words), /no TLS: the certificate is not believed/);
    });

    test("the mock stands at /mock, with its WebSocket", async () => {
      const [wire] = wires;
      await deployment.startMock();
      const ask = async (query, authorization = "") => {
        const headers = { "content-type": "application/json", ...(authorization && { authorization }) };
        return JSON.parse((await wire.request("/mock", { method: "POST", headers, body: JSON.stringify({ query }) })).text).data;
      };
      const { logIn } = await ask('mutation { logIn(input: { email: "fan@frontrow.example", password: "password" }) { session { accessToken } } }');
      const token = logIn.session.accessToken;
      const short = "01a00000-0002-7000-8000-000000000001";
      await ask(`mutation { enterQueue(scheduleId: "${short}") { queueToken { position } } }`, `Bearer ${token}`);
      const watch = new Watch(deployment.nginx, token, QUEUE_STATUS, { id: short }, "/mock");
      await watch.until(({ status }) => status === "ACTIVE", "ACTIVE");
      assert.deepEqual(watch.fell(), []);
      await watch.close();
    });

    test("restarts one after the other: nothing fails, nothing is done twice, no place is lost", async (t) => {
      const [wire] = wires;
      const paused = await performanceOnSale(wire, organizer, { maxActive: FANS, admitPerRound: FANS, paused: true });
      const waiting = deployment.fans(FANS);
      for (const { accessToken: token } of waiting) await payload(wire, ENTER, { id: paused }, { token, op: "enterQueue" });
      const watches = waiting.map(({ accessToken }) => new Watch(deployment.nginx, accessToken, QUEUE_STATUS, { id: paused }));
      for (const [at, watch] of watches.entries()) await watch.until(({ position }) => position === at + 1, `position ${at + 1}`);
      const open = await performanceOnSale(wire, organizer, { maxActive: FANS, admitPerRound: FANS });
      const load = new Load(wires, waiting, open);
      await pause(1_000);
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const instance of deployment.instances) {
          assert.equal(await instance.stop(), 0);
          await instance.start();
        }
      }
      await pause(500);
      await load.stop();
      t.diagnostic(`${ROUNDS} rounds: ${load}`);
      assert.deepEqual(load.failed(), [], deployment.nginx.errors());
      assert(load.mutations.length > 100 * ROUNDS, `${load}`);
      once(deployment, load);
      for (const instance of deployment.instances) assert(instance.operations().length > 50 * ROUNDS);

      await admittedInTurn(wire, organizer, paused, watches);
      t.diagnostic(`sockets opened: ${watches.reduce((sum, { connections }) => sum + connections, 0)} for ${watches.length} fans`);
      for (const watch of watches) assert(watch.connections > 1, "it has lived through a restart");
      await Promise.all(watches.map((watch) => watch.close()));
    });

    test("after two restarts and a kill every request is answered by the other", async (t) => {
      const [wire] = wires;
      const [a, b] = deployment.instances;
      for (const instance of [a, b]) {
        await instance.stop();
        await instance.start();
      }
      await a.stop("SIGKILL");
      const load = new Load(wires, deployment.fans(FANS));
      await pause(3_000);
      await load.stop();
      t.diagnostic(`after two restarts and a kill: ${load}`);
      assert.deepEqual(load.failed(), []);
      assert(load.requests.length > 100);
      await b.stop("SIGKILL");
      const nobody = await wire.graphql(BALANCE);
      assert.equal(nobody.status, 503);
      assert.equal(nobody.errors[0].extensions.code, "OVERLOADED");
      // A rehearsal says that it was nginx who refused.
      const words = ["run", "--url", deployment.url, "--ca", join(deployment.folder, "frontrow.crt"), "--sessions", join(deployment.folder, "fans.jsonl"),
        "--schedule", "01a00000-0000-7000-8000-000000000000"];
      await assert.rejects(stampede(words), /OVERLOADED by nginx: The service is away/);
      await Promise.all([a.start(), b.start()]);
      const again = await Promise.all(Array.from({ length: 20 }, () => wire.graphql("{ __typename }")));
      assert(again.every(({ status }) => status === 200), "both are asked at once");
    });
  });

  describe("with short sessions", () => {
    let deployment, wire;
    before(async () => {
      deployment = await Deployment.start(nginx, { FRONTROW_SESSION_SECONDS: String(SESSION) });
      wire = new Wire(deployment.nginx);
    });
    after(async () => {
      wire?.close();
      await deployment?.stop();
    });

    test("fans who wait for longer than a session keep their places and are admitted in turn", async (t) => {
      const paused = await performanceOnSale(wire, await organizerOf(deployment, wire), { maxActive: 5, admitPerRound: 5, paused: true });
      const fans = [];
      for (let place = 1; place <= 3; place += 1) {
        const fan = await Renewing.signUp(wire);
        await payload(wire, ENTER, { id: paused }, { token: fan.session().accessToken, op: "enterQueue" });
        const watch = new Watch(deployment.nginx, fan, QUEUE_STATUS, { id: paused });
        await watch.until(({ position }) => position === place, `position ${place}`);
        fans.push({ fan, watch });
      }
      await pause(WAIT * 1_000);
      const watches = fans.map(({ watch }) => watch);
      for (const [at, { fan, watch }] of fans.entries()) {
        assert(fan.renewed >= WAIT / SESSION - 1, `${fan.renewed} new sessions`);
        assert(watch.seen.every(({ status, position }) => status === "WAITING" && position === at + 1), JSON.stringify(watch.seen));
      }
      await admittedInTurn(wire, await logIn(wire, ORGANIZER), paused, watches);
      const told = fans.map(({ fan, watch }) => `${fan.renewed} sessions over ${watch.connections} sockets`);
      t.diagnostic(`waited ${WAIT} s: ${told.join(", ")}`);
      await Promise.all(watches.map((watch) => watch.close()));
    });
  });

  describe("of which one hangs", () => {
    let deployment, wires;
    before(async () => {
      deployment = await Deployment.start(nginx);
      wires = [new Wire(deployment.nginx), new Wire(deployment.nginx, { protocol: "http/1.1" })];
    });
    after(async () => {
      wires?.forEach((wire) => wire.close());
      await deployment?.stop();
    });

    test("after 15 s at most one request of twenty fails", async (t) => {
      const [hanging] = deployment.instances;
      const organizer = await organizerOf(deployment, wires[0]);
      const open = await performanceOnSale(wires[0], organizer, { maxActive: FANS, admitPerRound: FANS });
      const load = new Load(wires, deployment.fans(FANS), open);
      await pause(1_000);
      hanging.signal("SIGSTOP");
      const stopped = performance.now();
      await pause(19_000);
      const until = performance.now();
      hanging.signal("SIGCONT");
      await load.stop();
      const during = load.requests.filter(({ at }) => at > stopped + 15_000 && at < until);
      const failed = during.filter(({ why }) => why);
      t.diagnostic(`${during.length} requests after 15 s, ${failed.length} failed; ${load}`);
      assert(during.length > 100);
      assert(failed.length <= during.length / 20, JSON.stringify(failed.slice(0, 5)));
      once(deployment, load);
    });
  });
});

/** No request was passed on to more than one instance, or twice to one. */
function once(deployment, load) {
  const seen = new Map();
  for (const instance of deployment.instances) {
    for (const { request_id: id } of instance.operations()) seen.set(id, (seen.get(id) ?? 0) + 1);
  }
  const ids = load.mutations.map(({ id }) => id);
  assert.deepEqual(ids.filter((id) => seen.get(id) > 1), []);
  assert(ids.filter((id) => seen.get(id) === 1).length > ids.length * 0.9, "the log tells of them");
}

async function payload(wire, document, variables, options) {
  const answer = await wire.graphql(document, variables, options);
  assert.equal(answer.status, 200, JSON.stringify(answer));
  assert(answer.data && !answer.errors, JSON.stringify(answer));
  const [value] = Object.values(answer.data);
  assert.deepEqual(value.userErrors, []);
  return value;
}

async function organizerOf(deployment, wire) {
  deployment.run("add-organizer", "--email", ORGANIZER, "--name", "Organizer");
  return logIn(wire, ORGANIZER);
}

async function logIn(wire, email) {
  const document = `mutation LogIn($input: LogInInput!) { logIn(input: $input) { session { accessToken } userErrors { code } } }`;
  return (await payload(wire, document, { input: { email, password: PASSWORD } }, { op: "logIn" })).session.accessToken;
}

/** The room that was paused goes on; those who watch it are let in one after the other. */
async function admittedInTurn(wire, token, id, watches) {
  const goOn = `mutation GoOn($id: ID!) { configureWaitingRoom(scheduleId: $id, input: { paused: false, admitPerRound: 1, roundSeconds: 0.1 }) { userErrors { code } } }`;
  await payload(wire, goOn, { id }, { token });
  for (const [at, watch] of watches.entries()) await watch.until(({ status }) => status === "ACTIVE", `ACTIVE for the fan at ${at + 1}`);
  const admitted = watches.map(({ activeAt }) => activeAt);
  assert.deepEqual(admitted, admitted.toSorted((a, b) => a - b), "in turn");
  for (const watch of watches) assert.deepEqual(watch.fell(), [], "a place never rises");
}

/** A fan whose sessions are renewed, as createSessionClient wants it. */
class Renewing {
  renewed = 0;
  #wire;
  #session;

  static async signUp(wire) {
    const fan = new Renewing();
    fan.#wire = wire;
    const input = { email: `${unique("fan")}@frontrow.example`, password: PASSWORD, name: "Fan" };
    const document = `mutation SignUp($input: SignUpInput!) { signUp(input: $input) { ${RENEWABLE} } }`;
    fan.#session = (await payload(wire, document, { input }, { op: "signUp" })).session;
    return fan;
  }

  session = () => this.#session;

  refresh = async () => {
    const document = `mutation Refresh($token: String!) { refreshSession(refreshToken: $token) { ${RENEWABLE} } }`;
    this.#session = (await payload(this.#wire, document, { token: this.#session.refreshToken })).session;
    this.renewed += 1;
  };
}

async function performanceOnSale(wire, token, { paused = false, ...room }) {
  const days = (count) => new Date(Date.now() + count * 86_400_000).toISOString();
  const create = `mutation Create($input: CreateConcertInput!) { createConcert(input: $input) { concert { id } userErrors { code } } }`;
  const input = { title: unique("Concert"), artist: "nginx", venue: "Hall", description: "", timeZone: "UTC" };
  const { concert } = await payload(wire, create, { input }, { token });
  const schedule = await payload(wire, `mutation Schedule($input: CreateScheduleInput!) { createSchedule(input: $input) { schedule { id } userErrors { code } } }`, {
    input: {
      concertId: concert.id, salesOpenAt: days(-1), salesCloseAt: days(29), startsAt: days(30),
      sections: [{ name: "Floor", grade: "R", price: PRICE, rows: 20, seatsPerRow: 20 }],
      waitingRoom: { roundSeconds: 1, ...room },
    },
  }, { token, op: "createSchedule" });
  const { id } = schedule.schedule;
  await payload(wire, `mutation OpenSale($id: ID!) { openSale(scheduleId: $id) { userErrors { code } } }`, { id }, { token });
  if (paused) await payload(wire, `mutation Pause($id: ID!) { configureWaitingRoom(scheduleId: $id, input: { paused: true }) { userErrors { code } } }`, { id }, { token });
  return id;
}

/** Fans who ask one thing after the other until they are told to stop: mutations mostly, half of them over HTTP/2. */
class Load {
  requests = [];
  began = performance.now();
  #stopping = false;
  #running;

  constructor(wires, fans, scheduleId) {
    this.#running = fans.map((fan, at) => this.#fan(wires[at % wires.length], fan.accessToken, scheduleId));
  }

  async #fan(wire, token, id) {
    while (!this.#stopping) {
      await this.#ask(wire, "charge", CHARGE, { input: { amount: 1, idempotencyKey: randomBytes(8).toString("hex") } }, token);
      await this.#ask(wire, undefined, BALANCE, {}, token);
      if (id) {
        await this.#ask(wire, "enterQueue", ENTER, { id }, token);
        await this.#ask(wire, "leaveQueue", LEAVE, { id }, token);
      }
      await pause(100);
    }
  }

  async #ask(wire, op, document, variables, token) {
    const id = randomBytes(12).toString("hex");
    const request = { id, op, at: performance.now(), why: undefined };
    this.requests.push(request);
    try {
      const { status, errors, data } = await wire.graphql(document, variables, { token, op, id });
      if (errors || status !== 200) request.why = `${status} ${JSON.stringify(errors)}`;
      else if (!data) request.why = "no data";
    } catch (error) {
      request.why = String(error);
    }
    request.ms = performance.now() - request.at;
  }

  async stop() {
    this.#stopping = true;
    await Promise.all(this.#running);
    this.seconds = (performance.now() - this.began) / 1_000;
  }

  get mutations() {
    return this.requests.filter(({ op }) => op);
  }

  failed() {
    return this.requests.filter(({ why }) => why).map(({ op, at, why }) => ({ op, at: Math.round(at - this.began), why }));
  }

  toString() {
    const slowest = Math.max(...this.requests.map(({ ms }) => ms ?? 0));
    return `${this.requests.length} requests in ${this.seconds?.toFixed(1)} s, ${this.failed().length} failed, the slowest took ${Math.round(slowest)} ms`;
  }
}

/** A subscription that comes back by itself, as graphql-ws does; of a session's token, or of somebody who renews it. */
class Watch {
  seen = [];
  connections = 0;
  #client;
  #waiting = new Set();

  constructor(nginx, whose, query, variables, path = "/graphql") {
    class Trusting extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { ca: nginx.ca });
      }
    }
    const create = typeof whose === "string"
      ? (options) => createClient({ ...options, connectionParams: { authorization: `Bearer ${whose}` } })
      : (options) => createSessionClient({ ...options, session: whose.session, refresh: whose.refresh });
    this.#client = create({
      url: `wss://127.0.0.1:${nginx.port}${path}`,
      webSocketImpl: Trusting,
      retryAttempts: 50,
      shouldRetry: () => true,
      retryWait: () => pause(100 + Math.random() * 200),
      on: { connected: () => (this.connections += 1) },
    });
    this.#client.subscribe({ query, variables }, {
      next: ({ data }) => {
        const [value] = Object.values(data);
        if (value.status === "ACTIVE") this.activeAt ??= performance.now();
        this.seen.push(value);
        this.#waiting.forEach((check) => check());
      },
      error: (error) => (this.error = error),
      complete: () => {},
    });
  }

  /** Resolves when the newest state fits, or any that came before. */
  until(fits, what) {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!this.seen.some(fits)) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      const timer = setTimeout(() => reject(new Error(`no ${what} in 15 s: ${JSON.stringify(this.seen.slice(-3))}, ${JSON.stringify(this.error)}`)), 15_000);
      this.#waiting.add(check);
      check();
    });
  }

  /** Positions that were larger than one before. */
  fell() {
    const positions = this.seen.map(({ position }) => position).filter((position) => position !== null);
    return positions.filter((position, at) => at > 0 && position > positions[at - 1]);
  }

  close() {
    return this.#client.dispose();
  }
}
