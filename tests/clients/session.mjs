import { createClient } from "graphql-ws";

/** A client whose socket goes on with each new session. `session` says the present one, `refresh` gets a new one by HTTP. */
export function createSessionClient({ url, session, refresh, ...options }) {
  let socket;
  let ended = false;
  const authorization = () => ({ authorization: `Bearer ${session().accessToken}` });
  const client = createClient({
    ...options,
    url,
    // Asked anew for each connection. A device that slept comes back with a session that is over.
    connectionParams: async () => {
      if (ended || Date.parse(session().expiresAt) <= Date.now()) await refresh();
      return authorization();
    },
  });
  client.on("opened", (opened) => (socket = opened));
  client.on("closed", ({ code }) => (ended = code === 4403));
  client.on("ping", async (received, payload) => {
    if (!received || !payload?.sessionExpiresAt) return;
    const warned = socket;
    await refresh();
    if (warned.readyState === warned.OPEN) warned.send(JSON.stringify({ type: "ping", payload: authorization() }));
  });
  return client;
}
