// What the answers teach: the session, and the ids that the next operation asks for, so that each tab is ready to run after
// the one before it. Kept in sessionStorage, because a session has no business outliving the browser tab.
const store = "frontrow:learned";
const listeners = new Set();
let learned = {
  chargeKey: `charge-${randomId()}`,
  cardChargeKey: `card-${randomId()}`,
  ...JSON.parse(sessionStorage.getItem(store)),
};

/** The newest facts by name; a new object at every change, as React's useSyncExternalStore wants it. */
export const facts = () => learned;

export function onLearned(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Notes what is worth knowing in a response, and hands the response on. */
export function learn(response) {
  const news = {};
  visit("data", response?.data, news);
  // With a session that has ended even logging in again may be refused, so it leaves the headers.
  if (response?.errors?.some(({ extensions }) => extensions?.code === "UNAUTHENTICATED")) news.authorization = null;
  if (Object.entries(news).some(([name, fact]) => learned[name] !== fact)) {
    learned = { ...learned, ...news };
    sessionStorage.setItem(store, JSON.stringify(learned));
    listeners.forEach((listener) => listener());
  }
  return response;
}

// By the name of the field. Of a list the first useful one counts: a performance that admits people, a free seat.
const lessons = {
  session: ({ accessToken }) => ({ authorization: accessToken && `Bearer ${accessToken}` }),
  schedules: ({ id, grades, waitingRoom }) =>
    waitingRoom?.status === "OPEN" ? { scheduleId: id, grade: grades?.find(({ remaining }) => remaining > 0)?.grade } : {},
  queueToken: ({ token, scheduleId }) => ({ queueToken: token, scheduleId }),
  queueStatus: ({ token, scheduleId }) => ({ queueToken: token, scheduleId }),
  seats: ({ id, status }) => ({ seatId: status === "AVAILABLE" ? id : undefined }),
  reservation: ({ id, status, totalPrice }) =>
    // One payment per reservation is what the buyer means, so the reservation makes a good idempotency key.
    status === "HOLD" ? { reservationId: id, amount: totalPrice, paymentKey: `pay-${id}` } : {},
  // One that FAILED has used its key up. The next press is a new attempt.
  payment: ({ id, status }) => (status === "FAILED" && id ? { paymentKey: `pay-${id}` } : {}),
  charge: ({ status }) => (status === "FAILED" ? { cardChargeKey: `card-${randomId()}` } : {}),
};

function visit(field, value, news) {
  if (Array.isArray(value)) return value.forEach((item) => visit(field, item, news));
  if (value === null || typeof value !== "object") return;
  for (const [name, fact] of Object.entries(lessons[field]?.(value) ?? {})) {
    if (fact !== undefined) news[name] ??= fact;
  }
  for (const [name, child] of Object.entries(value)) visit(name, child, news);
}

// crypto.randomUUID is missing where the page does not come over TLS or from localhost.
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
