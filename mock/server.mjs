// The mock server: `node server.mjs`, or ./dev mock. README.md says what it plays.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { addMocksToSchema } from "@graphql-tools/mock";
import { makeExecutableSchema } from "@graphql-tools/schema";
import { parse } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { createYoga } from "graphql-yoga";
import { WebSocketServer } from "ws";
import { readToken, requestError, resolvers } from "./resolvers.mjs";
import { World } from "./world.mjs";

const PATH = "/mock";
const BODY_BYTES_MAX = 64 * 1024;

/** The schema beside this folder, or the one that the image has in it. */
function readSchema() {
  const places = [process.env.FRONTROW_MOCK_SCHEMA, "../schema.graphql", "schema.graphql"].filter(Boolean);
  for (const place of places) {
    try {
      return readFileSync(new URL(place, import.meta.url), "utf8");
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  throw new Error("schema.graphql is missing: it stands beside the folder mock.");
}

/** What fields are that nobody has written a resolver for: always the same, so that pages can be compared. */
const MOCKS = {
  ID: () => "01a00000-ffff-7000-8000-000000000000",
  String: () => "invented",
  Int: () => 1,
  Float: () => 1,
  Boolean: () => false,
  DateTime: () => "2027-01-01T00:00:00.000Z",
  Points: () => 1_000,
  SignedPoints: () => 1_000,
};

/** Starts the mock; resolves to its address and a way to stop it. */
export async function start({ port = 8040, host = "127.0.0.1", world = new World() } = {}) {
  const http = createServer();
  await new Promise((listening, failed) => http.once("error", failed).listen(port, host, listening));
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${http.address().port}`;
  const typeDefs = parse(readSchema(), { noLocation: true });
  const bare = makeExecutableSchema({ typeDefs });
  const played = resolvers(world, process.env.FRONTROW_MOCK_URL ?? `${url}${PATH}`);
  // Made-up answers of mutations would lie: what is not played says so.
  for (const name of Object.keys(bare.getMutationType().getFields())) {
    played.Mutation[name] ??= () => {
      throw requestError("FORBIDDEN", "The mock does not play this: it plays fans. Take a real server.");
    };
  }
  const schema = addMocksToSchema({ schema: bare, mocks: MOCKS, resolvers: played });
  const person = (authorization) => {
    if (!authorization) return undefined;
    const said = readToken("mock", authorization.replace(/^Bearer /i, ""));
    if (!said) throw requestError("UNAUTHENTICATED", "This session is none of the mock's.");
    if (said.number <= world.now()) throw requestError("UNAUTHENTICATED", "This session has ended. Refresh it, or log in again.");
    return world.person(said.email);
  };

  const yoga = createYoga({
    schema,
    graphqlEndpoint: PATH,
    graphiql: false,
    landingPage: false,
    logging: false,
    batching: false,
    // Any page may try it.
    cors: { origin: "*", methods: ["POST"], allowedHeaders: ["authorization", "content-type", "x-request-id", "x-mock-error", "x-mock-delay-ms"] },
    plugins: [{
      async onParams({ request }) {
        await pause(Math.min(Number(request.headers.get("x-mock-delay-ms")) || 0, 30_000));
        const code = request.headers.get("x-mock-error");
        if (code) throw requestError(code, `The mock was asked to answer ${code}.`);
      },
    }],
    context: ({ request, params }) => {
      // Whoever comes in may still send the session that has ended.
      const comesIn = /\b(refreshSession|logIn|signUp)\b/.test(params?.query ?? "");
      return { person: comesIn ? undefined : person(request.headers.get("authorization")) };
    },
  });

  http.on("request", (request, response) => {
    const { pathname } = new URL(request.url, url);
    if (pathname === `${PATH}/health`) return void response.end("live\n");
    const challenge = pathname.startsWith(`${PATH}/challenge/`) && pathname.split("/").at(-1);
    if (challenge) return void ask(world, challenge, request, response);
    if (Number(request.headers["content-length"]) > BODY_BYTES_MAX) return void response.writeHead(413).end();
    return void yoga(request, response);
  });

  const sockets = new WebSocketServer({ server: http, path: PATH, maxPayload: BODY_BYTES_MAX });
  const disposable = useServer({
    schema,
    context: ({ connectionParams }) => ({ person: person(connectionParams?.authorization) }),
    onConnect: ({ connectionParams }) => void person(connectionParams?.authorization),
  }, sockets);
  return {
    url: `${url}${PATH}`,
    world,
    async stop() {
      await disposable.dispose();
      http.closeAllConnections();
      await new Promise((closed) => http.close(closed));
    },
  };
}

/** The bank's page: two buttons, and the first answer counts. Programs post `outcome=pass` or `outcome=fail`. */
function ask(world, id, request, response) {
  const payment = [...world.reservations.values()].map(({ payment }) => payment).find((payment) => payment?.id === id);
  if (!payment) return response.writeHead(404).end("There is no such challenge.\n");
  const page = (text) => response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(`<!doctype html><meta charset="utf-8"><title>Your bank</title>${text}`);
  if (request.method !== "POST" && payment.status === "PENDING") {
    return page('<form method="post"><p>Confirm the payment?</p><button name="outcome" value="pass">Confirm</button> <button name="outcome" value="fail">Refuse</button></form>');
  }
  let body = "";
  request.setEncoding("utf8").on("data", (part) => (body = (body + part).slice(0, 1_000))).on("end", () => {
    const outcome = new URLSearchParams(body).get("outcome");
    if (payment.status === "PENDING" && outcome === "pass") world.approve(payment);
    if (payment.status === "PENDING" && outcome === "fail") Object.assign(payment, { status: "FAILED", failureCode: "CARD_ACTION_FAILED" });
    world.tell(payment.reservation.person);
    page(`<p>${payment.status === "APPROVED" ? "Paid." : "Not paid."} Go back to the shop.</p>`);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [host, port] = (process.env.FRONTROW_MOCK_LISTEN ?? "127.0.0.1:8040").split(/:(?=\d+$)/);
  const mock = await start({ host, port: Number(port) });
  console.log(`The mock listens on ${mock.url} (POST, and WebSocket for subscriptions). Lines to try:`);
  for (const schedule of mock.world.schedules) console.log(`  ${schedule.id}  ${schedule.room.name}`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => mock.stop().then(() => process.exit(0)));
}
