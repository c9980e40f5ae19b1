// The examples of docs/clients.md are those in examples/. Those for compilers and for Python run in typed.test.mjs and python.test.mjs, the others here.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, Observable } from "@apollo/client";
import { accepted as accept } from "./examples/refusals.mjs";
import { patiently } from "./examples/patience.mjs";
import { newestSeats } from "./examples/seats.mjs";
import { atTheVenue } from "./examples/times.mjs";
import { performanceOnSale } from "./performance.mjs";
import { A, Person, gql, serve } from "./support.mjs";

const ENTER = gql`mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } userErrors { code message path } } }`;
const WATCH = gql`subscription Watch($id: ID!) { queueStatus(scheduleId: $id) { token status } }`;
const SEATS = gql`query Seats($id: ID!, $token: String!) { seats(scheduleId: $id, queueToken: $token) { id row status version } }`;
const HOLD = gql`
  mutation Hold($input: HoldSeatInput!) {
    holdSeat(input: $input) { reservation { id seats { id status version } } userErrors { code message path } }
  }
`;

let performance, fan;
before(async () => {
  performance = await performanceOnSale("Examples", 1_000);
  fan = await Person.signUp("examples");
});
after(async () => {
  await fan?.close();
  await performance?.close();
});

test("docs/clients.md shows each of them as it runs", () => {
  const document = readFileSync(new URL("../../docs/clients.md", import.meta.url), "utf8");
  const names = readdirSync(new URL("examples", import.meta.url), { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => name);
  assert(names.length >= 8, names.join());
  for (const name of names) {
    const text = readFileSync(new URL(`examples/${name}`, import.meta.url), "utf8");
    assert(document.includes(`\n${text}\`\`\`\n`), `docs/clients.md shows another ${name}`);
  }
});

test("a time is the venue's", () => {
  assert.match(atTheVenue("2027-05-01T10:30:00.000Z", "Asia/Seoul", "en-GB"), /^Saturday,? 1 May 2027.* 19:30$/);
});

test("one handler takes the refusals of every mutation", async () => {
  const entered = accept(await fan.mutate(ENTER, { id: performance.id }));
  assert(entered.queueToken.status);
  const refusal = async (document, variables) => {
    const payload = await fan.mutate(document, variables);
    return assert.throws(() => accept(payload), (error) => ((refusal.last = error), true));
  };
  const input = { scheduleId: performance.id, seatId: performance.id, queueToken: "none" };
  await refusal(HOLD, { input });
  assert.equal(refusal.last.code, "QUEUE_TOKEN_INVALID");
  assert.deepEqual([...refusal.last.userErrors[0].path], ["input", "queueToken"]);
  await refusal(gql`mutation Charge($input: ChargeInput!) { charge(input: $input) { balance userErrors { code message path } } }`, {
    input: { amount: 0, idempotencyKey: "" },
  });
  assert.deepEqual(refusal.last.userErrors.map(({ code }) => code), ["AMOUNT_INVALID", "IDEMPOTENCY_KEY_INVALID"]);
});

test("who is told to wait asks again, and is answered", { skip: !process.env.DATABASE_URL && "needs a database of its own" }, async (t) => {
  // One request a second, and ten at once.
  const { url, stop } = await serve({ FRONTROW_REQUESTS_PER_PERSON: "1" });
  t.after(stop);
  const headers = { authorization: `Bearer ${fan.session.accessToken}` };
  const client = new ApolloClient({ link: new HttpLink({ uri: `${url}/graphql`, headers }), cache: new InMemoryCache() });
  let asked = 0;
  const codes = new Set();
  const ask = async () => {
    asked += 1;
    try {
      return await client.query({ query: gql`query Balance { balance }`, fetchPolicy: "no-cache" });
    } catch (error) {
      codes.add(error.errors?.[0].extensions.code ?? error);
      throw error;
    }
  };
  for (let time = 0; time < 30 && codes.size === 0; time += 1) {
    const { data } = await patiently(ask, 10);
    assert.equal(data.balance, 0);
  }
  assert.deepEqual([...codes], ["RATE_LIMITED"], `${asked} requests`);

  client.stop();

  // What no waiting helps against is asked once.
  asked = 0;
  const wrong = async () => {
    asked += 1;
    return fan.query(gql`query Wrong { nothing }`);
  };
  await assert.rejects(patiently(wrong), ({ errors }) => errors[0].extensions.code === "BAD_REQUEST");
  assert.equal(asked, 1);
});

test("an older answer does not undo a newer one in Apollo's cache", async () => {
  const place = fan.subscribe(WATCH, { id: performance.id });
  const { token } = await place.event(({ status }) => status === "ACTIVE", "ACTIVE");
  const variables = { id: performance.id, token };
  const before = { seats: await fan.query(SEATS, variables) };
  const seat = before.seats[0];
  const input = { scheduleId: performance.id, seatId: seat.id, queueToken: token };
  accept(await fan.mutate(HOLD, { input }));
  const held = { seats: await fan.query(SEATS, variables) };
  place.stop();

  // What the server said, but the first answer comes last: it was on its way for longer.
  const shown = async (links) => {
    const answers = [held, before];
    const link = ApolloLink.from([...links, new ApolloLink(() => new Observable((observer) => {
      observer.next({ data: answers.shift() });
      observer.complete();
    }))]);
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    const ask = () => client.query({ query: SEATS, variables, fetchPolicy: "network-only" });
    await ask();
    await ask();
    const { seats } = client.readQuery({ query: SEATS, variables });
    client.stop();
    return seats.find(({ id }) => id === seat.id);
  };
  assert.equal((await shown([])).status, "AVAILABLE", "without the link it is shown free");
  const { status, version, row } = await shown([newestSeats()]);
  assert.deepEqual({ status, row }, { status: "HOLD", row: seat.row });
  assert(version > seat.version);
});
