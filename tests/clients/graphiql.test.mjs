// GraphiQL in a real browser: it works, it is ours to the last byte, and a newcomer gets to a seat with it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, skip } from "./browser.mjs";
import { A, cardGateway } from "./support.mjs";

const cards = (await cardGateway()) === "sandbox";

/** The tabs in their order, and what shows that one was answered well. */
const WAY = [
  ["LogIn", /"accessToken"/],
  ["Concerts", /"title"/],
  ["EnterQueue", /"(WAITING|ACTIVE)"/],
  ["QueueStatus", /"ACTIVE"/],
  ["Seats", /"AVAILABLE"/],
  ["HoldSeat", /"HOLD"/],
  ["Charge", /"CHARGE"/],
  ["Pay", /"CONFIRMED"/],
  // Only some lines show, and the server gives what it has read first.
  ["Wallet", /"(walletEntries|reservations)"/],
  ["Cards", cards ? /"sandbox"/ : /"cardGateway":\s*null/],
  ["ChargeByCard", cards ? /"APPROVED"/ : /"GATEWAY_UNAVAILABLE"/],
  ["HoldBest", /"HOLD"/],
  ["PayByCard", cards ? /"CONFIRMED"/ : /"GATEWAY_UNAVAILABLE"/],
];

describe("GraphiQL", { skip }, () => {
  let browser;
  const faults = [];

  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  test("/ leads to it, and it renders", async () => {
    const page = await newcomer();
    const response = await page.goto(`${A}/`);
    assert.equal(new URL(page.url()).pathname.replace(/\/$/, ""), "/graphiql");
    assert.match(response.headers()["content-security-policy"] ?? "", /default-src 'self'/);
    assert.equal(await page.title(), "Frontrow – GraphiQL");
    await page.locator(".graphiql-query-editor .view-line").first().waitFor();
    await page.context().close();
  });

  test("the documentation comes from the schema", async () => {
    const page = await newcomer();
    await page.goto(`${A}/graphiql`);
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.locator(".graphiql-doc-explorer").getByText("Subscription").first().waitFor();
    await page.context().close();
  });

  test("from the first press to a seat of one's own, with nothing typed", async () => {
    const page = await newcomer();
    await page.goto(`${A}/graphiql`);
    await walk(page);
  });

  test("and with the page reloaded on the way, as soon as a tab shows", async () => {
    const page = await newcomer();
    await page.goto(`${A}/graphiql`);
    await walk(page, async (name) => ["LogIn", "QueueStatus", "Pay", "PayByCard"].includes(name) && (await page.reload()));
  });

  test("and on a slow machine, where no timer comes in time", async () => {
    const page = await newcomer();
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Emulation.setCPUThrottlingRate", { rate: 4 });
    await page.addInitScript(() => {
      const { setTimeout } = window;
      window.setTimeout = (task, delay = 0, ...args) => setTimeout(task, delay * 20, ...args);
    });
    await page.goto(`${A}/graphiql`);
    await walk(page);
  });

  const noCards = !cards && "the sandbox does not charge the cards here";
  test("a card that was declined is exchanged, and the next press pays", { skip: noCards }, async () => {
    const page = await newcomer();
    await page.goto(`${A}/graphiql`);
    await walk(page, async (name) => {
      if (!["ChargeByCard", "PayByCard"].includes(name)) return;
      await exchange(page, "tok_ok", "tok_declined");
      await press(page);
      await shows(page, name, /"CARD_DECLINED"/);
      await exchange(page, "tok_declined", "tok_ok");
    });
  });

  test("an answer that comes late is not shown in another tab, and teaches all the same", async () => {
    const page = await newcomer();
    // What the editor holds: the page shows it a moment later.
    await page.addInitScript(() => {
      window.responseShown = () => {
        const models = window.__MONACO.editor.getModels();
        return models.find(({ uri }) => uri.path.endsWith("response.json")).getValue();
      };
    });
    await page.goto(`${A}/graphiql`);
    let asked, answer;
    const waiting = new Promise((resolve) => (asked = resolve));
    const held = new Promise((resolve) => (answer = resolve));
    await page.route("**/graphql", async (route) => {
      if (!route.request().postData()?.includes("logIn(")) return route.continue();
      asked();
      await held;
      await route.continue();
    });
    await press(page);
    await waiting;
    await tab(page, "Concerts").click();
    answer();
    await page.waitForFunction(() => sessionStorage["frontrow:learned"]?.includes("Bearer"));
    assert.equal(await page.evaluate(() => responseShown()), "");
    await tab(page, "Wallet").click();
    await press(page);
    await shows(page, ...WAY[8]);
    await page.context().close();
  });

  test("nothing was asked of another host, and no error shows in the console", () => {
    assert.deepEqual(faults, []);
  });

  /** The page of somebody who was never here before. */
  async function newcomer() {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
    page.on("request", (request) => checkHost(request.url()));
    page.on("websocket", (socket) => checkHost(socket.url()));
    return page;
  }

  function checkHost(url) {
    const { protocol, host } = new URL(url);
    if (["http:", "https:", "ws:", "wss:"].includes(protocol) && host !== new URL(A).host) faults.push(`off the host: ${url}`);
  }

  /** Runs the tabs one after another as fast as the page lets one, starting with the one that shows at first. */
  async function walk(page, beforePress = async () => {}) {
    const bought = [];
    for (const [step, [name, answer]] of WAY.entries()) {
      if (step > 0) await tab(page, name).click();
      await beforePress(name);
      await press(page);
      await shows(page, name, answer);
      if (["Pay", "PayByCard"].includes(name)) bought.push((await learned(page)).reservationId);
    }
    assert.equal(await page.locator(".graphiql-tab-button").count(), WAY.length, "no tab has come or gone");
    assert.equal(new Set(bought).size, 2);
    for (const id of bought) await giveBack(page, id);
    await page.context().close();
  }

  const tab = (page, name) => page.locator(".graphiql-tab-button", { hasText: new RegExp(`^${name}$`) });
  const press = (page) => page.getByRole("button", { name: /^Execute query/ }).click();

  /** Writes another word in the variables. */
  async function exchange(page, before, after) {
    await page.evaluate(
      ([before, after]) => {
        const variables = window.__MONACO.editor.getModels().find(({ uri }) => uri.path.endsWith("variables.json"));
        const text = variables.getValue();
        if (!text.includes(before)) throw new Error(`no ${before} in ${text}`);
        variables.setValue(text.replace(before, after));
      },
      [before, after],
    );
  }

  const learned = (page) => page.evaluate(() => JSON.parse(sessionStorage["frontrow:learned"]));

  async function shows(page, name, answer) {
    await page.locator(".graphiql-response", { hasText: answer }).waitFor().catch(async () => {
      assert.fail(`${name} was answered: ${await page.locator(".graphiql-response").innerText()}`);
    });
  }

  /** Cancels what was bought, so that the demo fan stays below what one person may own, however often this runs. */
  async function giveBack(page, id) {
    const { authorization } = await learned(page);
    const response = await fetch(`${A}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify({
        query: "mutation ($id: ID!) { cancelReservation(id: $id) { reservation { status } userErrors { code } } }",
        variables: { id },
      }),
    });
    const { data } = await response.json();
    assert.equal(data.cancelReservation.reservation?.status, "CANCELLED", JSON.stringify(data));
  }
});
