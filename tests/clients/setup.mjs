// What `run` needs and bash has no portable word for.
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";

const [command, ...args] = process.argv.slice(2);
const commands = { "create-database": createDatabase, "drop-database": dropDatabase, "free-ports": freePorts, "wait-for": waitFor };
await commands[command](...args);

async function createDatabase(serverUrl, name) {
  await execute(serverUrl, `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  console.log(url.href);
}

async function dropDatabase(serverUrl, name) {
  await execute(serverUrl, `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
}

async function execute(connectionString, sql) {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

// All are held until the last is known, so that they differ.
async function freePorts(count) {
  const servers = Array.from({ length: Number(count) }, () => createServer());
  await Promise.all(servers.map((server) => new Promise((done) => server.listen(0, "127.0.0.1", done))));
  console.log(servers.map((server) => server.address().port).join(" "));
  servers.forEach((server) => server.close());
}

async function waitFor(...urls) {
  const end = Date.now() + 60_000;
  for (const url of urls) {
    while (!(await answers(url))) {
      if (Date.now() > end) throw new Error(`${url} did not answer 200 within a minute`);
      await pause(100);
    }
  }
}

async function answers(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
