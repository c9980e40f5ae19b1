// The API's rules, as far as a page meets them: what a mutation answers, and every refusal by an input that README.md lists.
import { GraphQLError } from "graphql";
import { price } from "./world.mjs";

const RETRYABLE = new Set(["RATE_LIMITED", "OVERLOADED", "INTERNAL"]);

/** An entry of `errors` as the server writes it. */
export function requestError(code, message) {
  const extensions = { code, retryable: RETRYABLE.has(code), requestId: "mock" };
  if (RETRYABLE.has(code)) extensions.retryAfterSeconds = 1;
  return new GraphQLError(message, { extensions });
}

const refusal = (field, code, message, path = ["input"], more = {}) => ({ [field]: null, userErrors: [{ code, message, path, ...more }] });
/** Everything that is wrong with a form; nothing when nothing is. Each fault is a field, a code, a message, and whether it is one. */
const refusals = (field, faults) => {
  const userErrors = faults.filter(([, , , is]) => is).map(([at, code, message]) => ({ code, message, path: ["input", at] }));
  return userErrors.length ? { [field]: null, userErrors } : undefined;
};
const done = (value) => ({ ...value, userErrors: [] });

function connection(items, { first = 20, after }) {
  if (first < 1 || first > 100) throw requestError("BAD_REQUEST", "A page has 1 to 100 items.");
  const start = after ? items.findIndex(({ id }) => id === after) + 1 : 0;
  const nodes = items.slice(start, start + first);
  const edges = nodes.map((node) => ({ node, cursor: node.id }));
  return {
    nodes, edges,
    pageInfo: { hasPreviousPage: start > 0, hasNextPage: start + first < items.length, startCursor: nodes[0]?.id ?? null, endCursor: nodes.at(-1)?.id ?? null },
  };
}

const token = (kind, email, number) => `${kind}.${Buffer.from(JSON.stringify([email, number])).toString("base64url")}`;

/** What a token of that kind says: the address and a number; nothing of any other. */
export function readToken(kind, text) {
  try {
    const [word, body] = text.split(".");
    const [email, number] = JSON.parse(Buffer.from(body, "base64url").toString());
    return word === kind && typeof email === "string" ? { email, number } : undefined;
  } catch {
    return undefined;
  }
}

