// GraphQL over server-sent events, with the real graphql-sse client and with urql, in distinct connections mode.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Client, cacheExchange, fetchExchange } from "@urql/core";
import { createClient } from "graphql-sse";
import { A, B, Person, accepted, gql, serve, unique } from "./support.mjs";

const CHANGES = "subscription Changes { reservationChanges { id status } }";
const QUEUE = "subscription Queue($id: ID!) { queueStatus(scheduleId: $id) { status position } }";

let organizer, inside, id;
const people = [];
const ends = [];

before(async () => {
  organizer = await Person.logIn(process.env.FRONTROW_TEST_ORGANIZER_EMAIL, process.env.FRONTROW_TEST_ORGANIZER_PASSWORD);
  people.push(organizer);
  id = await onSale();
  // The only place inside is taken, so whoever comes next waits.
  inside = await enter("inside");
  await until(async () => (await inside.query(gql`query Place($id: ID!) { queueStatus(scheduleId: $id) { status } }`, { id })).status === "ACTIVE");
});
after(async () => {
  // A test that fails leaves nothing open.
  for (const end of ends) await end();
  await organizer?.mutate(gql`mutation Close($id: ID!) { closeSale(scheduleId: $id) { userErrors { code } } }`, { id });
  await Promise.all(people.map((person) => person.close()));
});

/** A client of graphql-sse in a person's session, and what it heard. */
function listen(url, person, options = {}) {
  const client = createClient({
    url: `${url}/graphql`,
    headers: () => (person ? { authorization: `Bearer ${person.session.accessToken}` } : {}),
    retryAttempts: 0,
    ...options,
  });
  ends.push(() => client.dispose());
  return client;
}

/** One more instance. */
async function started(environment) {
  const server = await serve(environment);
  ends.push(server.stop);
  return server;
}

/** Subscribes; the results so far, and how it ended. */
function heard(client, request) {
  const told = { results: [], ended: undefined };
  told.stop = client.subscribe(request, {
    next: (result) => told.results.push(result),
    error: (error) => (told.ended = error),
    complete: () => (told.ended = "complete"),
  });
  return told;
}

describe("graphql-sse", () => {
  test("follows a place in line until its turn", async () => {
    const fan = await enter("waiting");
    const client = listen(B, fan);
    const told = heard(client, { query: QUEUE, variables: { id } });
    const places = () => told.results.map(({ data }) => data.queueStatus);
    await until(() => places().length > 0);
    assert.deepEqual(places()[0], { status: "WAITING", position: 1 });
    accepted(await inside.mutate(gql`mutation Leave($id: ID!) { leaveQueue(scheduleId: $id) { userErrors { code } } }`, { id }));
    await until(() => places().at(-1).status === "ACTIVE");
    assert.equal(told.ended, undefined, String(told.ended));
    told.stop();
    client.dispose();
  });

  test("tells what is wrong with an operation as a result, and completes", async () => {
    const client = listen(A);
    for (const [query, code] of [
      [CHANGES, "UNAUTHENTICATED"],
      ["subscription { noSuchField }", "BAD_REQUEST"],
      ["subscription {", "BAD_REQUEST"],
    ]) {
      const told = heard(client, { query });
      await until(() => told.ended);
      assert.equal(told.ended, "complete");
      assert.equal(told.results[0].errors[0].extensions.code, code, query);
    }
    client.dispose();
  });

  test("runs queries and mutations, too", async () => {
    const fan = await person("answers");
    const client = listen(A, fan);
    const me = heard(client, { query: "{ me { id } }" });
    await until(() => me.ended);
    assert.deepEqual([me.ended, me.results], ["complete", [{ data: { me: { id: fan.session.user.id } } }]]);
    const key = unique("sse");
    const charge = heard(client, { query: `mutation { charge(input: { amount: 7, idempotencyKey: "${key}" }) { balance } }` });
    await until(() => charge.ended);
    assert.deepEqual(charge.results, [{ data: { charge: { balance: 7 } } }]);
    client.dispose();
  });

  test("connects again when the server stops, and by itself", { skip: !process.env.DATABASE_URL && "needs instances on a database of its own" }, async () => {
    const fan = await person("restart");
    const old = await started({});
    let connections = 0;
    const client = listen(old.url, fan, {
      // A balancer would lead elsewhere; here the address does.
      url: () => `${connections++ ? A : old.url}/graphql`,
      retryAttempts: 5,
      retry: () => pause(100),
    });
    const told = heard(client, { query: CHANGES });
    await until(() => connections === 1);
    await pause(500);
    await old.stop();
    await until(() => connections === 2);
    await pause(500);
    assert.equal(told.ended, undefined, String(told.ended));
    told.stop();
    client.dispose();
  });

  test("is told to come back when one person has too many open", { skip: !process.env.DATABASE_URL && "needs instances on a database of its own" }, async () => {
    const fan = await person("many");
    const few = await started({ FRONTROW_SOCKETS_PER_PERSON: "2" });
    const client = listen(few.url, fan);
    const open = [heard(client, { query: CHANGES }), heard(client, { query: CHANGES })];
    await pause(500);
    const third = heard(client, { query: CHANGES });
    await until(() => third.ended);
    assert.equal(third.ended.response.status, 429);
    assert(open.every(({ ended }) => ended === undefined));
    open.forEach(({ stop }) => stop());
    client.dispose();
    await few.stop();
  });
});

test("urql subscribes by fetch", async () => {
  const fan = await person("urql");
  const headers = { authorization: `Bearer ${fan.session.accessToken}` };
  const urql = new Client({ url: `${A}/graphql`, exchanges: [cacheExchange, fetchExchange], fetchSubscriptions: true, fetchOptions: { headers } });
  await enter("urql", fan);
  const results = [];
  const { unsubscribe } = urql.subscription(gql(QUEUE), { id }).subscribe((result) => results.push(result));
  await until(() => results.length > 0);
  assert.ifError(results[0].error);
  assert.match(results[0].data.queueStatus.status, /^(WAITING|ACTIVE)$/);
  unsubscribe();
});

async function person(name) {
  const person = await Person.signUp(name);
  people.push(person);
  return person;
}

async function enter(name, known) {
  const fan = known ?? (await person(name));
  accepted(await fan.mutate(gql`mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }`, { id }));
  return fan;
}

async function onSale() {
  const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString();
  const concert = accepted(await organizer.mutate(
    gql`mutation Concert($input: CreateConcertInput!) { createConcert(input: $input) { concert { id } userErrors { code path } } }`,
    { input: { title: unique("Streams"), artist: "Frontrow", venue: "Hall", description: "", timeZone: "Asia/Seoul" } },
  )).concert;
  const schedule = accepted(await organizer.mutate(
    gql`mutation Schedule($input: CreateScheduleInput!) { createSchedule(input: $input) { schedule { id } userErrors { code path } } }`,
    {
      input: {
        concertId: concert.id,
        salesOpenAt: day(-1),
        salesCloseAt: day(29),
        startsAt: day(30),
        sections: [{ name: "Floor", grade: "R", price: 1_000, rows: 1, seatsPerRow: 5 }],
        waitingRoom: { maxActive: 1, admitPerRound: 1, roundSeconds: 0.1 },
      },
    },
  )).schedule;
  accepted(await organizer.mutate(gql`mutation Open($id: ID!) { openSale(scheduleId: $id) { userErrors { code } } }`, { id: schedule.id }));
  return schedule.id;
}

async function until(look) {
  const end = Date.now() + 20_000;
  while (!(await look())) {
    assert(Date.now() < end, "not within 20 s");
    await pause(50);
  }
}
