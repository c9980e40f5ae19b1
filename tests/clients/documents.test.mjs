// Documents by GET and by their hash, as other people's clients ask for them: urql with its defaults and its persisted exchange,
// Apollo Client and its persisted link.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ApolloClient, HttpLink, InMemoryCache } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, cacheExchange, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { print } from "graphql";
import { A, B, Person, gql, serve, unique } from "./support.mjs";

const ME = gql`query Me { me { id name } }`;
const CONCERTS = gql`query Concerts($first: Int!) { concerts(first: $first) { nodes { id title } } }`;
const CHARGE = gql`mutation Charge($input: ChargeInput!) { charge(input: $input) { balance userErrors { code } } }`;
const sha256 = (document) => createHash("sha256").update(document).digest("hex");

let fan;
before(async () => {
  fan = await Person.signUp("documents");
});
after(() => fan.close());
const session = () => ({ authorization: `Bearer ${fan.session.accessToken}` });

/** fetch, and what it was asked. */
function watched() {
  const asked = [];
  const fetchWatched = async (url, options = {}) => {
    const response = await fetch(url, options);
    const parameters = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(url).searchParams);
    asked.push({ method: options.method ?? "GET", sent: Boolean(parameters.query), status: response.status, headers: response.headers });
    return response;
  };
  return { asked, fetch: fetchWatched };
}
const ways = (asked) => asked.map(({ method, sent }) => `${method} ${sent ? "document" : "hash"}`);

describe("urql", () => {
  const client = (url, exchanges, options = {}) => {
    const { asked, fetch } = watched();
    const urql = new Client({ url: `${url}/graphql`, exchanges, fetch, fetchOptions: { headers: session() }, ...options });
    return { urql, asked };
  };

  test("asks queries by GET as it does by default, in the person's session, and mutations by POST", async () => {
    const { urql, asked } = client(A, [cacheExchange, fetchExchange]);
    const me = await urql.query(ME, {}).toPromise();
    assert.ifError(me.error);
    assert.equal(me.data.me.id, fan.session.user.id);
    const concerts = await urql.query(CONCERTS, { first: 2 }).toPromise();
    assert.ifError(concerts.error);
    const charged = await urql.mutation(CHARGE, { input: { amount: 10, idempotencyKey: unique("urql") } }).toPromise();
    assert.ifError(charged.error);
    assert.deepEqual(ways(asked), ["GET document", "GET document", "POST document"]);
    for (const { headers } of asked) assert.equal(headers.get("cache-control"), "private, no-store");
  });

  test("with the persisted exchange names by hash what one instance was sent, at the other as well", async () => {
    const exchanges = () => [cacheExchange, persistedExchange({ preferGetForPersistedQueries: true }), fetchExchange];
    const document = gql`query ByUrql { __typename me { id } }`;
    const first = client(A, exchanges());
    assert.ifError((await first.urql.query(document, {}).toPromise()).error);
    assert.equal(first.asked.length, 2, ways(first.asked).join());
    assert.match(ways(first.asked)[0], /hash$/);
    assert.match(ways(first.asked)[1], /document$/);
    const second = client(B, exchanges());
    const told = await second.urql.query(document, {}).toPromise();
    assert.ifError(told.error);
    assert.equal(told.data.me.id, fan.session.user.id);
    assert.deepEqual(ways(second.asked), ["GET hash"]);
  });
});

function apollo(url, options = {}, useGETForHashedQueries = false) {
  const { asked, fetch } = watched();
  const link = new PersistedQueryLink({ sha256, useGETForHashedQueries }).concat(
    new HttpLink({ uri: `${url}/graphql`, fetch, headers: session() }),
  );
  const client = new ApolloClient({ link, cache: new InMemoryCache(), defaultOptions: { query: { fetchPolicy: "no-cache" } }, ...options });
  return { client, asked };
}

describe("Apollo's persisted link", () => {
  for (const byGet of [false, true]) {
    const method = byGet ? "GET" : "POST";
    test(`names documents by hash, by ${method}`, async () => {
      const query = gql`query Named($first: Int!) { concerts(first: $first) { nodes { id } } me { id } }`;
      // A document of its own each time, which nobody has sent yet.
      const fresh = gql(print(query).replace("Named", `Named_${unique("q").replace("-", "_")}`));
      const first = apollo(A, {}, byGet);
      const { data } = await first.client.query({ query: fresh, variables: { first: 1 } });
      assert.equal(data.me.id, fan.session.user.id);
      // The document goes by POST, whatever the hash went by.
      assert.equal(ways(first.asked).join(), `${method} hash,POST document`);
      await first.client.query({ query: fresh, variables: { first: 2 } });
      assert.equal(ways(first.asked).at(-1), `${method} hash`);
      const second = apollo(B, {}, byGet);
      await second.client.query({ query: fresh, variables: { first: 1 } });
      assert.deepEqual(ways(second.asked), [`${method} hash`]);
    });
  }

  test("runs mutations, each once", async () => {
    const { client, asked } = apollo(A);
    const mutation = gql(print(CHARGE).replace("Charge(", `Charge_${unique("m").replace("-", "_")}(`));
    const before = await fan.query(gql`{ balance }`);
    await client.mutate({ mutation, variables: { input: { amount: 5, idempotencyKey: unique("apq") } } });
    await client.mutate({ mutation, variables: { input: { amount: 5, idempotencyKey: unique("apq") } } });
    assert.deepEqual(ways(asked), ["POST hash", "POST document", "POST hash"]);
    assert.equal(await fan.query(gql`{ balance }`), before + 10);
  });
});

describe("with other settings", { skip: !process.env.DATABASE_URL && "needs instances on a database of its own" }, () => {
  let folder;
  const servers = [];
  const started = async (environment) => {
    const server = await serve(environment);
    servers.push(server);
    return server.url;
  };
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "frontrow-documents-"));
  });
  after(() => {
    for (const server of servers) server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("where hashes are not understood, Apollo falls back, and stays there", async () => {
    const url = await started({ FRONTROW_PERSISTED_DOCUMENTS: "false" });
    const { client, asked } = apollo(url);
    for (let time = 0; time < 2; time += 1) {
      const { data } = await client.query({ query: ME });
      assert.equal(data.me.id, fan.session.user.id);
    }
    assert.deepEqual(ways(asked), ["POST hash", "POST document", "POST document"]);
  });

  test("of trusted documents nothing else runs", async () => {
    const { client: probe } = apollo(A);
    // As Apollo prints it, which is what its manifest has.
    const body = print(probe.cache.transformDocument(ME));
    const manifest = { format: "apollo-persisted-query-manifest", version: 1, operations: [{ id: sha256(body), name: "Me", type: "query", body }] };
    const file = join(folder, "manifest.json");
    writeFileSync(file, JSON.stringify(manifest));
    const { client, asked } = apollo(await started({ FRONTROW_TRUSTED_DOCUMENTS: file }));
    const { data } = await client.query({ query: ME });
    assert.equal(data.me.id, fan.session.user.id);
    assert.deepEqual(ways(asked), ["POST hash"]);
    const refused = await client.query({ query: CONCERTS, variables: { first: 1 } }).catch((error) => error);
    assert.equal(refused.errors[0].extensions.code, "BAD_REQUEST");
    assert.equal(asked.length, 2, "and it is not sent again");
  });
});
