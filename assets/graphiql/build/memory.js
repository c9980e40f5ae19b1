// What GraphiQL remembers from visit to visit. Left alone, it writes the operation, the variables and the tabs apart, each
// some time after a change, and opens one tab more when a reload finds them at odds; on a first visit it shows no variables.
// Here the tabs are all there is, written at every change. What is on show is read from them.
import { tabs } from "./tabs.js";

const tabState = "graphiql:tabState";

/** Writes down a change of the tabs. Answers are left out, and headers: they carry a session. */
export function keep(state) {
  const passing = ["response", "headers", "hash"];
  try {
    localStorage.setItem(tabState, JSON.stringify(state, (key, value) => (passing.includes(key) ? null : value)));
  } catch {
    // The browser's storage is full. The page works all the same, and is older after a reload.
  }
}

/** What GraphiQL takes for the browser's storage. */
export const storage = {
  getItem: (key) => (key in onShow ? onShow[key]() : localStorage.getItem(key)),
  setItem(key, value) {
    if (key !== tabState && !(key in onShow)) localStorage.setItem(key, value);
  },
  removeItem: (key) => localStorage.removeItem(key),
  get length() {
    return ownKeys().length;
  },
  clear: () => ownKeys().forEach((key) => localStorage.removeItem(key)),
};

const onShow = {
  "graphiql:query": () => tabOnShow().query,
  "graphiql:variables": () => tabOnShow().variables,
  "graphiql:headers": () => null,
};
const ownKeys = () => Object.keys(localStorage).filter((key) => key.startsWith("graphiql:"));

function tabOnShow() {
  try {
    const { tabs, activeTabIndex } = JSON.parse(localStorage.getItem(tabState));
    return tabs[activeTabIndex];
  } catch {
    // Nothing there, or nothing that makes sense: GraphiQL starts with our tabs then.
    return tabs[0];
  }
}
