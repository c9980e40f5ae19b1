// Bundles GraphiQL into ../dist: everything the page needs and nothing from another host. Same input, same bytes.
import { execFileSync } from "node:child_process";
import { copyFile, mkdir, readFile, readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = fileURLToPath(new URL("../dist/", import.meta.url));

// GraphiQL's stylesheet carries Monaco's styles already, and web fonts for eight alphabets in three styles. We keep Latin
// upright (other alphabets use the reader's own fonts), which halves the whole download.
const lean = {
  name: "lean-styles",
  setup(build) {
    build.onLoad({ filter: /monaco-editor\/.*\.css$/ }, () => ({ contents: "", loader: "css" }));
    build.onLoad({ filter: /graphiql\/dist\/style\.css$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace(/@font-face\s*\{[^}]*\}/g, keep),
      loader: "css",
    }));
  },
};
function keep(face) {
  const text = /font-family:\s*["']?(Roboto|Fira Code)/.test(face);
  const latin = /U\+0000-00FF/i.test(face) && !/font-style:\s*italic/.test(face);
  return text && !latin ? "" : face;
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: {
    graphiql: "main.jsx",
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  },
  outdir: dist,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".ttf": "dataurl" },
  legalComments: "eof",
  logLevel: "warning",
  plugins: [lean],
});

const unused = /^(editor|json|graphql)\.worker\.css$/;
for (const file of await readdir(dist)) {
  if (unused.test(file)) await rm(dist + file);
  // gzip's -n leaves the time and the name out, so that an unchanged bundle is an unchanged file.
  else execFileSync("gzip", ["-9", "-n", dist + file]);
}
await copyFile(here + "index.html", dist + "index.html");
