// What the compilers of other people make of the schema: graphql-codegen's client preset with TypeScript, and Relay's compiler.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { performanceOnSale } from "./performance.mjs";
import { A, Person, serve, webSocketUrl } from "./support.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folders = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** A project with the schema and examples: their paths in it by their names in examples/. */
function project(files) {
  const folder = mkdtempSync(join(tmpdir(), "frontrow-typed-"));
  folders.push(folder);
  mkdirSync(join(folder, "src"));
  symlinkSync(here("node_modules"), join(folder, "node_modules"));
  cpSync(here("../../schema.graphql"), join(folder, "schema.graphql"));
  for (const [name, path] of Object.entries(files)) cpSync(here(`examples/${name}`), join(folder, path));
  // What a tool says is in the error, whichever way it says it.
  const run = async (program, ...words) => {
    const told = promisify(execFile)(join(folder, "node_modules/.bin", program), words, { cwd: folder });
    return told.catch((error) => assert.fail(`${program}: ${error.stdout}${error.stderr}`));
  };
  return { folder, run };
}

test("graphql-codegen's types are the schema's, scalars too, and tsc accepts them", async () => {
  const { folder, run } = project({ "codegen.mjs": "codegen.mjs", "hold.tsx": "src/hold.tsx", "refusals.mjs": "src/refusals.mjs" });
  writeFileSync(join(folder, "src/more.tsx"), MORE);
  await run("graphql-codegen", "--config", "codegen.mjs");
  writeFileSync(join(folder, "src/check.ts"), CHECK);
  const compilerOptions = {
    target: "es2023", lib: ["es2023", "dom"], module: "preserve", moduleResolution: "bundler", jsx: "preserve",
    strict: true, noEmit: true, allowJs: true, checkJs: true, skipLibCheck: false, types: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["src"] }));
  await run("tsc", "--noEmit");
  // And it is looked at: nothing that is not so passes.
  writeFileSync(join(folder, "src/wrong.ts"), CHECK.replaceAll("// @ts-expect-error", "//"));
  const refused = await run("tsc", "--noEmit").catch(({ message }) => message);
  assert.equal(String(refused).match(/wrong\.ts\(/g)?.length, 4, String(refused));
});

test("Relay's compiler takes fragments, a connection, a mutation and a subscription, and what it compiled runs by its hash", async (t) => {
  const { folder, run } = project({ "relay.config.json": "relay.config.json", "Line.ts": "src/Line.ts" });
  // Relay adds to a list that is there.
  writeFileSync(join(folder, "documents.json"), "{}");
  await run("relay-compiler", "relay.config.json");
  const documents = Object.entries(JSON.parse(readFileSync(join(folder, "documents.json"), "utf8")));
  const compiled = (name) => {
    const [hash, text] = documents.find(([, text]) => text.includes(` ${name}`)) ?? assert.fail(`${name} was not compiled`);
    // An artifact names its document and knows its types.
    const artifact = readFileSync(join(folder, `src/__generated__/${name}.graphql.ts`), "utf8");
    assert(artifact.includes(hash), `${name} has another hash`);
    return { documentId: `sha256:${hash}`, text, artifact };
  };
  assert.match(compiled("LineConcertsQuery").artifact, /startsAt: string/);

  const { id, title, close } = await performanceOnSale("Relay", 1_000);
  const fan = await Person.signUp("relay");
  const authorization = `Bearer ${fan.session.accessToken}`;
  const ask = async (name, variables) => {
    const { documentId, text } = compiled(name);
    const post = async (body) => {
      const headers = { "content-type": "application/json", authorization };
      return (await fetch(`${A}/graphql`, { method: "POST", headers, body: JSON.stringify({ ...body, variables }) })).json();
    };
    const known = await post({ documentId });
    const { data, errors } = known.errors?.[0].extensions.code === "PERSISTED_QUERY_NOT_FOUND" ? await post({ documentId, query: text }) : known;
    assert.equal(errors, undefined, JSON.stringify(errors));
    assert.deepEqual(Object.keys((await post({ documentId })).data), Object.keys(data), "the hash is enough from now on");
    return data;
  };
  const { concerts } = await ask("LineConcertsQuery", { search: title });
  assert.deepEqual(concerts.edges.map(({ node }) => [node.title, node.__typename]), [[title, "Concert"]]);
  const { enterQueue } = await ask("LineEnterMutation", { id });
  assert.deepEqual(enterQueue.userErrors, []);
  // Relay asks for `id` by itself, and keeps the place by it.
  assert(enterQueue.queueToken.id && enterQueue.queueToken.token);

  const client = createClient({ url: webSocketUrl(A), webSocketImpl: WebSocket, connectionParams: { authorization }, retryAttempts: 0 });
  for await (const { data, errors } of client.iterate({ query: compiled("LineWatchSubscription").text, variables: { id } })) {
    assert.equal(errors, undefined);
    assert.equal(data.queueStatus.id, enterQueue.queueToken.id);
    if (data.queueStatus.status === "ACTIVE") break;
  }
  await client.dispose();

  // What it has written is what an operator lists.
  if (process.env.DATABASE_URL) {
    const { url, stop } = await serve({ FRONTROW_TRUSTED_DOCUMENTS: join(folder, "documents.json") });
    t.after(stop);
    const post = async (body) => (await fetch(url + "/graphql", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
    const listed = await post({ documentId: compiled("LineConcertsQuery").documentId, variables: { search: title } });
    assert.equal(listed.data?.concerts.edges.length, 1, JSON.stringify(listed));
    const stranger = await post({ query: "{ concerts { nodes { id } } }" });
    assert.equal(stranger.errors[0].extensions.code, "BAD_REQUEST");
  }
  await fan.close();
  await close();
});

// Every scalar, a subscription, a connection.
const MORE = `
import { graphql } from "./gql";

export const Entries = graphql(\`query Entries { walletEntries(first: 5) { nodes { id kind delta balanceAfter createdAt } } }\`);
export const Queue = graphql(\`subscription Queue($id: ID!) { queueStatus(scheduleId: $id) { id status position expiresAt } }\`);
`;

const CHECK = `
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { HoldSeat } from "./hold";
import { Entries, Queue } from "./more";
import { accepted } from "./refusals.mjs";

declare function send<Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data>;

export async function fan(id: string) {
  const { holdSeat } = await send(HoldSeat, { input: { scheduleId: id, seatId: id, queueToken: id } });
  const reservation = accepted(holdSeat).reservation!;
  const { queueStatus } = await send(Queue, { id });
  const entry = (await send(Entries, {})).walletEntries.nodes[0]!;
  const good: [number, string, number, number, string, string, string | null | undefined] = [
    reservation.totalPrice, reservation.expiresAt, entry.delta, entry.balanceAfter, entry.createdAt, queueStatus.status, queueStatus.expiresAt,
  ];
  // @ts-expect-error
  const price: string = reservation.totalPrice;
  // @ts-expect-error
  const when: number = reservation.expiresAt;
  // @ts-expect-error
  const delta: string = entry.delta;
  // @ts-expect-error
  const code: "NO_SUCH_CODE" | undefined = holdSeat.userErrors[0]?.code;
  return [good, price, when, delta, code];
}
`;
