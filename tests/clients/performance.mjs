// A performance on sale, for tests that need one of their own.
import { Person, accepted, gql, unique } from "./support.mjs";

const CREATE_CONCERT = gql`mutation CreateConcert($input: CreateConcertInput!) { createConcert(input: $input) { concert { id } userErrors { code message path } } }`;
const CREATE_SCHEDULE = gql`mutation CreateSchedule($input: CreateScheduleInput!) { createSchedule(input: $input) { schedule { id } userErrors { code message path } } }`;
const OPEN_SALE = gql`mutation OpenSale($id: ID!) { openSale(scheduleId: $id) { userErrors { code message } } }`;
const CLOSE_SALE = gql`mutation CloseSale($id: ID!) { closeSale(scheduleId: $id) { userErrors { code message } } }`;

/** One of a concert with a title, with ten seats at a price, and how its sale is closed in the end. */
export async function performanceOnSale(title, price) {
  const { FRONTROW_TEST_ORGANIZER_EMAIL: email, FRONTROW_TEST_ORGANIZER_PASSWORD: password } = process.env;
  const organizer = await Person.logIn(email, password);
  const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString();
  const concert = { title: unique(title), artist: "The Clients", venue: "Small Hall", description: "", timeZone: "Asia/Seoul" };
  const schedule = {
    concertId: accepted(await organizer.mutate(CREATE_CONCERT, { input: concert })).concert.id,
    salesOpenAt: day(-1), salesCloseAt: day(29), startsAt: day(30),
    sections: [{ name: "Floor", grade: "R", price, rows: 1, seatsPerRow: 10 }],
    waitingRoom: { maxActive: 10, admitPerRound: 10, roundSeconds: 0.1 },
  };
  const { id } = accepted(await organizer.mutate(CREATE_SCHEDULE, { input: schedule })).schedule;
  accepted(await organizer.mutate(OPEN_SALE, { id }));
  const close = async () => {
    accepted(await organizer.mutate(CLOSE_SALE, { id }));
    await organizer.close();
  };
  return { id, title: concert.title, close };
}