/** Resolvers over a world. What they leave out, the mock makes up by its type. */
export function resolvers(world, baseUrl) {
  const signedIn = ({ person }) => person ?? fail("UNAUTHENTICATED", "Sign in first: send the access token of a session as a bearer in the Authorization header.");
  const fail = (code, message) => { throw requestError(code, message); };
  const scheduleOf = (id) => world.schedule(id) ?? fail("NOT_FOUND", "There is no such performance.");
  const session = (person) => {
    const { email } = person.user;
    const ends = world.now() + (email.startsWith("short-session@") ? 10_000 : 3_600_000);
    return {
      accessToken: token("mock", email, ends), expiresAt: new Date(ends).toISOString(), user: person.user,
      refreshToken: token("mock-refresh", email, (person.refreshed = (person.refreshed ?? 0) + 1)),
      refreshExpiresAt: new Date(world.now() + 30 * 86_400_000).toISOString(),
    };
  };

  /** The place that a queue token names, and what stands in the way of using it. */
  const opened = (person, scheduleId, token) => {
    const schedule = world.schedule(scheduleId);
    const place = schedule && person.places.get(schedule);
    if (!place || world.token(place).token !== token) return { why: "QUEUE_TOKEN_INVALID" };
    const { status } = world.token(place);
    if (status === "ACTIVE") return { place };
    return { why: status === "WAITING" ? "QUEUE_NOT_ACTIVE" : "QUEUE_ENDED" };
  };
  const TURN = {
    QUEUE_TOKEN_INVALID: "This is no queue token of yours for this performance.",
    QUEUE_NOT_ACTIVE: "It is not your turn yet.",
    QUEUE_ENDED: "Your turn is over. Enter the line again.",
  };

  const hold = (person, { scheduleId, queueToken }, choose) => {
    const { place, why } = opened(person, scheduleId, queueToken);
    if (why) return refusal("reservation", why, TURN[why], ["input", "queueToken"], { seatIds: [] });
    const mine = [...world.reservations.values()].filter((each) => each.person === person && each.schedule === place.schedule && ["HOLD", "CONFIRMED"].includes(world.shown(each).status));
    const { seats, code, message, seatIds = [], path = ["input"] } = choose(place.schedule.seats);
    if (code) return refusal("reservation", code, message, path, { seatIds });
    if (mine.flatMap(({ seats }) => seats).length + seats.length > place.schedule.maxSeatsPerPerson) {
      return refusal("reservation", "SEAT_LIMIT_REACHED", "A person may have 4 seats at this performance.", ["input"], { seatIds: [] });
    }
    return done({ reservation: world.shown(world.hold(person, place, seats)) });
  };
  const named = (ids, path) => (all) => {
    const seats = ids.map((id) => all.find((seat) => seat.id === id));
    const where = (status) => ids.filter((_, at) => seats[at]?.status === status);
    if (seats.includes(undefined)) return { code: "SEAT_NOT_FOUND", message: "There is no such seat here.", seatIds: ids.filter((_, at) => !seats[at]), path };
    if (where("SOLD_OUT").length) return { code: "SEAT_SOLD", message: "This seat is sold.", seatIds: where("SOLD_OUT"), path };
    if (where("HOLD").length) return { code: "SEAT_HELD", message: "This seat is held; it may come back.", seatIds: where("HOLD"), path };
    return { seats };
  };
  const best = ({ grade, count }) => (all) => {
    const free = (seat) => seat.grade === grade && seat.status === "AVAILABLE";
    for (let at = 0; at + count <= all.length; at += 1) {
      const block = all.slice(at, at + count);
      if (block.every((seat) => free(seat) && seat.row === block[0].row)) return { seats: block };
    }
    return { code: "NO_ADJACENT_SEATS", message: "No such neighbours are free.", path: ["input", "count"] };
  };

  /** What a card's token does: `undefined` charges. Those of the sandbox, and nothing else. */
  const CARDS = { tok_ok: undefined, tok_slow: undefined, tok_timeout: "later", tok_500: "later", tok_challenge: "asks", tok_refund_late: undefined, tok_refund_fails: undefined, tok_refund_fails_twice: undefined, tok_webhook_twice: undefined };
  const LATER_MS = 2_000;
  const challenge = (payment) => ({ redirectUrl: `${baseUrl}/challenge/${payment.id}`, clientSecret: null, expiresAt: new Date(payment.createdAt + 300_000).toISOString() });
  const paid = (payment) => {
    if (payment.status === "PENDING" && payment.later && world.now() >= payment.later) world.approve(payment);
    const errors = payment.status === "FAILED" ? [{ code: payment.failureCode, message: "The card was declined.", path: ["input", "cardToken"] }] : [];
    return { payment: world.payment(payment), userErrors: errors };
  };
  const payWith = (person, reservation, { method, amount, cardToken }) => {
    if (method === "POINT" && person.balance < amount) return refusal("payment", "INSUFFICIENT_BALANCE", "There are not enough points. Charge some first.", ["input", "amount"]);
    if (method === "CARD" && !cardToken) return refusal("payment", "CARD_TOKEN_MISSING", "A card needs its token.", ["input", "cardToken"]);
    const payment = world.newPayment(reservation, method, amount);
    if (method === "POINT") {
      world.book(person, "DEDUCT", -amount, payment);
      world.approve(payment);
    } else if (!(cardToken in CARDS)) {
      Object.assign(payment, { status: "FAILED", failureCode: "CARD_DECLINED" });
    } else if (CARDS[cardToken] === "asks") {
      payment.action = challenge(payment);
    } else if (CARDS[cardToken] === "later") {
      payment.later = world.now() + LATER_MS;
    } else {
      world.approve(payment);
    }
    return payment;
  };

  const mine = (person, id) => {
    const reservation = world.reservations.get(id);
    return reservation?.person === person ? reservation : undefined;
  };
  const matches = (search) => ({ title, artist, venue }) => [title, artist, venue].some((text) => text.toLowerCase().includes(search.toLowerCase()));

  return {
    UserError: { __resolveType: ({ __typename }) => __typename },
    Query: {
      concerts: (_, args) => connection(world.concerts.filter((concert) => matches(args.search ?? "")(concert) && (!args.availableOnly || concert.isAvailable())), args),
      concert: (_, { id }) => world.concerts.find((concert) => concert.id === id) ?? null,
      schedules: (_, { concertId, ...args }) => world.concerts.find(({ id }) => id === concertId)?.schedules(args) ?? [],
      schedule: (_, { id }) => world.schedule(id) ?? null,
      seats: (_, { scheduleId, queueToken, section, grade, status }, context) => {
        const { place, why } = opened(signedIn(context), scheduleId, queueToken);
        if (why) fail(why, TURN[why]);
        return place.schedule.seats.filter((seat) => (!section || seat.section === section) && (!grade || seat.grade === grade) && (!status || status.includes(seat.status)));
      },
      me: (_, __, context) => signedIn(context).user,
      queueStatus: (_, { scheduleId }, context) => {
        const place = signedIn(context).places.get(world.schedule(scheduleId));
        return place ? world.token(place) : null;
      },
      balance: (_, __, context) => signedIn(context).balance,
      walletEntries: (_, args, context) => connection(signedIn(context).entries, args),
      reservation: (_, { id }, context) => {
        const reservation = mine(signedIn(context), id);
        return reservation ? world.shown(reservation) : null;
      },
      reservations: (_, { status, ...args }, context) => {
        const person = signedIn(context);
        const all = [...world.reservations.values()].filter((each) => each.person === person).map((each) => world.shown(each)).reverse();
        return connection(all.filter((each) => !status || status.includes(each.status)), args);
      },
      cardGateway: () => ({ id: "gateway/sandbox", name: "sandbox", publishableKey: null }),
    },
    Mutation: {
      signUp: (_, { input: { email, password, name } }) => {
        const wrong = refusals("session", [
          ["email", "EMAIL_INVALID", "This is no address.", !/^[^@\s]+@[^@\s]+$/.test(email)],
          ["password", "PASSWORD_WEAK", "A password has 8 to 128 characters.", password.length < 8],
          ["name", "NAME_INVALID", "A name has 1 to 100 characters.", !name.trim()],
        ]);
        if (wrong) return wrong;
        if (email.startsWith("taken@")) return refusal("session", "EMAIL_TAKEN", "There is an account of this address.", ["input", "email"]);
        return done({ session: session(world.person(email.toLowerCase(), name)) });
      },
      logIn: (_, { input: { email, password } }) => {
        if (password.length < 8 || password.startsWith("wrong")) return refusal("session", "WRONG_CREDENTIALS", "Address or password is wrong.");
        return done({ session: session(world.person(email.toLowerCase())) });
      },
      refreshSession: (_, { refreshToken }) => {
        const said = readToken("mock-refresh", refreshToken);
        const person = said && world.person(said.email);
        if (!person || (person.refreshed !== undefined && person.refreshed !== said.number)) {
          return refusal("session", "SESSION_ENDED", "This session has ended. Log in again.", ["refreshToken"]);
        }
        return done({ session: session(person) });
      },
      logOut: (_, __, context) => {
        signedIn(context).refreshed = -1;
        return done({});
      },
      changePassword: (_, { input: { oldPassword, newPassword } }, context) => {
        const person = signedIn(context);
        const wrong = refusals("session", [
          ["oldPassword", "WRONG_CREDENTIALS", "This is not your password.", oldPassword.startsWith("wrong")],
          ["newPassword", "PASSWORD_WEAK", "A password has 8 to 128 characters.", newPassword.length < 8],
        ]);
        return wrong ?? done({ session: session(person) });
      },
      deleteAccount: (_, { password }, context) => {
        const person = signedIn(context);
        const refuse = (code, message) => ({ userErrors: [{ code, message, path: ["password"] }] });
        if (password.startsWith("wrong")) return refuse("WRONG_CREDENTIALS", "This is not your password.");
        const has = [...world.reservations.values()].some((each) => each.person === person && ["HOLD", "CONFIRMED"].includes(world.shown(each).status));
        if (has) return refuse("STILL_HAS_SEATS", "You have seats at performances to come.");
        world.people.delete(person.user.email);
        return done({});
      },
      enterQueue: (_, { scheduleId }, context) => {
        const person = signedIn(context);
        const schedule = world.schedule(scheduleId);
        if (!schedule) return refusal("queueToken", "SCHEDULE_NOT_FOUND", "There is no such performance.", ["scheduleId"]);
        if (schedule.room.status === "SOLD_OUT") return refusal("queueToken", "SOLD_OUT", "Everything is sold.", ["scheduleId"]);
        return done({ queueToken: world.token(world.enter(person, schedule)) });
      },
      leaveQueue: (_, { scheduleId }, context) => {
        const place = signedIn(context).places.get(world.schedule(scheduleId));
        if (!place) return refusal("queueToken", "NOT_IN_QUEUE", "You are not in this line.", ["scheduleId"]);
        place.ended ??= "EXPIRED";
        return done({ queueToken: world.token(place) });
      },
      holdSeat: (_, { input }, context) => hold(signedIn(context), input, named([input.seatId], ["input", "seatId"])),
      holdSeats: (_, { input }, context) => hold(signedIn(context), input, named(input.seatIds, ["input", "seatIds"])),
      holdBestSeats: (_, { input }, context) => hold(signedIn(context), input, best(input)),
      extendHold: (_, { reservationId }, context) => {
        const reservation = mine(signedIn(context), reservationId);
        if (!reservation) return refusal("reservation", "RESERVATION_NOT_FOUND", "You have no such reservation.", ["reservationId"]);
        if (world.shown(reservation).status !== "HOLD") return refusal("reservation", "HOLD_EXPIRED", "It is not held any more.", ["reservationId"]);
        world.extend(reservation);
        return done({ reservation: world.shown(reservation) });
      },
      cancelReservation: (_, { id }, context) => {
        const reservation = mine(signedIn(context), id);
        if (!reservation) return refusal("reservation", "RESERVATION_NOT_FOUND", "You have no such reservation.", ["id"]);
        const { status } = world.shown(reservation);
        if (status === "EXPIRED") return refusal("reservation", "RESERVATION_EXPIRED", "It has lapsed.", ["id"]);
        if (reservation.payment?.status === "PENDING") return refusal("reservation", "PAYMENT_IN_PROGRESS", "A payment is being decided.", ["id"]);
        if (status !== "CANCELLED") {
          if (reservation.payment?.status === "APPROVED") world.refund(reservation.payment);
          world.release(reservation, "CANCELLED");
        }
        return done({ reservation: world.shown(reservation) });
      },
      pay: (_, { input }, context) => {
        const person = signedIn(context);
        const print = JSON.stringify([input.reservationId, input.method, input.amount, input.cardToken]);
        const before = person.keys.get(input.idempotencyKey);
        if (before && before.print !== print) return refusal("payment", "IDEMPOTENCY_KEY_REUSED", "This key was used for another payment.", ["input", "idempotencyKey"]);
        if (before) return paid(before.payment);
        const reservation = mine(person, input.reservationId);
        if (!reservation) return refusal("payment", "RESERVATION_NOT_FOUND", "You have no such reservation.", ["input", "reservationId"]);
        const { status } = world.shown(reservation);
        if (status === "EXPIRED") return refusal("payment", "HOLD_EXPIRED", "The hold has lapsed.", ["input", "reservationId"]);
        if (status !== "HOLD") return refusal("payment", "RESERVATION_NOT_PAYABLE", "It is paid, or cancelled.", ["input", "reservationId"]);
        if (reservation.payment?.status === "PENDING") return refusal("payment", "PAYMENT_IN_PROGRESS", "Another payment is being decided.", ["input", "reservationId"]);
        if (input.amount !== price(reservation.seats)) return refusal("payment", "AMOUNT_MISMATCH", "The price is another one.", ["input", "amount"]);
        const payment = payWith(person, reservation, input);
        if (payment.userErrors) return payment;
        person.keys.set(input.idempotencyKey, { print, payment });
        return paid(payment);
      },
      charge: (_, { input: { amount, idempotencyKey, cardToken } }, context) => {
        const person = signedIn(context);
        const print = JSON.stringify([amount, cardToken]);
        const before = person.keys.get(`charge ${idempotencyKey}`);
        if (before && before.print !== print) return refusal("entry", "IDEMPOTENCY_KEY_REUSED", "This key was used for another charge.", ["input", "idempotencyKey"]);
        if (before) return done({ entry: before.entry, balance: person.balance, status: "APPROVED", action: null });
        if (amount < 1 || amount > 10_000_000_000) return refusal("entry", "AMOUNT_INVALID", "This amount cannot be charged.", ["input", "amount"]);
        if (cardToken && !(cardToken in CARDS)) return { ...refusal("entry", "CARD_DECLINED", "The card was declined.", ["input", "cardToken"]), balance: null, status: "FAILED", action: null };
        const entry = world.book(person, "CHARGE", amount);
        person.keys.set(`charge ${idempotencyKey}`, { print, entry });
        return done({ entry, balance: person.balance, status: "APPROVED", action: null });
      },
    },
    Subscription: {
      queueStatus: {
        subscribe: (_, { scheduleId }, context) => {
          const place = signedIn(context).places.get(scheduleOf(scheduleId));
          if (!place) fail("NOT_FOUND", "Enter the line first.");
          return closable(changes, "queueStatus", () => world.token(place), ({ status, position }) => `${status} ${position}`, ({ status }) => ["USED", "EXPIRED"].includes(status));
        },
      },
      seatChanges: {
        subscribe: (_, { scheduleId, queueToken }, context) => {
          const { place, why } = opened(signedIn(context), scheduleId, queueToken);
          if (why) fail(why, TURN[why]);
          return closable(seatChanges, place.schedule.seats, () => world.token(place).status === "ACTIVE");
        },
      },
      reservationChanges: { subscribe: (_, __, context) => closable(reservationChanges, world, signedIn(context)) },
    },
  };
}

