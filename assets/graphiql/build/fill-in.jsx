// Puts what was learned into the variables and headers of the tab on show. Only where a value is blank or is what we put
// there ourselves: what somebody typed stays.
import { useLayoutEffect, useSyncExternalStore } from "react";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { facts, onLearned } from "./learned.js";

// What we put where, beside GraphiQL's own memory of the tabs. Headers are not in it: they are forgotten with the page.
const store = "frontrow:filled";
const filled = JSON.parse(localStorage.getItem(store)) ?? {};
const ourSessions = new Set();

export function FillIn() {
  const known = useSyncExternalStore(onLearned, facts);
  const { updateActiveTabValues } = useGraphiQLActions();
  const { tabId, queryEditor, variableEditor, headerEditor, responseEditor } = useGraphiQL((state) => ({
    tabId: state.tabs[state.activeTabIndex]?.id,
    queryEditor: state.queryEditor,
    variableEditor: state.variableEditor,
    headerEditor: state.headerEditor,
    responseEditor: state.responseEditor,
  }));
  // A layout effect, because it is over before the browser takes the next click: that one may send what stands here.
  useLayoutEffect(() => {
    if (!tabId || !queryEditor || !variableEditor || !headerEditor || !responseEditor) return;
    const variables = edit(variableEditor, (variables) => fillVariables(variables, known, (filled[tabId] ??= {})));
    const headers = edit(headerEditor, (headers) => fillAuthorization(headers, known.authorization));
    if (variables || headers) {
      // GraphiQL itself would note it a moment later, and right after a page has loaded not at all.
      updateActiveTabValues({ variables: variableEditor.getValue(), headers: headerEditor.getValue() });
      localStorage.setItem(store, JSON.stringify(filled));
    }
    // Shows the button: pressed before now, it would do nothing (index.html).
    document.getElementById("graphiql").classList.add("ready");
  }, [known, tabId, queryEditor, variableEditor, headerEditor, responseEditor]);
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

// Whether anything changed. Leaves alone what is not plain JSON: it is being typed.
function edit(editor, change) {
  const text = editor.getValue();
  let value;
  try {
    value = JSON.parse(text.trim() || "{}");
  } catch {
    return false;
  }
  const before = JSON.stringify(value);
  change(value);
  const changed = JSON.stringify(value) !== before;
  if (changed) editor.setValue(JSON.stringify(value, null, 2));
  return changed;
}
