// What outlives an isolate. PHASE says which one is asked: the first, or what comes after it. FILE holds what one phase tells
// the next; REDIS is the stand-in's address, where the state is there; ADDED is a good key that no setting names.

import { readFileSync, writeFileSync } from "node:fs";
import {
  ADMIN, API_KEY, BASE_URL, GOOD, LEAKED, LIMITED, LOG, ask, check, counts, expect, generate, json, pause, seen, text,
} from "./client.mjs";

const { PHASE, FILE, REDIS, ADDED, TOKEN, SECRET } = process.env;
const SIGNED = "gemini-3-pro-preview";
const requests = async (key) => (await counts()).keys[key]?.requests ?? 0;

/** Asks, with words that are new each time, until a key has served or been refused so often. */
async function until(key, more, what) {
  const before = await requests(key);
  for (let round = 0; round < 40; round += 1) {
    await json(await generate(`Round ${round} of ${Math.random()}`));
    if ((await requests(key)) >= before + more) return round + 1;
  }
  throw new Error(`${what} in 40 requests`);
}
const changeKeys = (body, key = ADMIN) => ask("/admin/keys", { body, key });
const inTheLog = (line) => !LOG || readFileSync(LOG, "utf8").includes(line);

const tools = [
  { type: "function", function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } } },
];
const asked = { role: "user", content: 'The weather? {{call=get_weather {"city": "Riga"}}}' };

if (PHASE === "first") {
  await check("state: a leaked key is met and set aside", async () => `after ${await until(LEAKED, 1, "it was not met")} requests`);
  await check("state: a key is added without a deployment", async () => {
    await text(await changeKeys({ add: [ADDED] }, "no-token"), 401);
    await json(await changeKeys({ add: ["short, and two"] }), 400);
    const said = await json(await changeKeys({ add: [`shop:${ADDED}`] }));
    expect(said.added === 1 && said.sealed, JSON.stringify(said));
    expect((await json(await changeKeys({ add: [ADDED] }))).added === 0, "it was added twice");
    return `it serves after ${await until(ADDED, 1, "it does not serve")} requests`;
  });
  await check("state: an answer and a signature are kept", async () => {
    const { id } = await json(await ask("/v1/responses", { body: { model: "gemini-2.5-flash", input: "a word in confidence" } }));
    const next = await json(
      await ask("/v1/responses", { body: { model: "gemini-2.5-flash", input: "and one more", previous_response_id: id } }),
    );
    const { choices } = await json(await ask("/v1/chat/completions", { body: { model: SIGNED, messages: [asked], tools } }));
    const [call] = choices[0].message.tool_calls;
    // As most clients do: nothing of the call but its id is kept.
    const plain = { id: call.id, type: "function", function: call.function };
    writeFileSync(FILE, JSON.stringify({ response: next.id, call: plain }));
  });
  // An isolate writes once a second.
  await pause(2500);
}

