// A fan with sessions of a few seconds waits for longer than that, with graphql-ws and with Apollo Client, as docs/clients.md says.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ApolloClient, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import WebSocket from "ws";
import { createSessionClient } from "./session.mjs";
import { Person, accepted, gql, unique, webSocketUrl } from "./support.mjs";

const SECONDS = 3;
const WAIT = 15_000;
const SESSION = "session { accessToken expiresAt refreshToken user { id } } userErrors { code }";
const QUEUE = "subscription Queue($id: ID!) { queueStatus(scheduleId: $id) { status position } }";

let server, url, id, organizer, inside;

before(async () => {
  if (!process.env.DATABASE_URL || !process.env.FRONTROW_TEST_BIN) return;
  const env = { ...process.env, FRONTROW_LISTEN: "127.0.0.1:0", FRONTROW_SESSION_SECONDS: String(SECONDS), FRONTROW_CARD_GATEWAY: "none", FRONTROW_LOG_FORMAT: "text" };
  server = spawn(process.env.FRONTROW_TEST_BIN, ["serve"], { env, stdio: ["ignore", "pipe", "ignore"] });
  url = await new Promise((found, failed) => {
    let text = "";
    server.stdout.on("data", (data) => {
      text += data;
      const listens = /listens on (http:\S+)/.exec(text);
      if (listens) found(listens[1]);
    });
    server.on("exit", (code) => failed(new Error(`the server ended with ${code}`)));
  });
  id = await onSale();
});

after(async () => {
  if (!server) return;
  await organizer?.mutate(gql`mutation Close($id: ID!) { closeSale(scheduleId: $id) { userErrors { code } } }`, { id });
  await Promise.all([organizer, inside].map((person) => person?.close()));
  server.kill();
});

test("the examples of docs/clients.md are those that run here", () => {
  const text = readFileSync(new URL("../../docs/clients.md", import.meta.url), "utf8");
  const ours = readFileSync(new URL("session.mjs", import.meta.url), "utf8");
  assert(text.includes(ours), "docs/clients.md shows another createSessionClient");
});

test("graphql-ws keeps the place in line through many sessions", async (t) => {
  if (!server) return t.skip("the server is not ours");
  const fan = await Fan.enter();
  const client = fan.client();
  const seen = [];
  client.subscribe({ query: QUEUE, variables: { id } }, { next: ({ data }) => seen.push(data.queueStatus), error: (error) => seen.push(error), complete() {} });
  await pause(WAIT);
  assert(fan.refreshed >= WAIT / 1_000 / SECONDS - 1, `${fan.refreshed} new sessions`);
  assert.equal(fan.connections, 1, "one socket all the time");
  assert(seen.every(({ status, position }) => status === "WAITING" && position === 1), JSON.stringify(seen));
  await admitted(() => seen.at(-1)?.status === "ACTIVE");
  await client.dispose();
  await fan.leave();
});

test("Apollo Client notices nothing of it", async (t) => {
  if (!server) return t.skip("the server is not ours");
  await goInside();
  const fan = await Fan.enter();
  const socket = fan.client();
  const apollo = new ApolloClient({ link: new GraphQLWsLink(socket), cache: new InMemoryCache() });
  const seen = [];
  const watching = apollo
    .subscribe({ query: gql(QUEUE), variables: { id }, fetchPolicy: "no-cache" })
    .subscribe({ next: ({ data, error }) => seen.push(error ?? data.queueStatus), error: (error) => seen.push(error) });
  await pause(2.5 * SECONDS * 1_000);
  assert(fan.refreshed >= 2, `${fan.refreshed} new sessions`);
  assert.equal(fan.connections, 1);
  await admitted(() => seen.at(-1)?.status === "ACTIVE");
  watching.unsubscribe();
  apollo.stop();
  await socket.dispose();
  await fan.leave();
});

/** Somebody else leaves; whoever is next has their turn. */
async function admitted(active) {
  accepted(await inside.mutate(gql`mutation Leave($id: ID!) { leaveQueue(scheduleId: $id) { userErrors { code } } }`, { id }));
  for (let tries = 0; tries < 100 && !active(); tries += 1) await pause(100);
  assert(active(), "ACTIVE was not pushed within 10 s");
}

/** A fan on the server with short sessions. */
class Fan {
  refreshed = 0;
  connections = 0;
  #session;

  static async enter() {
    const fan = new Fan();
    const input = { email: `${unique("fan")}@frontrow.example`, password: unique("password"), name: "fan" };
    fan.#session = (await fan.#post(`mutation ($input: SignUpInput!) { signUp(input: $input) { ${SESSION} } }`, { input })).signUp.session;
    await fan.#post("mutation ($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }", { id });
    return fan;
  }

  client() {
    const client = createSessionClient({
      url: webSocketUrl(url),
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      session: () => this.#session,
      refresh: () => this.refresh(),
    });
    client.on("connected", () => (this.connections += 1));
    return client;
  }

  async refresh() {
    const query = `mutation ($token: String!) { refreshSession(refreshToken: $token) { ${SESSION} } }`;
    this.#session = accepted((await this.#post(query, { token: this.#session.refreshToken })).refreshSession).session;
    this.refreshed += 1;
  }

  async leave() {
    await this.refresh();
    await this.#post("mutation ($id: ID!) { leaveQueue(scheduleId: $id) { userErrors { code } } }", { id });
  }

  // The session is sent by habit, whatever is asked.
  async #post(query, variables) {
    const headers = { "content-type": "application/json", ...(this.#session && { authorization: `Bearer ${this.#session.accessToken}` }) };
    const answer = await (await fetch(`${url}/graphql`, { method: "POST", headers, body: JSON.stringify({ query, variables }) })).json();
    assert(!answer.errors, JSON.stringify(answer));
    return answer.data;
  }
}

async function goInside() {
  await inside?.close();
  inside = await Person.signUp("inside");
  accepted(await inside.mutate(gql`mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }`, { id }));
  const queue = inside.subscribe(gql(QUEUE), { id });
  await queue.event(({ status }) => status === "ACTIVE", "ACTIVE");
  queue.stop();
}

/** A performance with one place inside, which somebody has. */
async function onSale() {
  const { FRONTROW_TEST_ORGANIZER_EMAIL: email, FRONTROW_TEST_ORGANIZER_PASSWORD: password } = process.env;
  organizer = await Person.logIn(email, password);
  const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString();
  const concert = accepted(
    await organizer.mutate(gql`mutation Concert($input: CreateConcertInput!) { createConcert(input: $input) { concert { id } userErrors { code } } }`, {
      input: { title: unique("Concert"), artist: "The Clients", venue: "Small Hall", description: "", timeZone: "Asia/Seoul" },
    }),
  ).concert;
  const { schedule } = accepted(
    await organizer.mutate(gql`mutation Schedule($input: CreateScheduleInput!) { createSchedule(input: $input) { schedule { id } userErrors { code } } }`, {
      input: {
        concertId: concert.id,
        salesOpenAt: day(-1),
        salesCloseAt: day(29),
        startsAt: day(30),
        sections: [{ name: "Floor", grade: "R", price: 1_000, rows: 1, seatsPerRow: 5 }],
        waitingRoom: { maxActive: 1, admitPerRound: 1, roundSeconds: 0.1 },
      },
    }),
  );
  accepted(await organizer.mutate(gql`mutation Open($id: ID!) { openSale(scheduleId: $id) { userErrors { code } } }`, { id: schedule.id }));
  id = schedule.id;
  await goInside();
  return id;
}
