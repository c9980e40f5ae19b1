// GraphQL over HTTP and graphql-transport-ws to the letter, and what must not get through either.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serverAudits } from "graphql-http";
import WebSocket from "ws";
import { A, Person, gql, unique, webSocketUrl } from "./support.mjs";

const ENDPOINT = `${A}/graphql`;
const RESERVATION_CHANGES = "subscription { reservationChanges { id } }";
let fan;
before(async () => {
  fan = await Person.signUp("transport");
});
after(() => fan.close());
const session = () => ({ authorization: `Bearer ${fan.session.accessToken}` });

test("GraphQL over HTTP: the reference audit", async (t) => {
  for (const audit of serverAudits({ url: ENDPOINT })) {
    await t.test(audit.name, async (t) => {
      const result = await audit.fn();
      if (result.status === "ok") return;
      assert(audit.name.startsWith("MAY "), `${audit.id}: ${result.reason}`);
      t.diagnostic(`${audit.id}, not a requirement: ${result.reason}`);
    });
  }
});

test("HTTP", async (t) => {
  await t.test("an error says its code, whether to try again, and which request it was", async () => {
    const { errors } = await post("{ me { id } }");
    assert.equal(errors[0].extensions.code, "UNAUTHENTICATED");
    assert.equal(errors[0].extensions.retryable, false);
    assert.match(errors[0].extensions.requestId, /\S/);
  });

  await t.test("GET runs no mutation", async () => {
    const key = unique("get");
    const mutation = `mutation { charge(input: { amount: 1, idempotencyKey: "${key}" }) { balance } }`;
    const response = await fetch(`${ENDPOINT}?query=${encodeURIComponent(mutation)}`, { headers: session() });
    await response.arrayBuffer();
    assert.equal(response.status, 405);
    assert.equal(response.headers.get("allow"), "POST");
    assert.equal(await fan.query(gql`{ balance }`), 0);
  });

  await t.test("a small document that unfolds into 2^26 fields is refused at once", async (t) => {
    const { extensions, took } = await timed(async () => (await post(bomb("query", "Query", "__typename"))).errors[0]);
    t.diagnostic(`refused in ${took} ms`);
    assert.equal(extensions.code, "QUERY_TOO_COMPLEX");
    assert(took < 2_000);
  });
});

test("graphql-transport-ws: closed with", async (t) => {
  const cases = {
    "4400 for what is not JSON": [4400, (socket) => socket.sendText("{")],
    "4400 for an unknown type of message": [4400, (socket) => socket.send({ type: "unheard_of" }), "init"],
    "4401 for subscribing before connection_init": [4401, (socket) => socket.subscribe("1", RESERVATION_CHANGES)],
    "4403 for a session that is none": [
      4403,
      (socket) => socket.send({ type: "connection_init", payload: { authorization: "Bearer none" } }),
    ],
    "4408 without connection_init": [4408, () => {}],
    "4409 for an id in use": [
      4409,
      (socket) => {
        socket.subscribe("1", RESERVATION_CHANGES);
        socket.subscribe("1", RESERVATION_CHANGES);
      },
      "init",
    ],
    "4429 for a second connection_init": [4429, (socket) => socket.send({ type: "connection_init" }), "init"],
  };
  for (const [name, [code, act, init]] of Object.entries(cases)) {
    await t.test(name, async () => {
      const socket = await Socket.open();
      if (init) await socket.init(session());
      act(socket);
      const closed = await socket.closed();
      assert.equal(closed.code, code, `${closed.code} ${closed.reason}`);
      if (code === 4403) assert.equal(closed.reason, "Forbidden");
    });
  }

  // Which of the two it is depends on when the server looks; either way the client learns it before it has sent a thing.
  for (const protocol of ["graphql-ws", []]) {
    await t.test(`4406, or refused by HTTP, for ${protocol.length ? "another" : "no"} subprotocol`, async () => {
      const outcome = await Socket.open({ protocol }).then(
        async (socket) => (await socket.closed()).code,
        () => "refused",
      );
      assert([4406, "refused"].includes(outcome), String(outcome));
    });
  }
});

