// What Apollo's cache makes of the answers, without code of its own: components that ask for the same thing share it, and a subscription's
// answer reaches the query that another component has asked.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { A, Person, accepted, unique, webSocketUrl } from "./support.mjs";

let organizer, fan, schedule, apollo, socket, requests;

before(async () => {
  schedule = await performanceOnSale();
});
after(async () => {
  const CLOSE_SALE = gql`mutation CloseSale($id: ID!) { closeSale(scheduleId: $id) { userErrors { code } } }`;
  if (schedule) accepted(await organizer.mutate(CLOSE_SALE, { id: schedule }));
  apollo?.stop();
  await socket?.dispose();
  await Promise.all([organizer, fan].map((person) => person?.close()));
});

test("a subscription's answer reaches the query's component", async () => {
  fan = await Person.signUp("fan");
  client(fan);
  accepted(await fan.mutate(gql`mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { userErrors { code } } }`, { id: schedule }));
  // The one component shows the place, the other one keeps it fresh; neither knows of the other.
  const shown = watch(gql`query Place($id: ID!) { queueStatus(scheduleId: $id) { id status position } }`);
  const active = ({ queueStatus }) => queueStatus?.status === "ACTIVE";
  await shown.first;
  const fresh = apollo.subscribe({
    query: gql`subscription Fresh($id: ID!) { queueStatus(scheduleId: $id) { id status position remainingSeconds } }`,
    variables: { id: schedule },
  });
  const subscription = fresh.subscribe({ error: (error) => shown.fail(error) });
  await shown.until(active);
  const asked = requests.length;
  accepted(await fan.mutate(gql`mutation Leave($id: ID!) { leaveQueue(scheduleId: $id) { userErrors { code } } }`, { id: schedule }));
  await shown.until(({ queueStatus }) => queueStatus.status === "EXPIRED");
  assert.deepEqual(requests.slice(asked), [], "the query was not asked again");
  subscription.unsubscribe();
  shown.stop();
});

test("two components that ask for different fields of one thing do not ask in turns", async () => {
  client(fan);
  const warnings = [];
  const usual = console.warn;
  console.warn = (...words) => warnings.push(words);
  const one = watch(gql`query One($id: ID!) { schedule(id: $id) { id waitingRoom { id status } grades { id grade remaining } } cardGateway { id name } }`);
  const { schedule: first } = await one.first;
  const other = watch(gql`query Other($id: ID!) { schedule(id: $id) { id waitingRoom { id maxActive } grades { id price } } cardGateway { id publishableKey } }`);
  await other.first;
  // What a third one finds is there, and was asked by nobody.
  const both = await apollo.query({
    query: gql`query Both($id: ID!) { schedule(id: $id) { waitingRoom { status maxActive } grades { grade price remaining } } }`,
    variables: { id: schedule },
  });
  console.warn = usual;
  assert.deepEqual(requests, ["One", "Other"]);
  assert.deepEqual(both.data.schedule.grades.map(({ grade, price }) => [grade, price]), [["R", 1_000], ["S", 500]]);
  assert.equal(first.waitingRoom.id.startsWith(schedule), true);
  assert.deepEqual(warnings, [], "no data were lost");
  one.stop();
  other.stop();
});

/** Apollo as it is without settings, and the names of what it asked. */
function client(person) {
  apollo?.stop();
  requests = [];
  const authorization = () => ({ authorization: `Bearer ${person.session.accessToken}` });
  socket ??= createClient({ url: webSocketUrl(A), webSocketImpl: WebSocket, connectionParams: authorization, retryAttempts: 0 });
  const counted = new ApolloLink((operation, forward) => (requests.push(operation.operationName), forward(operation)));
  const http = ApolloLink.from([new SetContextLink(() => ({ headers: authorization() })), counted, new HttpLink({ uri: `${A}/graphql` })]);
  const link = ApolloLink.split(({ operationType }) => operationType === "subscription", new GraphQLWsLink(socket), http);
  apollo = new ApolloClient({ link, cache: new InMemoryCache() });
}

/** What a component shows that asks once. */
function watch(query) {
  let settle, refuse, fits = () => true, last;
  const next = () => new Promise((resolve, reject) => ([settle, refuse] = [resolve, reject]));
  let waiting = next();
  const look = () => last && fits(last) && settle(last);
  const subscription = apollo.watchQuery({ query, variables: { id: schedule } }).subscribe({
    next: ({ data, dataState, error }) => {
      if (error) return refuse(error);
      if (dataState !== "complete") return;
      last = data;
      look();
    },
    error: (error) => refuse(error),
  });
  const late = (what) => setTimeout(() => refuse(new Error(`${what} was not shown in 15 s; last: ${JSON.stringify(last)}`)), 15_000);
  const within = async (what, promise) => {
    const timer = late(what);
    return promise.finally(() => clearTimeout(timer));
  };
  return {
    first: within("anything", waiting),
    until(wanted) {
      fits = wanted;
      waiting = next();
      look();
      return within("what was waited for", waiting);
    },
    fail: (error) => refuse(error),
    stop: () => subscription.unsubscribe(),
  };
}

async function performanceOnSale() {
  const { FRONTROW_TEST_ORGANIZER_EMAIL: email, FRONTROW_TEST_ORGANIZER_PASSWORD: password } = process.env;
  organizer = await Person.logIn(email, password);
  const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString();
  const CREATE_CONCERT = gql`mutation CreateConcert($input: CreateConcertInput!) { createConcert(input: $input) { concert { id } userErrors { code message path } } }`;
  const CREATE_SCHEDULE = gql`mutation CreateSchedule($input: CreateScheduleInput!) { createSchedule(input: $input) { schedule { id } userErrors { code message path } } }`;
  const OPEN_SALE = gql`mutation OpenSale($id: ID!) { openSale(scheduleId: $id) { userErrors { code message } } }`;
  const input = { title: unique("Cache"), artist: "The Clients", venue: "Small Hall", description: "", timeZone: "Asia/Seoul" };
  const { concert } = accepted(await organizer.mutate(CREATE_CONCERT, { input }));
  const section = (name, grade, price) => ({ name, grade, price, rows: 1, seatsPerRow: 10 });
  const made = await organizer.mutate(CREATE_SCHEDULE, {
    input: {
      concertId: concert.id, salesOpenAt: day(-1), salesCloseAt: day(29), startsAt: day(30),
      sections: [section("Front", "R", 1_000), section("Back", "S", 500)],
      waitingRoom: { maxActive: 10, admitPerRound: 10, roundSeconds: 0.1 },
    },
  });
  accepted(await organizer.mutate(OPEN_SALE, { id: accepted(made).schedule.id }));
  return made.schedule.id;
}
