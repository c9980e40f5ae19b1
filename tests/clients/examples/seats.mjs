import { ApolloLink } from "@apollo/client";
import { map } from "rxjs";

/** Lets no older state of a seat into the cache than the newest that came, whether in `seats`, in `seatChanges` or with a reservation. */
export function newestSeats() {
  const newest = new Map();
  const look = (key, value) => {
    if (value?.__typename !== "Seat" || value.version === undefined) return value;
    const known = newest.get(value.id);
    if (known?.version > value.version) return { ...value, status: known.status, version: known.version };
    newest.set(value.id, { status: value.status, version: value.version });
    return value;
  };
  const read = (result) => ({ ...result, data: JSON.parse(JSON.stringify(result.data ?? null), look) });
  return new ApolloLink((operation, forward) => forward(operation).pipe(map(read)));
}
