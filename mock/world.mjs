// What the mock invents. Catalogue, halls and lines follow from names and numbers alone, so they are the same on every start;
// what people do is kept in memory until the end. Places in a line are arithmetic of the time since entering: no timers.

/** Ids that look like ours and never change. */
export const id = (kind, number) => `01a00000-${kind.toString(16).padStart(4, "0")}-7000-8000-${number.toString(16).padStart(12, "0")}`;
const CONCERT = 1, SCHEDULE = 2, SEAT = 3, PERSON = 4, RESERVATION = 5, PAYMENT = 6, ENTRY = 7, PLACE = 8;
const MINUTE = 60_000, DAY = 24 * 60 * MINUTE;
const at = (time) => new Date(time).toISOString();

/** What each line plays. `position(ms)` tells where somebody stands so long after entering; below 1 it is their turn. */
export const ROOMS = [
  { name: "short wait", status: "OPEN", position: (ms) => 24 - Math.floor(ms / 200), behind: 180 },
  { name: "no wait", status: "OPEN", position: () => 0, behind: 0 },
  { name: "long line", status: "OPEN", position: (ms) => Math.max(1, 12_000 - Math.floor(ms / 50)), behind: 30_000 },
  { name: "not open yet", status: "PREQUEUE", position: () => null, behind: 5_000 },
  { name: "paused", status: "PAUSED", position: () => 5, behind: 40 },
  { name: "sold out", status: "SOLD_OUT", position: () => 0, behind: 0 },
  { name: "turn of 10 seconds", status: "OPEN", position: () => 0, behind: 0, activeMs: 10_000 },
  { name: "everything held", status: "OPEN", position: () => 3, behind: 40, everythingHeld: true },
];
const ACTIVE_MS = 120_000, HOLD_MS = 300_000;

const CONCERTS = [
  ["Continental Drift", "The Tectonics", "Han River Dome, Seoul", "Asia/Seoul", [0, 1, 2]],
  ["Songs for an Empty Platform", "Last Train", "Alte Post, Berlin", "Europe/Berlin", [3, 4]],
  ["An Evening of Small Hours", "Nocturne Quartet", "Harbour Hall, Sydney", "Australia/Sydney", [5, 6, 7]],
];
const GRADES = [["VIP", 150_000, "Front", 1], ["R", 110_000, "Floor", 2], ["S", 70_000, "Balcony", 2]];

export class World {
  people = new Map();
  reservations = new Map();
  concerts;
  schedules = [];
  #numbers = 0;
  #now;

  constructor(now = Date.now) {
    this.#now = now;
    const opened = Math.floor(now() / DAY) * DAY - 7 * DAY;
    this.concerts = CONCERTS.map(([title, artist, venue, timeZone, rooms], index) => {
      const concert = { id: id(CONCERT, index + 1), title, artist, venue, timeZone, description: `${artist} play ${title}. One night, no support.` };
      concert.list = rooms.map((room) => this.#schedule(concert, room, opened));
      concert.schedules = ({ status, from, to, availableOnly }) => inTime(concert.list, status, from, to).filter((each) => !availableOnly || isAvailable(each));
      concert.isAvailable = () => concert.list.some(isAvailable);
      return concert;
    });
  }

  now() {
    return this.#now();
  }

  #schedule(concert, number, opened) {
    const room = ROOMS[number];
    const seats = hall(number, room);
    const startsAt = opened + (60 + number) * DAY;
    const open = room.status === "PREQUEUE" ? this.#now() + DAY : opened;
    const free = () => seats.filter(({ status }) => status === "AVAILABLE");
    const schedule = {
      id: id(SCHEDULE, number + 1), concert, room, seats,
      startsAt: at(startsAt), status: "ON_SALE", salesOpenAt: at(open), salesCloseAt: at(startsAt - MINUTE * 30), cancelUntil: at(startsAt - DAY),
      seatCount: seats.length, maxSeatsPerPerson: 4, sales: null,
      remainingSeats: () => free().length,
      grades: () => GRADES.map(([grade, price]) => {
        const all = seats.filter((seat) => seat.grade === grade);
        return { id: `${schedule.id}/grade/${grade}`, grade, price, total: all.length, remaining: all.filter(({ status }) => status === "AVAILABLE").length };
      }),
      waitingRoom: () => ({
        id: `${schedule.id}/room`, status: room.status, everythingHeld: room.everythingHeld ?? false, waitingCount: room.behind, activeCount: 20, maxActive: 20, admitPerRound: 5, roundSeconds: 1,
        estimatedWaitSeconds: room.status === "OPEN" ? 5 : null, drawCommitment: "0".repeat(64), drawSecret: null,
      }),
    };
    this.schedules.push(schedule);
    return schedule;
  }

