// Puts what was learned into the variables and headers of the tab on show. Only where a value is blank or is what we put
// there ourselves: what somebody typed stays.
import { useEffect, useSyncExternalStore } from "react";
import { useGraphiQL } from "@graphiql/react";
import { facts, onLearned } from "./learned.js";

// What we put where, beside GraphiQL's own memory of the tabs. Headers are not in it: GraphiQL forgets them with the page.
const store = "frontrow:filled";
const filled = JSON.parse(localStorage.getItem(store)) ?? {};
const ourSessions = new Set();

export function FillIn() {
  const known = useSyncExternalStore(onLearned, facts);
  const { tabId, variableEditor, headerEditor } = useGraphiQL((state) => ({
    tabId: state.tabs[state.activeTabIndex]?.id,
    variableEditor: state.variableEditor,
    headerEditor: state.headerEditor,
  }));
  useEffect(() => {
    if (!tabId || !variableEditor || !headerEditor) return;
    // GraphiQL fills and watches its editors only a moment after a page has loaded.
    const timer = setTimeout(() => {
      edit(variableEditor, (variables) => fillVariables(variables, known, (filled[tabId] ??= {})));
      edit(headerEditor, (headers) => fillAuthorization(headers, known.authorization));
      localStorage.setItem(store, JSON.stringify(filled));
    }, 100);
    return () => clearTimeout(timer);
  }, [known, tabId, variableEditor, headerEditor]);
  return null;
}

function fillVariables(variables, known, ours) {
  for (const [name, value] of Object.entries(variables)) {
    if (name in known && (value === "" || value === null || value === ours[name])) {
      variables[name] = ours[name] = known[name];
    }
  }
}

function fillAuthorization(headers, authorization) {
  const name = Object.keys(headers).find((name) => name.toLowerCase() === "authorization") ?? "Authorization";
  if (headers[name] && !ourSessions.has(headers[name])) return;
  if (!authorization) return delete headers[name];
  ourSessions.add(authorization);
  headers[name] = authorization;
}

// Leaves alone what is not plain JSON: it is being typed.
function edit(editor, change) {
  const text = editor.getValue();
  let value;
  try {
    value = JSON.parse(text.trim() || "{}");
  } catch {
    return;
  }
  const before = JSON.stringify(value);
  change(value);
  if (JSON.stringify(value) !== before) editor.setValue(JSON.stringify(value, null, 2));
}
