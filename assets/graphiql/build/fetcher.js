// How GraphiQL reaches the server: queries and mutations by POST, subscriptions by graphql-ws, both at /graphql of this origin.
// Answers are observables, which GraphiQL leaves when another tab is chosen: one that comes late is not shown there.
import { getOperationAST, parse } from "graphql";
import { createClient } from "graphql-ws";
import { learn } from "./learned.js";

const endpoint = new URL("/graphql", location.href);

export function fetcher(request, { headers } = {}) {
  const operation = operationOf(request);
  const named = { ...request, operationName: operation?.name?.value };
  return operation?.operation === "subscription" ? subscribe(named, headers) : post(named, headers);
}

// GraphiQL looks at an operation some time after it was put into the editor, and may still name the one before.
function operationOf({ query, operationName }) {
  try {
    const document = parse(query);
    return getOperationAST(document, operationName) ?? getOperationAST(document);
  } catch {
    return undefined; // The server says what is wrong with it.
  }
}

function post(request, headers) {
  return {
    subscribe(observer) {
      let left = false;
      send(request, headers).then(
        (result) => {
          if (left) return;
          observer.next(result);
          observer.complete();
        },
        (error) => left || observer.error(error),
      );
      return { unsubscribe: () => (left = true) };
    },
  };
}

// Goes on to the end also when nobody waits for the answer: what it teaches holds.
async function send(request, headers) {
  const response = await fetch(endpoint, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json", ...headers },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  // Something between us and the server may answer with a page of its own.
  if (!response.headers.get("content-type")?.includes("json")) {
    throw new Error(`HTTP ${response.status} ${response.statusText}: ${text.slice(0, 500)}`);
  }
  return learn(JSON.parse(text));
}

// Refusals come as a list of errors and are shown like answers.
function subscribe(request, headers) {
  return {
    subscribe(observer) {
      const unsubscribe = socket(authorizationOf(headers)).subscribe(request, {
        next: (result) => observer.next(learn(result)),
        error(error) {
          if (!Array.isArray(error)) return observer.error(plain(error));
          observer.next(learn({ errors: error }));
          observer.complete();
        },
        complete: () => observer.complete(),
      });
      return { unsubscribe };
    },
  };
}

// A session is given once per connection, so other headers mean another connection.
let current;
function socket(authorization) {
  if (!current || current.authorization !== authorization) {
    current?.client.dispose();
    const client = createClient({
      url: Object.assign(new URL(endpoint), { protocol: endpoint.protocol.replace("http", "ws") }).href,
      connectionParams: authorization ? { authorization } : {},
      // A lost connection may come back; a session that was refused (4403) will not.
      shouldRetry: (event) => isClose(event) && event.code !== 4403,
    });
    current = { authorization, client };
  }
  return current.client;
}

function authorizationOf(headers = {}) {
  const name = Object.keys(headers).find((name) => name.toLowerCase() === "authorization");
  return name && headers[name];
}

// A CloseEvent has nothing of its own to print.
const plain = (error) => (isClose(error) ? new Error(`The connection was closed: ${error.code} ${error.reason}`) : error);
const isClose = (error) => error instanceof CloseEvent;