test("WebSocket", async (t) => {
  await t.test("without a session one may connect, but not ask for what needs one", async () => {
    const socket = await Socket.open();
    await socket.init({});
    socket.subscribe("1", RESERVATION_CHANGES);
    const [error] = await socket.errorsOf("1");
    assert.equal(error.extensions.code, "UNAUTHENTICATED");
    assert.equal(error.extensions.retryable, false);
    socket.close();
  });

  await t.test("a ping is answered", async () => {
    const socket = await Socket.open();
    await socket.init({});
    socket.send({ type: "ping" });
    await socket.message(({ type }) => type === "pong");
    socket.close();
  });

  await t.test("an id is free again after complete", async () => {
    const socket = await Socket.open();
    await socket.init(session());
    socket.subscribe("1", RESERVATION_CHANGES);
    socket.send({ type: "complete", id: "1" });
    socket.subscribe("1", RESERVATION_CHANGES);
    socket.send({ type: "ping" });
    await socket.message(({ type }) => type === "pong");
    socket.close();
  });

  await t.test("a document that is not valid is an error, of that operation only", async () => {
    const socket = await Socket.open();
    await socket.init(session());
    socket.subscribe("1", "subscription { noSuchField }");
    await socket.errorsOf("1");
    socket.subscribe("2", "subscription {");
    await socket.errorsOf("2");
    socket.close();
  });

  await t.test("queries and mutations are refused, and not run", async () => {
    const socket = await Socket.open();
    await socket.init(session());
    socket.subscribe("1", "query { me { id } }");
    await socket.errorsOf("1");
    socket.subscribe("2", `mutation { charge(input: { amount: 1, idempotencyKey: "${unique("ws")}" }) { balance } }`);
    await socket.errorsOf("2");
    assert.equal(await fan.query(gql`{ balance }`), 0);
    socket.close();
  });

  await t.test("a small document that unfolds into 2^26 fields is refused at once", async (t) => {
    const socket = await Socket.open();
    await socket.init(session());
    const { extensions, took } = await timed(async () => {
      socket.subscribe("1", bomb("subscription", "Subscription", "reservationChanges{id}"));
      return (await socket.errorsOf("1"))[0];
    });
    t.diagnostic(`refused in ${took} ms`);
    assert.equal(extensions.code, "QUERY_TOO_COMPLEX");
    assert(took < 2_000);
    socket.close();
  });

  await t.test("a page from elsewhere cannot connect; one of our own can", async () => {
    await assert.rejects(Socket.open({ origin: "https://evil.example" }), /Unexpected server response: 4\d\d/);
    const socket = await Socket.open({ origin: A });
    await socket.init({});
    socket.close();
  });
});

/** Fragments that spread the next one twice each, 26 deep: about a kilobyte of text. */
function bomb(operation, type, leaf) {
  const name = (depth) => `f${String(depth).padStart(2, "0")}`;
  const fragments = Array.from({ length: 26 }, (_, depth) => {
    const next = `...${name(depth + 1)}`;
    return `fragment ${name(depth)} on ${type}{${next}${next}}`;
  });
  return `${operation}{...f00}${fragments.join("")}fragment ${name(26)} on ${type}{${leaf}}`;
}

async function post(query) {
  const response = await fetch(ENDPOINT, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  return response.json();
}

async function timed(act) {
  const start = performance.now();
  const result = await act();
  return { ...result, took: Math.round(performance.now() - start) };
}

/** A bare WebSocket, for saying what no client library says. */
class Socket {
  #ws;
  #messages = [];
  #closed;
  #changed = () => {};

  /** Rejects if the server refuses the handshake. */
  static open({ protocol = "graphql-transport-ws", ...options } = {}) {
    return new Promise((resolve, reject) => {
      const ws = new WebSocket(webSocketUrl(A), protocol, options);
      ws.once("error", reject);
      const socket = new Socket(ws);
      ws.once("open", () => resolve(socket));
    });
  }

  constructor(ws) {
    this.#ws = ws;
    ws.on("message", (data) => {
      this.#messages.push(JSON.parse(data));
      this.#changed();
    });
    ws.on("close", (code, reason) => {
      this.#closed = { code, reason: reason.toString() };
      this.#changed();
    });
  }

  sendText(text) {
    this.#ws.send(text);
  }

  send(message) {
    this.sendText(JSON.stringify(message));
  }

  subscribe(id, query) {
    this.send({ id, type: "subscribe", payload: { query } });
  }

  async init(payload) {
    this.send({ type: "connection_init", payload });
    await this.message(({ type }) => type === "connection_ack");
  }

  /** The errors that refuse the operation. */
  async errorsOf(id) {
    const answer = await this.message((message) => message.id === id);
    assert.equal(answer.type, "error", JSON.stringify(answer));
    return answer.payload;
  }

  message(fits) {
    return this.#until(() => {
      const found = this.#messages.find(fits);
      if (!found && this.#closed) throw new Error(`closed instead: ${this.#closed.code} ${this.#closed.reason}`);
      return found;
    });
  }

  closed() {
    return this.#until(() => this.#closed);
  }

  close() {
    this.#ws.close();
  }

  #until(look) {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`not in 20 s; so far: ${JSON.stringify(this.#messages)}`));
      const timer = setTimeout(late, 20_000);
      this.#changed = () => {
        try {
          const found = look();
          if (found === undefined) return;
          resolve(found);
        } catch (error) {
          reject(error);
        }
        clearTimeout(timer);
        this.#changed = () => {};
      };
      this.#changed();
    });
  }
}