  schedule(wanted) {
    return this.schedules.find((schedule) => schedule.id === wanted);
  }

  /** The person of that address, made where there is none: a session outlives the mock's memory. */
  person(email, name) {
    let person = this.people.get(email);
    if (!person) {
      const number = [...email].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 0xffffffff, 7);
      const role = email.startsWith("organizer@") ? "ORGANIZER" : "FAN";
      const user = { id: id(PERSON, number), email, name: name ?? email.split("@")[0], role, createdAt: at(this.#now()) };
      person = { user, balance: 0, entries: [], places: new Map(), keys: new Map(), told: new Set() };
      this.people.set(email, person);
    }
    return person;
  }

  enter(person, schedule) {
    const place = person.places.get(schedule);
    if (place && ["WAITING", "ACTIVE"].includes(this.token(place).status)) return place;
    const entered = { schedule, enteredAt: this.#now(), ended: undefined, number: (this.#numbers += 1) };
    person.places.set(schedule, entered);
    return entered;
  }

  /** A place as the API tells it. */
  token(place) {
    const { schedule, enteredAt, number } = place;
    const { room } = schedule;
    const now = this.#now();
    const position = room.position(now - enteredAt);
    const waits = position === null || position >= 1;
    let activatedAt = null;
    if (!waits) {
      let turn = enteredAt;
      while (turn < now && room.position(turn - enteredAt) >= 1) turn += 100;
      activatedAt = Math.min(turn, now);
    }
    const expiresAt = activatedAt === null ? null : activatedAt + (room.activeMs ?? ACTIVE_MS);
    const over = expiresAt !== null && now >= expiresAt ? "EXPIRED" : undefined;
    const status = place.ended ?? over ?? (waits ? "WAITING" : "ACTIVE");
    const waiting = status === "WAITING";
    return {
      id: id(PLACE, number), token: `mock-place.${schedule.id}.${number}`, scheduleId: schedule.id, status, roomStatus: room.status,
      endedBecause: status === "EXPIRED" ? (place.ended ? "LEFT" : "IDLE") : null, everythingHeld: room.everythingHeld ?? false,
      position: waiting ? position : null, waitingCount: room.behind + (waiting ? (position ?? 0) : 0),
      estimatedWaitSeconds: waiting && position !== null && room.status === "OPEN" ? Math.ceil(position / 5) : null,
      enteredAt: at(enteredAt), activatedAt: activatedAt && at(activatedAt), expiresAt: status === "ACTIVE" ? at(expiresAt) : null,
      remainingSeconds: status === "ACTIVE" ? Math.ceil((expiresAt - now) / 1_000) : 0, pollAfterSeconds: 1,
    };
  }

  hold(person, place, seats) {
    const now = this.#now();
    const reservation = { id: id(RESERVATION, this.reservations.size + 1), person, place, schedule: place.schedule, seats, heldAt: now, until: now + HOLD_MS, state: "HOLD", payment: undefined };
    this.reservations.set(reservation.id, reservation);
    for (const seat of seats) this.#change(seat, "HOLD");
    this.tell(person);
    return reservation;
  }

  /** A reservation as the API tells it; what has lapsed meanwhile is let go first. */
  shown(reservation) {
    const now = this.#now();
    if (reservation.state === "HOLD" && now >= reservation.until && reservation.payment?.status !== "PENDING") this.release(reservation, "EXPIRED");
    const { state, heldAt, until, confirmedAt, cancelledAt, seats, schedule, person, payment } = reservation;
    return {
      id: reservation.id, status: state, seats, schedule, person: person.user, payment: payment && this.payment(payment),
      totalPrice: price(seats), heldAt: at(heldAt), expiresAt: at(until), extendableUntil: at(heldAt + 2 * HOLD_MS),
      remainingSeconds: state === "HOLD" ? Math.max(0, Math.ceil((until - now) / 1_000)) : 0,
      confirmedAt: confirmedAt ? at(confirmedAt) : null, cancelledAt: cancelledAt ? at(cancelledAt) : null,
    };
  }

  extend(reservation) {
    reservation.until = Math.min(this.#now() + HOLD_MS, reservation.heldAt + 2 * HOLD_MS);
    this.tell(reservation.person);
  }

  release(reservation, state) {
    reservation.state = state;
    if (state === "CANCELLED") reservation.cancelledAt = this.#now();
    for (const seat of reservation.seats) this.#change(seat, "AVAILABLE");
    this.tell(reservation.person);
  }

  newPayment(reservation, method, amount) {
    const now = this.#now();
    const payment = { id: id(PAYMENT, (this.#numbers += 1)), reservation, method, amount, status: "PENDING", createdAt: now, failureCode: null };
    reservation.payment = payment;
    return payment;
  }

  approve(payment) {
    const { reservation } = payment;
    Object.assign(payment, { status: "APPROVED", approvedAt: this.#now() });
    Object.assign(reservation, { state: "CONFIRMED", confirmedAt: this.#now() });
    for (const seat of reservation.seats) this.#change(seat, "SOLD_OUT");
    reservation.place.ended = "USED";
    this.tell(reservation.person);
  }

  payment(payment) {
    const { status, method, amount, failureCode, createdAt, approvedAt, refundedAt, action } = payment;
    return {
      id: payment.id, status, method, amount, failureCode, createdAt: at(createdAt), approvedAt: approvedAt ? at(approvedAt) : null,
      refundedAt: refundedAt ? at(refundedAt) : null, refundStatus: status === "REFUNDED" ? "DONE" : null,
      action: status === "PENDING" && action ? { id: `${payment.id}/action`, ...action } : null, reservation: () => this.shown(payment.reservation),
    };
  }

  refund(payment) {
    Object.assign(payment, { status: "REFUNDED", refundedAt: this.#now() });
    if (payment.method === "POINT") this.book(payment.reservation.person, "ROLLBACK", payment.amount, payment);
  }

  book(person, kind, delta, payment) {
    person.balance += delta;
    const entry = { id: id(ENTRY, (this.#numbers += 1)), kind, delta, balanceAfter: person.balance, createdAt: at(this.#now()), payment: payment ? () => this.payment(payment) : null };
    person.entries.unshift(entry);
    return entry;
  }

  #change(seat, status) {
    seat.status = status;
    seat.version += 1;
  }

  /** Those who look at a person's reservations look again. */
  tell(person) {
    person.told.forEach((wake) => wake());
  }
}

export const price = (seats) => seats.reduce((sum, seat) => sum + seat.price, 0);

/** On sale, and a seat of it is not sold. */
const isAvailable = ({ status, seats }) => status === "ON_SALE" && seats.some((seat) => seat.status !== "SOLD_OUT");

/** In each row the third seat is held and the fourth is sold, by others; what is sold out is sold out, and where everything is held
    nothing is free. */
function hall(number, { status: does, everythingHeld }) {
  let count = 0;
  return GRADES.flatMap(([grade, price, section, rows]) =>
    Array.from({ length: rows }, (_, row) => Array.from({ length: 10 }, (_, seat) => {
      const status = does === "SOLD_OUT" || seat === 3 ? "SOLD_OUT" : everythingHeld || seat === 2 ? "HOLD" : "AVAILABLE";
      count += 1;
      return { id: id(SEAT, (number + 1) * 1_000 + count), section, row: "ABC"[row], number: seat + 1, grade, price, status, version: 1 };
    })).flat());
}

function inTime(list, status, from, to) {
  const starts = (schedule) => Date.parse(schedule.startsAt);
  return list.filter((schedule) => (!status || status.includes(schedule.status))
    && (!from || starts(schedule) >= Date.parse(from)) && (!to || starts(schedule) < Date.parse(to)));
}
