// The way of a fan with gql, Python's client: by HTTP, and over the WebSocket.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { installed } from "./deployment.mjs";
import { performanceOnSale } from "./performance.mjs";
import { A } from "./support.mjs";

const PRICE = 30_000;

test("with gql from the line to a seat of one's own", async (t) => {
  const gql = installed("scripts/gql.sh");
  if (!gql) return t.skip("gql cannot be had");
  const { id, close } = await performanceOnSale("Python", PRICE);
  const env = { ...process.env, PYTHONPATH: gql, PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout } = await promisify(execFile)("python3", [fileURLToPath(new URL("fan.py", import.meta.url)), `${A}/graphql`, id], { env });
  assert.deepEqual(JSON.parse(stdout), {
    subprotocol: "graphql-transport-ws",
    refused: "UNAUTHENTICATED",
    price: PRICE,
    payment: { status: "APPROVED", reservation: { status: "CONFIRMED" } },
    place: "USED",
  });
  await close();
});
