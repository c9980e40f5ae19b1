// A rehearsal as stampede/README.md has it, in small, and its report as a browser shows it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { launch, skip as noBrowser } from "./browser.mjs";
import { A, B } from "./support.mjs";

const run = promisify(execFile);
const { FRONTROW_TEST_BIN: program, FRONTROW_TEST_ORGANIZER_EMAIL: email, FRONTROW_TEST_ORGANIZER_PASSWORD: password } = process.env;
const stampede = (...words) => run(join(dirname(program), "stampede"), words, { env: { ...process.env, STAMPEDE_PASSWORD: password } });

// Every axis says what it counts, and has a scale that can be read.
async function namesEveryAxis(page) {
  const charts = await page.$$eval("svg[role=img]", (all) => all.map((chart) => {
    const texts = (kind) => [...chart.querySelectorAll(kind)].map((text) => text.textContent);
    return { title: chart.getAttribute("aria-label"), names: texts("text.name"), x: texts("text.tick.x"), y: texts("text.tick.y") };
  }));
  assert(charts.length >= 6, JSON.stringify(charts.map(({ title }) => title)));
  for (const { title, names, x, y } of charts) {
    assert.equal(names.length, 2, title);
    assert(names.every((name) => /[a-z]/.test(name)), `${title}: ${names}`);
    assert(new Set(x).size > 1 && new Set(y).size > 1, `${title}: ${x} and ${y}`);
    for (const tick of y) assert.match(tick, /^[\d,.]+$/, `${title}: ${y}`);
    const time = names[1].startsWith("minutes:seconds");
    for (const tick of x) assert.match(tick, time ? /^−?\d+:\d\d$/ : /^[\d,.]+$/, `${title}: ${x}`);
  }
}

describe("a rehearsal", { skip: !process.env.FRONTROW_TEST_SERVER_URL && "needs instances on a database of its own" }, () => {
  let folder, told;
  const file = (name) => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "frontrow-rehearsal-"));
    await run(program, ["seed", "--fans", "60", "--sessions", file("fans.jsonl")]);
    const staged = await stampede("stage", "--url", A, "--organizer", email, "--seats", "20", "--max-active", "20", "--admit-per-round", "10", "--idle-seconds", "5", "--opens-in", "4");
    await stampede("run", "--url", A, "--url", B, "--sessions", file("fans.jsonl"), "--schedule", staged.stdout.trim(),
      "--early", "0.5", "--rush-seconds", "2", "--arrive-seconds", "4", "--think-seconds", "0.2", "--seconds", "90",
      "--leave", "0", "--away", "0", "--gone", "0", "--idle", "0", "--lapse", "0", "--json", file("report.json"), "--html", file("report.html"));
    told = JSON.parse(readFileSync(file("report.json"), "utf8"));
  });
  after(() => folder && rmSync(folder, { recursive: true, force: true }));

  test("ends sold out, and tells of those who were not let in, too", () => {
    assert(told.passed, told.headline);
    assert.equal(told.counts.bought, 20, told.headline);
    assert.equal(told.series.room.at(-1)[1].status, "SOLD_OUT");
    assert.equal(told.waits.count, told.counts.admitted);
    assert.equal(told.waits.count + told.not_let_in.count, told.counts.entered);
    const missed = told.goals.some(({ met }) => met === false);
    assert.equal(told.grade, missed ? "goals" : "good");
    assert.equal(told.headline.startsWith("Goals missed: "), missed, told.headline);
  });

  test("is shown with every axis named and all of its numbers in one unit", { skip: noBrowser }, async () => {
    const browser = await launch();
    try {
      const page = await browser.newPage();
      const broken = [];
      page.on("pageerror", (error) => broken.push(String(error)));
      await page.goto(pathToFileURL(file("report.html")).href);
      assert.deepEqual(broken, []);
      await namesEveryAxis(page);
      const [grade, headline] = [await page.getAttribute(".verdict", "class"), await page.textContent("h1")];
      assert.equal(grade, `verdict ${told.grade}`);
      assert(told.headline.startsWith(headline), headline);
      const tiles = await page.textContent(".tiles");
      assert(tiles.includes(`of ${told.waits.count} who were let in`), tiles);
      assert.equal(tiles.includes("who were not"), told.not_let_in.count > 0, tiles);
    } finally {
      await browser.close();
    }
  });

  test("is shown with axes that can be read, too, when it was over within two seconds of the opening", { skip: noBrowser }, async () => {
    const short = structuredClone(told);
    const end = short.setting.opening + 2;
    short.series.room = short.series.room.filter(([second]) => second <= end);
    for (const [name, counts] of Object.entries(short.figures.sales)) {
      short.figures.sales[name] = Object.fromEntries(Object.entries(counts).filter(([second]) => second <= end));
    }
    writeFileSync(file("short.html"), readFileSync(file("report.html"), "utf8")
      .replace(/(<script[^>]*id="data"[^>]*>)[^]*?(<\/script>)/, (_, from, to) => from + JSON.stringify(short).replaceAll("<", "\\u003c") + to));
    const browser = await launch();
    try {
      const page = await browser.newPage();
      await page.goto(pathToFileURL(file("short.html")).href);
      await namesEveryAxis(page);
    } finally {
      await browser.close();
    }
  });
});
