// A card whose bank wants something of the buyer: they go to its page with a browser, answer, and come back.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { launch, skip as noBrowser } from "./browser.mjs";
import { A, Person, accepted, cardGateway, gql, refused, unique } from "./support.mjs";

const CONCERTS = gql`query Concerts { concerts(search: "Continental Drift") { nodes { schedules { id } } } }`;
const ENTER = gql`mutation Enter($id: ID!) { enterQueue(scheduleId: $id) { queueToken { status } userErrors { code } } }`;
const QUEUE_STATUS = gql`subscription QueueStatus($id: ID!) { queueStatus(scheduleId: $id) { token status } }`;
const HOLD = gql`
  mutation Hold($input: HoldBestSeatsInput!) {
    holdBestSeats(input: $input) { reservation { id status totalPrice } userErrors { code message } }
  }
`;
const PAY = gql`
  mutation Pay($input: PayInput!) {
    pay(input: $input) {
      payment { id status failureCode action { redirectUrl } reservation { status } }
      userErrors { code message }
    }
  }
`;
const RESERVATION = gql`query Reservation($id: ID!) { reservation(id: $id) { status payment { id status failureCode } } }`;
const CHARGE = gql`
  mutation Charge($input: ChargeInput!) {
    charge(input: $input) { status balance action { redirectUrl } userErrors { code message } }
  }
`;
const CANCEL = gql`mutation Cancel($id: ID!) { cancelReservation(id: $id) { reservation { status } userErrors { code } } }`;

const noSandbox = (await cardGateway()) !== "sandbox" && "the sandbox does not charge the cards here";

describe("a card whose bank asks the buyer", { skip: noBrowser || noSandbox }, () => {
  let browser, fan, id, queueToken;

  before(async () => {
    browser = await launch();
    fan = await Person.signUp("card");
    const { nodes } = await fan.query(CONCERTS);
    id = nodes[0].schedules[0].id;
    accepted(await fan.mutate(ENTER, { id }));
    const queue = fan.subscribe(QUEUE_STATUS, { id });
    queueToken = (await queue.event(({ status }) => status === "ACTIVE", "ACTIVE")).token;
    queue.stop();
  });
  after(async () => {
    await fan?.close();
    await browser?.close();
  });

  test("confirmed: back in the shop, the payment is APPROVED and the seat sold, with nothing asked again", async () => {
    const { reservation, input, payment } = await payByChallenge();
    await answerTheBank(payment.action.redirectUrl, "Confirm the payment", input.returnUrl);

    // The sandbox tells the server, and nobody repeats the order: a buyer may never come back.
    const sold = await decided(reservation);
    assert.deepEqual([sold.status, sold.payment.id, sold.payment.status], ["CONFIRMED", payment.id, "APPROVED"]);

    const again = accepted(await fan.mutate(PAY, { input })).payment;
    assert.deepEqual([again.id, again.status, again.action], [payment.id, "APPROVED", null]);
    await giveBack(reservation);
  });

  test("refused: back in the shop, the payment is FAILED, and the seat is held for another card", async () => {
    const { reservation, input, payment } = await payByChallenge();
    await answerTheBank(payment.action.redirectUrl, "Refuse it", input.returnUrl);

    const repeated = await fan.mutate(PAY, { input });
    assert.equal(refused(repeated), "CARD_ACTION_FAILED");
    const { id, status, failureCode } = repeated.payment;
    assert.deepEqual([id, status, failureCode], [payment.id, "FAILED", "CARD_ACTION_FAILED"]);
    const { status: held, payment: last } = await fan.query(RESERVATION, { id: reservation.id });
    assert.deepEqual([held, last.id, last.failureCode], ["HOLD", payment.id, "CARD_ACTION_FAILED"]);

    const other = { ...input, cardToken: "tok_ok", idempotencyKey: unique("pay") };
    const { payment: paid } = accepted(await fan.mutate(PAY, { input: other }));
    assert.deepEqual([paid.status, paid.reservation.status], ["APPROVED", "CONFIRMED"]);
    await giveBack(reservation);
  });

  test("points by such a card are there after it was confirmed", async () => {
    const input = { amount: 5_000, idempotencyKey: unique("charge"), cardToken: "tok_challenge", returnUrl: returnUrl() };
    const asked = accepted(await fan.mutate(CHARGE, { input }));
    assert.equal(asked.status, "PENDING");
    await answerTheBank(asked.action.redirectUrl, "Confirm the payment", input.returnUrl);
    const { status, balance } = accepted(await fan.mutate(CHARGE, { input }));
    assert.deepEqual([status, balance], ["APPROVED", 5_000]);
  });

  /** Holds a seat and begins to pay for it, until the bank wants something. */
  async function payByChallenge() {
    const hold = { scheduleId: id, grade: "S", count: 1, queueToken };
    const { reservation } = accepted(await fan.mutate(HOLD, { input: hold }));
    const input = {
      reservationId: reservation.id,
      method: "CARD",
      amount: reservation.totalPrice,
      idempotencyKey: unique("pay"),
      cardToken: "tok_challenge",
      returnUrl: returnUrl(),
    };
    const { payment } = accepted(await fan.mutate(PAY, { input }));
    assert.deepEqual([payment.status, payment.reservation.status], ["PENDING", "HOLD"]);
    return { reservation, input, payment };
  }

  /** Opens the bank's page as a person does, presses a button there, and is back in the shop. */
  async function answerTheBank(redirectUrl, button, back) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(redirectUrl);
    assert.equal(await page.getByRole("heading").innerText(), "Confirm your payment");
    await page.getByRole("button", { name: button }).click();
    await page.waitForURL(back);
    assert.equal(await page.title(), "Frontrow – GraphiQL");

    // Who goes back to the page later cannot answer once more.
    await page.goto(redirectUrl);
    assert.equal(await page.getByRole("button").count(), 0);
    await page.getByRole("link", { name: "Back to the shop" }).click();
    await page.waitForURL(back);
    await context.close();
  }

  /** The reservation, once its payment is not PENDING any more. */
  async function decided({ id }) {
    const end = Date.now() + 15_000;
    for (;;) {
      const reservation = await fan.query(RESERVATION, { id });
      if (reservation.payment.status !== "PENDING") return reservation;
      assert(Date.now() < end, "the payment is PENDING after 15 s");
      await pause(100);
    }
  }

  async function giveBack({ id }) {
    assert.equal(accepted(await fan.mutate(CANCEL, { id })).reservation.status, "CANCELLED");
  }
});

/** An address of the shop that comes back as it was written. */
const returnUrl = () => `${A}/graphiql?order=${unique("order")}&from=bank`;