const EVERY_MS = 250;
const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** What a generator yields, until nobody listens any more: a generator that waits cannot be told so by itself. */
function closable(generate, ...details) {
  let open = true;
  const generator = generate(() => open, ...details);
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => generator.next(),
    return: async (value) => {
      open = false;
      return { value, done: true };
    },
    throw: (error) => generator.throw(error),
  };
}

/** The first state, then each that differs from the one before in `key`, until it is over. */
async function* changes(open, field, look, key, over) {
  for (let last; open(); await pause(EVERY_MS)) {
    const now = look();
    if (key(now) !== last) yield { [field]: now };
    if (over(now)) return;
    last = key(now);
  }
}

async function* seatChanges(open, seats, goesOn) {
  const seen = new Map(seats.map((seat) => [seat, seat.version]));
  while (open() && goesOn()) {
    const changed = seats.filter((seat) => seen.get(seat) !== seat.version);
    changed.forEach((seat) => seen.set(seat, seat.version));
    if (changed.length) yield { seatChanges: changed };
    await pause(EVERY_MS);
  }
}

async function* reservationChanges(open, world, person) {
  const states = () => new Map([...world.reservations.values()].filter((each) => each.person === person).map((each) => [each, world.shown(each)]));
  const key = ({ status, expiresAt, payment }) => `${status} ${expiresAt} ${payment?.status}`;
  const seen = new Map([...states()].map(([each, shown]) => [each, key(shown)]));
  while (open()) {
    let wake;
    const told = new Promise((resolve) => person.told.add((wake = resolve)));
    await Promise.race([told, pause(1_000)]);
    person.told.delete(wake);
    for (const [each, shown] of states()) {
      if (seen.get(each) === key(shown)) continue;
      seen.set(each, key(shown));
      yield { reservationChanges: shown };
    }
  }
}
