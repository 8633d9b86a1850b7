// What a platform must show, whatever it is.

import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import {
  ADMIN, API_KEY, BASE_URL, GOOD, LEAKED, LIMITED, LOG, MODEL, aborted, apart, ask, chat, check, counts,
  expect, generate, json, left, native, pause, pieces, seen, stream, text,
} from "./client.mjs";

const SLOW = "{{chunks=5}}{{delay_ms=200}}";

await check("health", async () => expect((await json(await ask("/health", { method: "GET", key: "" }))).status === "alive", "not alive"));
await check("ready", async () => expect((await json(await ask("/ready", { method: "GET", key: "" }))).status === "ready", "not ready"));
await check("home", async () => expect((await text(await ask("/", { method: "GET", key: "" }))).includes("Libra"), "no page"));
await check("preflight", async () => {
  const response = await ask("/v1/chat/completions", {
    method: "OPTIONS",
    key: "",
    headers: { origin: "https://page.example", "access-control-request-headers": "authorization" },
  });
  await text(response, 204);
  expect(response.headers.get("access-control-allow-headers") === "authorization", "the header is not allowed");
  expect(response.headers.get("access-control-allow-origin") === "*", "the origin is not allowed");
});
await check("models", async () => expect((await json(await ask("/v1/models", { method: "GET" }))).data.length > 0, "no models"));

