import { createRoot } from "react-dom/client";
import { GraphiQL } from "graphiql";
import "graphiql/style.css";
import { fetcher } from "./fetcher.js";
import { FillIn } from "./fill-in.jsx";
import { keep, storage } from "./memory.js";
import { tabs } from "./tabs.js";

const workers = { graphql: "graphql.worker.js", json: "json.worker.js" };
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) =>
    new Worker(new URL(workers[label] ?? "editor.worker.js", import.meta.url), { type: "module" }),
};

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={tabs}
    defaultEditorToolsVisibility="variables"
    storage={storage}
    onTabChange={keep}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Logo>Frontrow</GraphiQL.Logo>
    <GraphiQL.Toolbar>
      {({ prettify, merge, copy }) => (
        <>
          {prettify}
          {merge}
          {copy}
          <FillIn />
        </>
      )}
    </GraphiQL.Toolbar>
  </GraphiQL>,
);
