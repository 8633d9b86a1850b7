// How a platform is asked over HTTP, and how is said what came of it: `PASS name`, `FAIL name - why` or `SKIP name - why` a line.
//
// BASE_URL is the gateway's, SIMULATOR_URL its upstream's, whose pool has a leaked key, a key without quota and a good one.
// LOG names the file that the platform's log goes into. SKIPPED: names of checks, each followed by "=why", one a line.

export const { BASE_URL, SIMULATOR_URL, API_KEY, ADMIN, LEAKED, LIMITED, GOOD, LOG } = process.env;
const skipped = new Map(
  (process.env.SKIPPED ?? "")
    .split("\n")
    .filter(Boolean)
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
);
export const MODEL = "gemini-2.5-flash";
export const seen = [];

export async function check(name, test) {
  // A check goes by its own name, or by that of what it is about: `live: turns of text`.
  const why = skipped.get(name) ?? skipped.get(name.split(":")[0]);
  if (why !== undefined) {
    console.log(`SKIP ${name} - ${why}`);
    return;
  }
  try {
    const note = await test();
    console.log(`PASS ${name}${note ? ` - ${note}` : ""}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL ${name} - ${String(error.message ?? error).replaceAll("\n", " ").slice(0, 400)}`);
  }
}

export function expect(is, why) {
  if (!is) throw new Error(why);
}

/** A request; its answer is kept, so that it can be searched for keys in the end. */
export async function ask(path, { method = "POST", headers = {}, body, key = API_KEY, signal } = {}) {
  const response = await fetch(BASE_URL + path, {
    method,
    headers: { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    signal,
  });
  seen.push([...response.headers].map((field) => field.join(": ")).join("\n"));
  return response;
}

export async function text(response, status = 200) {
  const said = await response.text();
  seen.push(said);
  expect(response.status === status, `status ${response.status}, not ${status}: ${said.slice(0, 200)}`);
  return said;
}

export const json = async (response, status) => JSON.parse(await text(response, status));
export const native = (prompt) => ({ contents: [{ role: "user", parts: [{ text: prompt }] }] });
export const chat = (prompt, more) => ({ model: MODEL, messages: [{ role: "user", content: prompt }], ...more });
export const generate = (prompt, options) => ask(`/v1beta/models/${MODEL}:generateContent`, { body: native(prompt), ...options });
export const stream = (prompt, options) =>
  ask(`/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`, { body: native(prompt), ...options });

/** The pieces of an answer, with the times at which they came. */
export async function pieces(response) {
  const all = [];
  const decoder = new TextDecoder();
  for await (const piece of response.body) all.push({ at: performance.now(), text: decoder.decode(piece, { stream: true }) });
  seen.push(all.map((piece) => piece.text).join(""));
  expect(response.status === 200, `status ${response.status}: ${seen.at(-1).slice(0, 200)}`);
  return all;
}

/** Five events 200 ms apart must not come in one lump. */
export function apart(all, end) {
  const whole = all.map((piece) => piece.text).join("");
  expect(end.test(whole), `the end is missing: …${whole.slice(-200)}`);
  const spread = all.at(-1).at - all[0].at;
  const gaps = all.slice(1).filter((piece, at) => piece.at - all[at].at > 100).length;
  expect(spread > 500 && gaps >= 3, `${all.length} pieces within ${Math.round(spread)} ms, ${gaps} of them apart`);
  return `${all.length} pieces within ${Math.round(spread)} ms`;
}

export const counts = async () => (await fetch(`${SIMULATOR_URL}/_simulator/counts`)).json();
export const aborted = async () => (await counts()).totals.aborted;
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until the upstream has seen one more client leave. */
export async function left(before, began) {
  for (let tries = 0; tries < 40; tries += 1) {
    if ((await aborted()) > before) return `after ${Math.round(performance.now() - began)} ms`;
    await pause(50);
  }
  throw new Error("the upstream was not left within 2 s");
}
