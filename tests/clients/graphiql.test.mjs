// GraphiQL in a real browser: it works, it is ours to the last byte, and a new-comer gets somewhere with it.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { A } from "./support.mjs";

const candidates = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = candidates.find((path) => path && existsSync(path));
const skip = executablePath ? false : "no Chromium here: install the package chromium, or set CHROMIUM to its path";

describe("GraphiQL", { skip }, () => {
  let browser, page;
  const faults = [];

  before(async () => {
    browser = await chromium.launch({
      executablePath,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
    page = await browser.newPage();
    page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
    page.on("request", (request) => checkHost(request.url()));
    page.on("websocket", (socket) => checkHost(socket.url()));
  });
  after(() => browser?.close());

  function checkHost(url) {
    const { protocol, host } = new URL(url);
    if (["http:", "https:", "ws:", "wss:"].includes(protocol) && host !== new URL(A).host) faults.push(`off the host: ${url}`);
  }

  test("/ leads to it, and it renders", async () => {
    const response = await page.goto(`${A}/`);
    assert.equal(new URL(page.url()).pathname.replace(/\/$/, ""), "/graphiql");
    assert.match(response.headers()["content-security-policy"] ?? "", /default-src 'self'/);
    assert.equal(await page.title(), "Frontrow – GraphiQL");
    await page.locator(".graphiql-query-editor .view-line").first().waitFor();
  });

  test("the documentation comes from the schema", async () => {
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.locator(".graphiql-doc-explorer").getByText("Subscription").first().waitFor();
    await page.getByRole("button", { name: "Hide Documentation Explorer" }).click();
  });

  test("one can log in", async () => {
    await run("LogIn", /"accessToken"/);
  });

  test("with no copying of ids one takes a place, and a subscription runs", async () => {
    await run("Concerts", /"OPEN"/);
    await run("EnterQueue", /"(WAITING|ACTIVE)"/);
    await run("QueueStatus", /"(WAITING|ACTIVE)"/);
  });

  test("nothing was asked of another host, and no error shows in the console", () => {
    assert.deepEqual(faults, []);
  });

  /** Runs the tab's operation and waits for the answer. */
  async function run(name, answer) {
    await page.locator(".graphiql-tab-button", { hasText: name }).click();
    await page.locator(".graphiql-query-editor", { hasText: name }).waitFor();
    // GraphiQL reads the new tab's operation a moment after it shows it.
    await page.waitForTimeout(500);
    await page.getByRole("button", { name: /^Execute query/ }).click();
    await page.locator(".graphiql-response", { hasText: answer }).waitFor().catch(async () => {
      assert.fail(`${name} was answered: ${await page.locator(".graphiql-response").innerText()}`);
    });
  }
});
