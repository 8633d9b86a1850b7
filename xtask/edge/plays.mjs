// Plays what core's own tests have played, with the WebAssembly: `node plays.mjs FOLDER PLAYS`, a folder with libra.js and
// libra_bg.wasm, and one of plays (crates/core/tests/harness/play.rs says what they are). For each request the same has to go
// up, in the same order, and the client has to see the same, byte for byte, after the same time.
//
// Time is made up, as it is in those tests: it passes when nothing else is left to do. Chance is what it is there.
// NOT_HERE names tests that cannot be played, each followed by "=why", one a line. `PASS test`, `FAIL test - why` or
// `SKIP test - why` a line.

import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, plays] = process.argv.slice(2).map((path) => resolve(path));
const module = new WebAssembly.Module(readFileSync(resolve(folder, "libra_bg.wasm")));
const notHere = new Map(
  (process.env.NOT_HERE ?? "")
    .split("\n")
    .filter(Boolean)
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
);

/** Milliseconds by which a platform's timers may be later than those of the tests, for each that is waited for. */
const LATE = 50;
/** The seed of the tests' gateways. */
const SEED = 1;
/** Headers that say how a platform sends a body, which is not the gateway's to say. */
const OF_THE_PLATFORM = ["content-length", "transfer-encoding"];

let now = 0;
let timers = [];
Date.now = () => now;
crypto.getRandomValues = (bytes) => {
  bytes.fill(0);
  bytes[0] = SEED;
  return bytes;
};
globalThis.setTimeout = (call, delay) => {
  const timer = { at: now + Math.max(0, delay), call };
  timers.push(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => (timers = timers.filter((other) => other !== timer));
const print = console.log;
console.log = console.error = () => {};

/** What comes of a promise, for which as much time passes as has to. */
async function settled(promise) {
  let is = false;
  promise.then(
    () => (is = true),
    () => (is = true),
  );
  for (;;) {
    // All that is ready is done in between.
    for (let turn = 0; turn < 3 && !is; turn += 1) await new Promise(setImmediate);
    if (is) return promise;
    const next = timers.reduce((first, timer) => (timer.at < first.at ? timer : first), timers[0] ?? raise("it waits for nothing"));
    clearTimeout(next);
    now = Math.max(now, next.at);
    next.call();
  }
}

function raise(why) {
  throw new Error(why);
}

const bytes = (base64) => Buffer.from(base64, "base64");
const shown = (bytes) => JSON.stringify(Buffer.from(bytes).toString("utf8").slice(0, 300));

function same(what, is, expected) {
  if (is !== expected) raise(`${what} is ${is}, not ${expected}`);
}

function sameBytes(what, is, expected) {
  if (Buffer.compare(Buffer.from(is), expected) !== 0) raise(`${what} is ${shown(is)}, not ${shown(expected)}`);
}

function sameHeaders(what, is, expected) {
  const fields = (all) =>
    JSON.stringify([...all].filter(([name]) => !OF_THE_PLATFORM.includes(name)).sort(([a], [b]) => (a < b ? -1 : 1)));
  same(what, fields(new Headers(is)), fields(new Headers(expected)));
}

/** The upstream's answer to a request, which has to be the next of the play. */
function upstream(expected, wrong) {
  return async (uri, init) => {
    // Keys that were set aside are tried beside a request. In the tests nobody does.
    if (uri.endsWith(":countTokens") && !expected[0]?.uri.endsWith(":countTokens")) throw new TypeError("there is no connection");
    const next = expected.shift();
    try {
      if (!next) raise(`a request too much went up: ${init.method} ${uri}`);
      same("what went up", `${init.method} ${uri}`, `${next.method} ${next.uri}`);
      sameHeaders("the head that went up", init.headers, next.headers);
      if (next.body !== null) sameBytes("the body that went up", init.body ?? [], bytes(next.body));
    } catch (error) {
      wrong.push(error.message);
      throw error;
    }
    const { status, headers, chunks, end, after } = next.answer;
    if (after > 0) await new Promise((resolve) => setTimeout(resolve, after));
    if (status === 0) {
      if (end !== "silence") throw new TypeError("there is no connection");
      return new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(init.signal.reason)));
    }
    const body = new ReadableStream({
      start(controller) {
        chunks.filter(Boolean).forEach((chunk) => controller.enqueue(new Uint8Array(bytes(chunk))));
        if (end === "complete") controller.close();
      },
      // What has come before is read before it breaks.
      pull(controller) {
        if (end === "broken") controller.error(new TypeError("the connection broke"));
      },
    });
    return new Response([101, 204, 205, 304].includes(status) ? null : body, { status, headers });
  };
}

let loaded = 0;

async function play({ variables, calls }) {
  const { answer, initSync } = await import(`${pathToFileURL(resolve(folder, "libra.js"))}?${(loaded += 1)}`);
  initSync({ module });
  timers = [];
  const platform = { peer: "127.0.0.1", variable: (name) => variables[name] || undefined, isGuarded: true };
  for (const [number, call] of calls.entries()) {
    const wrong = [];
    now = call.at;
    const expected = [...call.upstream];
    globalThis.fetch = upstream(expected, wrong);
    const body = bytes(call.body);
    const request = new Request(`http://gateway.example${call.path}`, {
      method: call.method,
      headers: [...call.headers, ["content-length", String(body.length)]],
      body: ["GET", "HEAD"].includes(call.method) ? undefined : body,
    });
    const response = await settled(answer(request, platform));
    const pieces = [];
    let reset = false;
    const read = async () => {
      for await (const piece of response.body ?? []) pieces.push(piece);
    };
    await settled(read().catch(() => (reset = true)));
    try {
      if (wrong.length > 0) raise(wrong[0]);
      same("the status", response.status, call.seen.status);
      sameBytes("the answer", Buffer.concat(pieces), bytes(call.seen.body));
      same("a broken connection", reset, call.seen.reset);
      sameHeaders("the head", response.headers, call.seen.headers);
      if (expected.length > 0) raise(`${expected.length} requests did not go up`);
      const late = now - call.at - call.seen.took;
      if (Math.abs(late) > LATE * (1 + call.upstream.length)) raise(`it took ${now - call.at} ms, not ${call.seen.took}`);
    } catch (error) {
      raise(`request ${number + 1} (${call.method} ${call.path}): ${error.message}`);
    }
  }
}

const tests = new Map();
for (const name of readdirSync(plays).sort()) {
  const { test, ...rest } = JSON.parse(readFileSync(resolve(plays, name), "utf8"));
  tests.set(test, [...(tests.get(test) ?? []), rest]);
}
if (tests.size === 0) raise(`no plays in ${plays}`);
for (const [test, gateways] of tests) {
  const requests = gateways.reduce((sum, { calls }) => sum + calls.length, 0);
  const unsaid = gateways.find(({ unsaid }) => unsaid)?.unsaid;
  const why = notHere.get(test) ?? (unsaid && `its settings cannot be set: ${unsaid}`);
  if (why) {
    print(`SKIP ${test} - ${why}`);
    continue;
  }
  try {
    for (const gateway of gateways) await play(gateway);
    print(`PASS ${test} - ${requests} requests, ${gateways.length} gateways`);
  } catch (error) {
    print(`FAIL ${test} - ${String(error.message ?? error).replaceAll("\n", " ")}`);
    process.exitCode = 1;
  }
}