// Different prompts, so that no conversation stays where it is: all keys of the pool are met.
await check("failover", async () => {
  for (let round = 0; round < 8; round += 1) {
    const answer = await json(await generate(`Round ${round} of ${Math.random()}`));
    expect(answer.candidates[0].content.parts[0].text, "no text");
  }
  const { keys } = await counts();
  const refused = [LEAKED, LIMITED].map((key) => keys[key]?.requests ?? 0);
  expect(refused[0] + refused[1] > 0, "no bad key was met, so that this shows nothing");
  expect(keys[GOOD].requests >= 8, "the good key has not served all");
  return `bad keys met ${refused.join(" and ")} times, 8 of 8 answered`;
});
await check("native", async () => {
  const answer = await json(await generate("hello"));
  expect(answer.candidates[0].finishReason === "STOP", "not finished");
});
await check("native-stream", async () => apart(await pieces(await stream(`hello ${SLOW}`)), /"finishReason": ?"STOP"/));
await check("native-array", async () => {
  const response = await ask(`/v1beta/models/${MODEL}:streamGenerateContent`, { body: native(`hello ${SLOW}`) });
  expect(JSON.parse((await pieces(response)).map((piece) => piece.text).join("")).length === 5, "not five events");
});
await check("chat", async () => {
  const answer = await json(await ask("/v1/chat/completions", { body: chat("hello") }));
  expect(answer.choices[0].message.content && answer.choices[0].finish_reason === "stop", "no answer");
});
await check("chat-stream", async () => {
  const response = await ask("/v1/chat/completions", { body: chat(`hello ${SLOW}`, { stream: true }) });
  return apart(await pieces(response), /data: \[DONE\]\s*$/);
});
await check("messages-stream", async () => {
  const body = { ...chat(`hello ${SLOW}`, { stream: true }), max_tokens: 1000 };
  return apart(await pieces(await ask("/v1/messages", { body })), /event: message_stop/);
});
await check("image", async () => {
  const url = `data:image/png;base64,${"iVBORw0KGgo".padEnd(4 << 20, "A")}`;
  const content = [{ type: "text", text: "what is it?" }, { type: "image_url", image_url: { url } }];
  const began = performance.now();
  const answer = await json(await ask("/v1/chat/completions", { body: { model: MODEL, messages: [{ role: "user", content }] } }));
  expect(answer.choices[0].message.content, "no answer");
  return `4 MB, ${Math.round(performance.now() - began)} ms`;
});
await check("media-by-address", async () => {
  // On this machine, which LIBRA_FETCH_ALLOW permits; behind a redirect, which the gateway follows itself.
  const asked = [];
  const png = Buffer.from("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de", "hex");
  const server = createServer((incoming, answer) => {
    asked.push(incoming);
    if (incoming.url === "/first") answer.writeHead(302, { location: "/second.png" }).end();
    else answer.writeHead(200, { "content-type": "image/png" }).end(png);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${server.address().port}/first`;
    const content = [{ type: "text", text: "what is it?" }, { type: "image_url", image_url: { url } }];
    await json(await ask("/v1/chat/completions", { body: { model: MODEL, messages: [{ role: "user", content }] } }));
    expect(asked.map((incoming) => incoming.url).join() === "/first,/second.png", `asked for ${asked.map(({ url }) => url)}`);
    expect(!asked.some(({ headers }) => "x-goog-api-key" in headers || "authorization" in headers), "a key went there");
  } finally {
    server.close();
  }
});
await check("file", async () => {
  // The address for the bytes has to lead to the gateway, as this client calls it.
  const bytes = "twelve bytes";
  const begun = await ask("/upload/v1beta/files", {
    headers: {
      "x-goog-upload-protocol": "resumable",
      "x-goog-upload-command": "start",
      "x-goog-upload-header-content-length": String(bytes.length),
      "x-goog-upload-header-content-type": "text/plain",
    },
    body: { file: { displayName: "edge" } },
  });
  await text(begun);
  const address = begun.headers.get("x-goog-upload-url");
  expect(address?.startsWith(BASE_URL), `the bytes are to go to ${address}`);
  const headers = { "x-goog-upload-offset": "0", "x-goog-upload-command": "upload, finalize" };
  const { file } = await json(await ask(address.slice(BASE_URL.length), { headers, body: bytes, key: "" }));
  const got = await json(await ask(`/v1beta/${file.name}`, { method: "GET" }));
  expect(got.name === file.name && got.displayName === "edge", "it is another file");
  await text(await ask(`/v1beta/${file.name}`, { method: "DELETE" }));
});
await check("admin", async () => {
  const pool = await json(await ask("/admin/pool", { method: "GET", key: ADMIN }));
  expect(JSON.stringify(pool).includes("key-"), "no key is shown by its fingerprint");
  await text(await ask("/admin/pool", { method: "GET" }), 401);
});
await check("streamed-upload", async () => {
  // Larger than LIBRA_REPLAY_LIMIT: it is not kept, but passed on as it comes.
  const answer = await json(await generate("a".repeat(3 << 20)));
  expect(answer.candidates[0].content, "no answer");
});
await check("at-once", async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => pieces(await stream(`hello ${n} {{chunks=3}}{{delay_ms=100}}`))),
  );
  expect(answers.every((all) => all.map((piece) => piece.text).join("").includes("STOP")), "one is not complete");
  return "20 streams";
});
await check("queue", async () => {
  // A model of its own: its only good project rests for two seconds, and whoever comes meanwhile waits for it.
  const path = "/v1beta/models/gemini-2.5-pro:generateContent";
  await (await ask(path, { body: native("hello {{fault=minute-limit}}{{retry_ms=2000}}") })).text();
  const began = performance.now();
  const waiters = Array.from({ length: 4 }, async (_, n) => json(await ask(path, { body: native(`waiter ${n}`) })));
  expect((await Promise.all(waiters)).every((answer) => answer.candidates[0].content), "one got no answer");
  const took = performance.now() - began;
  expect(took > 500, `nobody had to wait: ${Math.round(took)} ms`);
  return `4 requests waited up to ${Math.round(took)} ms`;
});
await check("abort-in-stream", async () => {
  const before = await aborted();
  const leaving = new AbortController();
  const response = await stream("hello {{chunks=50}}{{delay_ms=200}}", { signal: leaving.signal });
  const reader = response.body.getReader();
  await reader.read();
  await reader.read();
  const began = performance.now();
  leaving.abort();
  await reader.read().catch(() => {});
  return left(before, began);
});
await check("abort-before-head", async () => {
  const before = await aborted();
  const leaving = new AbortController();
  const response = stream("hello {{first_delay_ms=8000}}", { signal: leaving.signal });
  await pause(700);
  const began = performance.now();
  leaving.abort();
  await response.catch(() => {});
  return left(before, began);
});
await check("heartbeat", async () => {
  // LIBRA_HEARTBEAT is one second here: the response begins before there is an answer.
  const body = chat("hello {{first_delay_ms=3000}}", { stream: true });
  const all = await pieces(await ask("/v1/chat/completions", { body }));
  const whole = all.map((piece) => piece.text).join("");
  expect(whole.startsWith(":") && /data: \[DONE\]\s*$/.test(whole), `no sign of life: ${whole.slice(0, 100)}`);
});
await check("verify", async () => {
  const keys = [LEAKED, LIMITED, GOOD];
  const headers = { authorization: `Bearer ${keys.join(",")}`, accept: "text/event-stream" };
  const events = await text(await ask("/verify", { headers, key: "" }));
  const results = events.split("\n\n").filter(Boolean).map((event) => JSON.parse(event.replace(/^data: /, "")));
  const by = (key) => results.find((result) => result.key.startsWith(key.slice(0, 4)))?.status;
  expect(results.length === 3, `${results.length} results: ${events}`);
  expect(by(LEAKED) === "BAD" && by(GOOD) === "GOOD" && by(LIMITED) !== "BAD", events);
});
await check("verify-many", async () => {
  // More keys than a request may make calls for on every platform: the rest is said to be left out.
  const keys = Array.from({ length: 43 }, (_, n) => `key-that-nobody-has-for-the-checks-${n + 100}`);
  const headers = { authorization: `Bearer ${[API_KEY, ...keys].join(",")}` };
  const events = await text(await ask("/verify", { headers, key: "" }));
  const results = events.split("\n\n").filter(Boolean).map((event) => JSON.parse(event.replace(/^data: /, "")));
  const left = results.filter(({ status, error }) => status === "ERROR" && error.startsWith("not checked"));
  expect(results.length === 43 && left.length === 3, `${results.length} results, ${left.length} left out`);
});
await check("errors", async () => {
  const path = await json(await ask("/v1/nowhere", { method: "GET" }), 404);
  expect(typeof path.error.message === "string" && "type" in path.error, "not OpenAI's words");
  const google = await json(await ask("/v1beta/nowhere", { method: "GET", key: "", headers: { "x-goog-api-key": API_KEY } }), 404);
  expect(google.error.code === 404 && google.error.status === "NOT_FOUND", "not Google's words");
  const anthropic = await json(await ask("/v1/messages", { body: "{", headers: { "anthropic-version": "2023-06-01" } }), 400);
  expect(anthropic.type === "error" && anthropic.error.type === "invalid_request_error", "not Anthropic's words");
  const chatError = await json(await ask("/v1/chat/completions", { body: "{" }), 400);
  expect(chatError.error.type === "invalid_request_error", "not OpenAI's words");
  const key = await ask("/v1/chat/completions", { body: chat("hello"), key: "" });
  await json(key, 401);
});
await check("live-is-refused", async () => {
  const headers = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "x-goog-api-key": API_KEY,
  };
  const path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
  const response = await new Promise((resolve, reject) => {
    const asked = request(BASE_URL + path, { headers }, resolve);
    asked.on("upgrade", () => reject(new Error("it was upgraded")));
    asked.on("error", reject);
    asked.end();
  });
  let said = "";
  for await (const piece of response) said += piece;
  expect(response.statusCode === 501 && JSON.parse(said).error.status === "UNIMPLEMENTED", `${response.statusCode}: ${said}`);
});
await check("cut-stream", async () => {
  const body = chat("hello {{fault=cut}}{{chunks=5}}", { stream: true });
  const whole = (await pieces(await ask("/v1/chat/completions", { body }))).map((piece) => piece.text).join("");
  expect(/"error"/.test(whole) && !/"finish_reason": ?"stop"/.test(whole), `a cut stream ends so: …${whole.slice(-200)}`);
});
await check("no-key-in-log-or-answer", async () => {
  await pause(300);
  const log = LOG ? readFileSync(LOG, "utf8") : "";
  expect(!LOG || log.includes("answered"), "the log has no line of a request");
  for (const key of [LEAKED, LIMITED, GOOD, API_KEY, ADMIN]) {
    expect(!log.includes(key), "a key is in the log");
    expect(!seen.some((said) => said.includes(key)), "a key is in an answer");
  }
  return `${seen.length} answers and ${log.length} bytes of log searched`;
});
