// A person with Apollo Client on two instances of the server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

export { gql };
export const A = address("FRONTROW_TEST_URL_A");
export const B = address("FRONTROW_TEST_URL_B");

function address(name) {
  assert(process.env[name], `${name} is not set; start the tests with tests/clients/run`);
  return process.env[name].replace(/\/$/, "");
}

export const webSocketUrl = (url) => `${url.replace(/^http/, "ws")}/graphql`;
export const unique = (word) => `${word}-${randomBytes(6).toString("hex")}`;

/** One more instance, of the same database, with settings of its own: where it is, and how it is stopped. */
export async function serve(environment) {
  const env = { ...process.env, FRONTROW_LISTEN: "127.0.0.1:0", FRONTROW_CARD_GATEWAY: "none", FRONTROW_LOG_FORMAT: "text", ...environment };
  const server = spawn(process.env.FRONTROW_TEST_BIN, ["serve"], { env, stdio: ["ignore", "pipe", "ignore"] });
  const ended = new Promise((done) => server.on("exit", done));
  const url = await new Promise((found, failed) => {
    let text = "";
    server.stdout.on("data", (data) => {
      text += data;
      const listens = /listens on (http:\S+)/.exec(text);
      if (listens) found(listens[1]);
    });
    ended.then((code) => failed(new Error(`the server ended with ${code}`)));
  });
  const stop = () => {
    server.kill();
    return ended;
  };
  return { url, stop };
}

/** Somebody with a session whose requests go to the two instances in turn. */
export class Person {
  session;
  /** How many requests each instance got. */
  requests = [0, 0];
  #turn = 0;
  #instances;

  constructor() {
    const authorization = () => (this.session ? { authorization: `Bearer ${this.session.accessToken}` } : {});
    this.#instances = [A, B].map((url) => instance(url, authorization));
  }

  static async signUp(name) {
    const person = new Person();
    person.email = `${unique(name)}@frontrow.example`;
    person.password = unique("password");
    const payload = await person.mutate(SIGN_UP, { input: { email: person.email, password: person.password, name } });
    person.session = accepted(payload).session;
    return person;
  }

  static async logIn(email, password) {
    const person = new Person();
    const payload = await person.mutate(LOG_IN, { input: { email, password } });
    person.session = accepted(payload).session;
    return person;
  }

  /** The value of the query's root field. */
  async query(query, variables) {
    return rootField(await this.#next().apollo.query({ query, variables }));
  }

  /** The payload of the mutation. */
  async mutate(mutation, variables) {
    return rootField(await this.#next().apollo.mutate({ mutation, variables }));
  }

  subscribe(query, variables) {
    return new Stream(this.#next().apollo.subscribe({ query, variables, fetchPolicy: "no-cache" }));
  }

  /** The code of the error that the query is refused with. */
  async refusal(query, variables) {
    const error = await this.query(query, variables).then(
      () => assert.fail("this should have been refused"),
      (error) => error,
    );
    if (!error.errors) throw error;
    return error.errors[0].extensions.code;
  }

  async close() {
    for (const { apollo, socket } of this.#instances) {
      apollo.stop();
      await socket.dispose();
    }
  }

  #next() {
    const turn = this.#turn;
    this.#turn = 1 - turn;
    this.requests[turn] += 1;
    return this.#instances[turn];
  }
}

/** What cards are charged through on the instances; nothing where they take none. */
export async function cardGateway() {
  const nobody = new Person();
  const gateway = await nobody.query(gql`query CardGateway { cardGateway { name } }`);
  await nobody.close();
  return gateway?.name;
}

const SIGN_UP = gql`
  mutation SignUp($input: SignUpInput!) {
    signUp(input: $input) { session { accessToken expiresAt user { id email role } } userErrors { code message } }
  }
`;
const LOG_IN = gql`
  mutation LogIn($input: LogInInput!) {
    logIn(input: $input) { session { accessToken expiresAt user { id email role } } userErrors { code message } }
  }
`;

function instance(url, authorization) {
  const socket = createClient({
    url: webSocketUrl(url),
    webSocketImpl: WebSocket,
    connectionParams: authorization,
    // A broken connection shall fail the test and not be healed behind its back.
    retryAttempts: 0,
  });
  const withSession = new SetContextLink(({ headers }) => ({ headers: { ...headers, ...authorization() } }));
  const link = ApolloLink.split(
    ({ operationType }) => operationType === "subscription",
    new GraphQLWsLink(socket),
    withSession.concat(new HttpLink({ uri: `${url}/graphql` })),
  );
  const apollo = new ApolloClient({
    link,
    cache: new InMemoryCache(),
    // Each answer is to be the server's.
    defaultOptions: { query: { fetchPolicy: "no-cache" }, mutate: { fetchPolicy: "no-cache" } },
  });
  return { apollo, socket };
}

const rootField = ({ data }) => Object.values(data)[0];

/** The payload, if the mutation was not refused. */
export function accepted(payload) {
  assert.deepEqual(payload.userErrors, []);
  return payload;
}

/** The code of the mutation's only refusal. */
export function refused(payload) {
  assert.equal(payload.userErrors.length, 1, `one refusal expected: ${JSON.stringify(payload)}`);
  return payload.userErrors[0].code;
}

/** What a subscription pushed so far, and waiting for more. */
class Stream {
  events = [];
  #ended = false;
  #error;
  #waiting = new Set();
  #subscription;

  constructor(observable) {
    const wake = () => this.#waiting.forEach((check) => check());
    this.#subscription = observable.subscribe({
      next: ({ data, error }) => {
        if (error) this.#error = error;
        else this.events.push(rootField({ data }));
        wake();
      },
      error: (error) => {
        this.#error = error;
        wake();
      },
      complete: () => {
        this.#ended = true;
        wake();
      },
    });
  }

  /** The first event, from the subscription's start on, that fits. */
  event(fits, what) {
    return this.#until(() => this.events.find(fits), what);
  }

  completed(what) {
    return this.#until(() => this.#ended, `${what} to complete`);
  }

  stop() {
    this.#subscription.unsubscribe();
  }

  #until(look, what) {
    return new Promise((resolve, reject) => {
      const settle = (finish, value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        finish(value);
      };
      const check = () => {
        const found = look();
        if (found) settle(resolve, found);
        else if (this.#error) settle(reject, this.#error);
        else if (this.#ended) settle(reject, new Error(`the subscription ended while waiting for ${what}`));
      };
      const late = () => settle(reject, new Error(`no ${what} in 15 s; so far: ${JSON.stringify(this.events)}`));
      const timer = setTimeout(late, 15_000);
      this.#waiting.add(check);
      check();
    });
  }
}