if (PHASE === "next") {
  // The first request of an isolate waits only so long for what is known, and on a busy machine serves without it.
  await json(await ask("/v1/models", { method: "GET" }));
  await pause(1000);
  await check("state: a leaked key is still set aside in the next isolate", async () => {
    const before = await requests(LEAKED);
    for (let round = 0; round < 15; round += 1) await json(await generate(`Round ${round} of ${Math.random()}`));
    expect((await requests(LEAKED)) === before, "it was asked again");
  });
  await check("state: an added key serves in the next isolate", async () => {
    await until(ADDED, 1, "it does not serve");
  });
  await check("state: a conversation goes on in the next isolate", async () => {
    const { response } = JSON.parse(readFileSync(FILE, "utf8"));
    const body = { model: "gemini-2.5-flash", input: "and another", previous_response_id: response };
    await json(await ask("/v1/responses", { body }));
    const kept = await json(await ask(`/v1/responses/${response}`, { method: "GET" }));
    expect(kept.id === response, "it is another");
  });
  await check("state: a call's signature is known in the next isolate", async () => {
    const { call } = JSON.parse(readFileSync(FILE, "utf8"));
    const messages = [
      asked,
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: call.id, content: "21 °C" },
    ];
    const before = LOG ? readFileSync(LOG, "utf8").length : 0;
    await json(await ask("/v1/chat/completions", { body: { model: SIGNED, messages, tools } }));
    await pause(300);
    const said = LOG ? readFileSync(LOG, "utf8").slice(before) : "";
    expect(said.includes('"lost_signatures":0'), `the log says ${said.slice(-300)}`);
  });
  await check("state: a key is removed without a deployment", async () => {
    expect((await json(await changeKeys({ remove: [ADDED] }))).removed === 1, "it was not removed");
    const before = await requests(ADDED);
    for (let round = 0; round < 6; round += 1) await json(await generate(`Round ${round} of ${Math.random()}`));
    expect((await requests(ADDED)) === before, "it serves on");
  });
  if (REDIS) {
    await check("state: a key that a person puts into the Redis serves", async () => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      await fetch(`${REDIS}/pipeline`, { method: "POST", headers, body: JSON.stringify([["SADD", "libra:keys", ADDED]]) });
      // It is looked for what is new every ten seconds, beside a request.
      await pause(10500);
      await json(await generate("looks"));
      await pause(300);
      await until(ADDED, 1, "it does not serve");
      await changeKeys({ remove: [ADDED] });
    });
    await check("state: what was said, and keys, are not in the Redis in clear", async () => {
      const all = await (await fetch(`${REDIS}/all`)).text();
      expect(all.includes("libra:1:pool") && all.includes("libra:1:answer/"), `there is ${all.slice(0, 200)}`);
      for (const secret of ["confidence", LEAKED, GOOD, LIMITED, ADDED, API_KEY, ADMIN]) {
        expect(!all.includes(secret), `it says ${secret.slice(0, 10)}`);
      }
    });
    // For the next phase.
    await fetch(`${REDIS}/delay`, { method: "POST", body: "4000" });
  }
}

if (PHASE === "slow") {
  await check("state: an isolate does not wait long for a slow store", async () => {
    const began = performance.now();
    // Several at once: all wait for what one of them reads.
    await Promise.all(Array.from({ length: 10 }, async (_, n) => json(await generate(`${n} of the first, ${Math.random()}`))));
    const first = performance.now() - began;
    expect(first < 2500, `the first requests took ${Math.round(first)} ms`);
    await pause(5000);
    const before = await requests(LEAKED);
    for (let round = 0; round < 12; round += 1) await json(await generate(`Round ${round} of ${Math.random()}`));
    expect((await requests(LEAKED)) === before, "what came late was not taken in");
    await fetch(`${REDIS}/delay`, { method: "POST", body: "0" });
    return `the first requests took ${Math.round(first)} ms`;
  });
}

if (PHASE === "without") {
  await check("state: where the store cannot be reached, requests are served", async () => {
    const began = performance.now();
    for (let round = 0; round < 5; round += 1) await json(await generate(`Round ${round} of ${Math.random()}`));
    const took = performance.now() - began;
    expect(took < 5000, `five requests took ${Math.round(took)} ms`);
    await pause(500);
    expect(inTheLog('"event":"state"'), "the log does not say so");
    return `five requests took ${Math.round(took)} ms`;
  });
}

await check(`state: no secret is in the log or an answer (${PHASE})`, async () => {
  const log = LOG ? readFileSync(LOG, "utf8") : "";
  for (const secret of [LEAKED, LIMITED, GOOD, ADDED, API_KEY, ADMIN, TOKEN, SECRET].filter(Boolean)) {
    expect(!log.includes(secret), "one is in the log");
    expect(!seen.some((said) => said.includes(secret)), "one is in an answer");
  }
  expect(BASE_URL, "no address");
});
