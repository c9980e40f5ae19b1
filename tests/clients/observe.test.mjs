// What the dashboard in deploy/grafana shows and what the alerts in deploy/prometheus go by, asked of a real Prometheus that looks at
// the two instances while people buy.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { freePorts, program } from "./deployment.mjs";
import { A, B, Person, accepted, cardGateway, gql, unique } from "./support.mjs";

const binary = program("prometheus");
const dashboard = JSON.parse(readFileSync(new URL("../../deploy/grafana/dashboards/frontrow.json", import.meta.url), "utf8"));
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

// Nothing of these happens in a healthy hour, so there is nothing to see.
const QUIET = ["frontrow_refunds_total", "frontrow_refusals_total", "frontrow_connections_refused_total", "frontrow_connections_ended_total", "frontrow_task_panics_total", "frontrow_audit_"];

describe("the dashboard", { skip: !binary }, () => {
  let folder, prometheus, url, families;
  before(async () => {
    families = await metricFamilies();
    folder = mkdtempSync(join(tmpdir(), "frontrow-prometheus-"));
    const targets = [A, B].map((address) => JSON.stringify(new URL(address).host));
    // As deploy/prometheus has it, but for where the instances are, and oftener.
    const config = readFileSync(new URL("../../deploy/prometheus/prometheus.yml", import.meta.url), "utf8");
    const [head] = config.split("    dns_sd_configs:");
    writeFileSync(join(folder, "prometheus.yml"), `${head.replaceAll("5s", "1s")}    static_configs:\n      - targets: [${targets}]\n`);
    copyFileSync(new URL("../../deploy/prometheus/alerts.yml", import.meta.url), join(folder, "alerts.yml"));
    const [port] = await freePorts(1);
    url = `http://127.0.0.1:${port}`;
    prometheus = spawn(binary, [`--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`], { stdio: "ignore" });
    for (let tries = 0; tries < 200 && !(await fetch(`${url}/-/ready`).then((answer) => answer.ok, () => false)); tries += 1) await pause(50);
  });
  after(async () => {
    if (prometheus) {
      const ended = once(prometheus, "exit");
      prometheus.kill();
      await ended;
    }
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  test("every metric that it names is there", () => {
    for (const { title, expr } of queries) {
      for (const name of expr.match(/frontrow_[a-z_]+/g) ?? []) {
        const family = name.replace(/_(total|bucket|sum|count)$/, "");
        assert(families.has(family), `${title}: there is no ${name}`);
      }
    }
  });

  test("every query has an answer while people buy", async () => {
    const deadline = Date.now() + 30_000;
    const unanswered = new Set(queries.filter(({ expr }) => !QUIET.some((name) => expr.includes(name))));
    assert(unanswered.size > 25, `${unanswered.size}`);
    while (unanswered.size && Date.now() < deadline) {
      await buy();
      await pause(1_000);
      for (const query of unanswered) if ((await ask(query)).length) unanswered.delete(query);
    }
    assert.deepEqual([...unanswered], []);
    for (const query of queries) await ask(query);
  });

  test("every alert is evaluated, and people who buy wake nobody", async () => {
    const deadline = Date.now() + 30_000;
    let rules;
    do {
      await buy();
      await pause(1_000);
      const { data } = await (await fetch(`${url}/api/v1/rules?type=alert`)).json();
      rules = data.groups.flatMap((group) => group.rules);
    } while (rules.some(({ health }) => health === "unknown") && Date.now() < deadline);
    assert(rules.length > 10, `${rules.length}`);
    for (const { name, health, lastError } of rules) assert.equal(health, "ok", `${name}: ${lastError}`);
    const awake = rules.filter(({ state, labels }) => state !== "inactive" && labels.severity === "page");
    assert.deepEqual(awake.map(({ name, alerts }) => [name, alerts]), []);
  });

  /** The values of a query; that it is well-formed is asserted. */
  async function ask({ title, expr }) {
    const query = expr.replaceAll("$__rate_interval", "30s").replaceAll("$schedule", ".*");
    const answer = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query })}`);
    const { status, data, error } = await answer.json();
    assert.equal(status, "success", `${title}: ${error}`);
    return data.result.filter(({ value: [, value] }) => value !== "NaN");
  }
});

async function metricFamilies() {
  const texts = await Promise.all([A, B].map(async (address) => (await fetch(`${address}/metrics`)).text()));
  const declared = texts.join("\n").matchAll(/^# TYPE (\w+) /gm);
  const source = ["metrics", "operations"].map((file) => readFileSync(new URL(`../../src/telemetry/${file}.rs`, import.meta.url), "utf8")).join();
  // Families with labels are not on the page before the first of them happens.
  const registered = source.matchAll(/register\(\s*"(\w+)"/g);
  return new Set([...Array.from(declared, ([, name]) => name), ...Array.from(registered, ([, name]) => `frontrow_${name}`)]);
}

/** A fan goes the whole way at one of the demo's performances, watching the line. */
async function buy() {
  const fan = await Person.signUp("observed");
  const { nodes } = await fan.query(gql`query Concerts { concerts(first: 10) { nodes { schedules { id remainingSeats waitingRoom { status } } } } }`);
  const { id } = nodes.flatMap(({ schedules }) => schedules).find(({ remainingSeats, waitingRoom }) => remainingSeats > 0 && waitingRoom.status === "OPEN");
  const queue = fan.subscribe(gql`subscription Queue($id: ID!) { queueStatus(scheduleId: $id) { status } }`, { id });
  const { token } = accepted(await fan.mutate(gql`mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { queueToken { token } userErrors { code } } }`, { id })).queueToken;
  await pause(200);
  const watch = fan.subscribe(gql`subscription Watch($id: ID!) { queueStatus(scheduleId: $id) { status } }`, { id });
  await watch.event(({ status }) => status === "ACTIVE", "ACTIVE");
  queue.stop();
  const [{ grade, price }] = (await fan.query(gql`query Grades($id: ID!) { schedule(id: $id) { grades { grade price remaining } } }`, { id })).grades.filter(({ remaining }) => remaining > 0);
  const held = accepted(await fan.mutate(gql`mutation Hold($input: HoldBestSeatsInput!) { holdBestSeats(input: $input) { reservation { id } userErrors { code } } }`, { input: { scheduleId: id, grade, count: 1, queueToken: token } }));
  accepted(await fan.mutate(gql`mutation Charge($input: ChargeInput!) { charge(input: $input) { balance userErrors { code } } }`, { input: { amount: price, idempotencyKey: unique("charge") } }));
  const method = (await cardGateway()) === "sandbox" ? { method: "CARD", cardToken: "tok_ok" } : { method: "POINT" };
  accepted(await fan.mutate(gql`mutation Pay($input: PayInput!) { pay(input: $input) { payment { status } userErrors { code } } }`, { input: { reservationId: held.reservation.id, amount: price, idempotencyKey: unique("pay"), ...method } }));
  watch.stop();
  await fan.close();
}
