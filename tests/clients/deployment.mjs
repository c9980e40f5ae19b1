// Two instances of the server and the real nginx of deploy/nginx in front of them, for tests that stop and start them.
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { appendFileSync, chmodSync, cpSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const PASSWORD = "a fair long password";

/** The path of a program, or nothing and the reason printed where it cannot be had. */
export const program = (name) => installed("scripts/program.sh", name);

/** What a script that installs something prints, or nothing and the reason printed where it cannot. */
export function installed(script, ...words) {
  try {
    return execFileSync(join(root, script), words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
  } catch (error) {
    // A line each; the last one is the script's own.
    const reason = `tests/clients: ${words[0] ?? script} (${String(error.stderr).trim().split("\n").at(-1)})`;
    console.log(`==> skipped: ${reason}`);
    if (process.env.FRONTROW_TEST_SKIPPED) appendFileSync(process.env.FRONTROW_TEST_SKIPPED, `${reason}\n`);
    return undefined;
  }
}

export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  servers.forEach((server) => server.close());
  return ports;
}

/** An instance in a process of its own, always at the same port. */
export class Instance {
  #child;

  constructor(name, port, folder, environment) {
    this.name = name;
    this.port = port;
    this.log = join(folder, `${name}.log`);
    this.environment = { ...environment, FRONTROW_LISTEN: `127.0.0.1:${port}`, FRONTROW_LOG: "info" };
  }

  async start() {
    const log = openSync(this.log, "a");
    const env = { ...process.env, ...this.environment };
    this.#child = spawn(process.env.FRONTROW_TEST_BIN, ["serve"], { env, stdio: ["ignore", log, log] });
    await this.ready();
  }

  async ready() {
    for (let tries = 0; tries < 600; tries += 1) {
      const answer = await fetch(`http://127.0.0.1:${this.port}/health/ready`).catch(() => undefined);
      await answer?.arrayBuffer();
      if (answer?.ok) return;
      if (this.#child.exitCode !== null) break;
      await pause(50);
    }
    throw new Error(`${this.name} is not ready: ${readFileSync(this.log, "utf8").slice(-2000)}`);
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Tells it to stop, and resolves when it has, with its exit code. */
  async stop(signal = "SIGTERM") {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return undefined;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGCONT");
    this.#child.kill(signal);
    const [code] = await ended;
    return code;
  }

  /** Operations that it has logged, an object each. A slow one has a second line, which is none. */
  operations() {
    const lines = readFileSync(this.log, "utf8").split("\n").filter((line) => line.includes('"request_id"'));
    const entries = lines.flatMap((line) => {
      try {
        const entry = JSON.parse(line);
        return [entry.fields ?? entry];
      } catch {
        return [];
      }
    });
    return entries.filter(({ message }) => message === "request");
  }
}

/** The configuration in deploy/nginx, with ports, certificate and log of a test, and nothing else changed. */
export class Nginx {
  #child;

  constructor(binary, folder, { port, plain, instances, mock }) {
    this.port = port;
    this.plain = plain;
    this.log = join(folder, "nginx.log");
    this.access = join(folder, "access.log");
    const config = join(folder, "nginx");
    cpSync(join(root, "deploy/nginx"), config, { recursive: true });
    this.ca = certificate(folder);
    const change = (file, ...changes) => {
      const path = join(config, file);
      let text = readFileSync(path, "utf8");
      for (const [from, to] of changes) {
        if (!text.includes(from)) throw new Error(`deploy/nginx/${file} has no ${from}`);
        text = text.replaceAll(from, to);
      }
      writeFileSync(path, text);
    };
    change("frontrow/listen.conf", ["listen 443", `listen 127.0.0.1:${port}`], ["listen [::]:443 ssl http2;", ""],
      ["/etc/nginx/tls", folder], ["/var/log/nginx/access.log", this.access], ["/var/log/nginx/error.log", this.log]);
    change("frontrow/redirect.conf", ["listen 80", `listen 127.0.0.1:${plain}`], ["listen [::]:80;", ""]);
    change("frontrow/upstreams.conf", ...instances.map((to, at) => [`127.0.0.1:${8000 + at}`, `127.0.0.1:${to}`]));
    // Load comes from 127.0.0.1; other addresses meet the limits as they are.
    change("frontrow/limits.conf", ["default 0;", "default 0;\n    127.0.0.1 1;"]);
    change("frontrow/extra/mock.conf", ["127.0.0.1:8040", `127.0.0.1:${mock ?? 9}`]);
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/temp_${name};\n`);
    writeFileSync(join(config, "frontrow/http/paths.conf"), paths.join(""));
    chmodSync(folder, 0o755);
    this.arguments = ["-e", this.log, "-p", config, "-c", join(config, "nginx.conf"), "-g", `daemon off; pid ${folder}/nginx.pid;`];
    this.binary = binary;
  }

  /** What its log says of instances that it could not use, but for those that refused, which is as it should be. */
  errors() {
    const lines = readFileSync(this.log, "utf8").split("\n").filter((line) => line.includes("upstream") && !line.includes("Connection refused"));
    return lines.slice(-20).join("\n");
  }

  check() {
    execFileSync(this.binary, [...this.arguments, "-t"], { stdio: ["ignore", "ignore", "pipe"] });
  }

  async start() {
    this.#child = spawn(this.binary, this.arguments, { stdio: ["ignore", "inherit", "inherit"] });
    for (let tries = 0; tries < 100; tries += 1) {
      if (await fetch(`http://127.0.0.1:${this.plain}/`, { redirect: "manual" }).catch(() => undefined)) return;
      await pause(50);
    }
    throw new Error(`nginx does not answer: ${readFileSync(this.log, "utf8").slice(-2000)}`);
  }

  async stop() {
    if (!this.#child || this.#child.exitCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await ended;
  }
}

function certificate(folder) {
  const [key, cert] = [join(folder, "frontrow.key"), join(folder, "frontrow.crt")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
  { stdio: "ignore" });
  return readFileSync(cert);
}

/** Two instances on a database of their own, and nginx. */
export class Deployment {
  static async start(nginx, settings = {}) {
    const deployment = new Deployment();
    try {
      await deployment.#start(nginx, settings);
    } catch (error) {
      await deployment.stop();
      throw error;
    }
    return deployment;
  }

  async #start(nginx, settings) {
    this.folder = mkdtempSync(join(tmpdir(), "frontrow-nginx-"));
    const database = `frontrow_nginx_${randomBytes(6).toString("hex")}`;
    this.database = database;
    const url = execFileSync("node", ["setup.mjs", "create-database", process.env.FRONTROW_TEST_SERVER_URL, database], { encoding: "utf8", cwd: import.meta.dirname });
    const environment = { DATABASE_URL: url.trim(), FRONTROW_REDIS_PREFIX: database, FRONTROW_CARD_GATEWAY: "", FRONTROW_DATABASE_POOL: "8", ...settings };
    // A fan of a test does in a second what people do in an hour.
    for (const name of ["FRONTROW_REQUESTS_PER_PERSON", "FRONTROW_ORDERS_PER_PERSON"]) environment[name] ??= "0";
    for (const name of ["FRONTROW_SANDBOX_URL", "FRONTROW_SANDBOX_SECRET", "FRONTROW_FREE_CHARGE", "FRONTROW_CARD_GATEWAY"]) delete environment[name];
    this.environment = environment;
    const [port, plain, ...ports] = await freePorts(5);
    this.run("migrate");
    this.instances = ports.slice(0, 2).map((port, at) => new Instance("ab"[at], port, this.folder, environment));
    await Promise.all(this.instances.map((instance) => instance.start()));
    this.nginx = new Nginx(nginx, this.folder, { port, plain, instances: ports.slice(0, 2), mock: ports[2] });
    this.mockPort = ports[2];
    this.nginx.check();
    await this.nginx.start();
    this.url = `https://127.0.0.1:${port}`;
  }

  /** Runs a command of the program on this database; returns what it prints. */
  run(...words) {
    const input = `${PASSWORD}\n`;
    return execFileSync(process.env.FRONTROW_TEST_BIN, words, { env: { ...process.env, ...this.environment }, encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] });
  }

  /** Sessions of so many fans. */
  fans(count) {
    const file = join(this.folder, "fans.jsonl");
    this.run("seed", "--fans", String(count), "--sessions", file);
    return readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  }

  /** Starts the mock where nginx looks for it. */
  async startMock() {
    const env = { ...process.env, FRONTROW_MOCK_LISTEN: `127.0.0.1:${this.mockPort}` };
    this.mock = spawn(join(root, "mock/run"), ["server.mjs"], { env, stdio: ["ignore", "pipe", "inherit"] });
    await once(this.mock.stdout, "data");
  }

  async stop() {
    await this.nginx?.stop();
    this.mock?.kill();
    await Promise.all((this.instances ?? []).map((instance) => instance.stop("SIGKILL")));
    if (this.database) {
      execFileSync("node", ["setup.mjs", "drop-database", process.env.FRONTROW_TEST_SERVER_URL, this.database], { cwd: import.meta.dirname });
    }
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** GraphQL over HTTP/2 or HTTP/1.1, with TLS, from any loopback address. */
export class Wire {
  #session;
  #agent;

  constructor(nginx, { protocol = "h2", localAddress } = {}) {
    this.nginx = nginx;
    this.protocol = protocol;
    this.localAddress = localAddress;
    this.#agent = new https.Agent({ keepAlive: true, ca: nginx.ca, localAddress, maxSockets: 64 });
  }

  /** Resolves to status, headers and the body as text. Rejects when the connection breaks or nothing comes in `within` ms. */
  async request(path, { method = "GET", headers = {}, body, within = 30_000 } = {}) {
    const over = () => (this.protocol === "h2" ? this.#over2(path, method, headers, body) : this.#over1(path, method, headers, body));
    // A refused stream was not looked at (RFC 9113, 8.7), so a browser sends the request again, whatever it is.
    const again = (error) => (error.message.includes("REFUSED_STREAM") ? over() : Promise.reject(error));
    return Promise.race([over().catch(again), late(within)]);
  }

  /** Sends a document; resolves to `{ status, data, errors, id }`, the id being the request's own. */
  async graphql(query, variables, { token, op, id = randomBytes(12).toString("hex"), within } = {}) {
    const headers = { "content-type": "application/json", accept: "application/graphql-response+json, application/json;q=0.9", "x-request-id": id };
    if (token) headers.authorization = `Bearer ${token}`;
    const path = op ? `/graphql?op=${op}` : "/graphql";
    const answer = await this.request(path, { method: "POST", headers, body: JSON.stringify({ query, variables }), within });
    return { status: answer.status, headers: answer.headers, id, ...JSON.parse(answer.text) };
  }

  #over2(path, method, headers, body) {
    if (!this.#session || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(`https://127.0.0.1:${this.nginx.port}`, { ca: this.nginx.ca, localAddress: this.localAddress });
      this.#session.on("error", () => {});
    }
    const session = this.#session;
    return new Promise((resolve, reject) => {
      const stream = session.request({ ":method": method, ":path": path, ...headers });
      const parts = [];
      let answered;
      stream.on("response", (head) => (answered = head));
      stream.on("data", (part) => parts.push(part));
      stream.on("error", reject);
      stream.on("close", () => {
        if (!answered) reject(new Error("the stream closed without an answer"));
        else resolve({ status: answered[":status"], headers: answered, text: Buffer.concat(parts).toString() });
      });
      stream.end(body);
    });
  }

  #over1(path, method, headers, body) {
    return new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) };
      const request = https.request({ host: "127.0.0.1", port: this.nginx.port, path, method, agent: this.#agent, headers: { ...headers, ...length } });
      request.on("error", reject);
      request.on("response", (answer) => {
        const parts = [];
        answer.on("data", (part) => parts.push(part));
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text: Buffer.concat(parts).toString() }));
      });
      request.end(body);
    });
  }

  /** Subscribes by an event stream over HTTP/2; what it told so far, whether it has ended, and its end. */
  events(query, variables, token) {
    const session = http2.connect(`https://127.0.0.1:${this.nginx.port}`, { ca: this.nginx.ca });
    const told = { text: "", ended: undefined, close: () => session.destroy() };
    session.on("error", (error) => (told.ended = error));
    const headers = { "content-type": "application/json", accept: "text/event-stream", authorization: `Bearer ${token}` };
    const stream = session.request({ ":method": "POST", ":path": "/graphql", ...headers });
    stream.on("data", (part) => (told.text += part));
    stream.on("error", (error) => (told.ended ??= error));
    stream.on("close", () => (told.ended ??= "closed"));
    stream.end(JSON.stringify({ query, variables }));
    return told;
  }

  close() {
    this.#session?.destroy();
    this.#agent.destroy();
  }
}

const late = (within) => pause(within, undefined, { ref: false }).then(() => Promise.reject(new Error(`no answer in ${within} ms`)));
