// Sessions of the Live API, as a page or a program has them: over a WebSocket, with the key in the query.

import { API_KEY, BASE_URL, GOOD, LEAKED, LIMITED, LOG, check, counts, expect, pause } from "./client.mjs";
import { readFileSync } from "node:fs";

const SERVICE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
const MODEL = "models/gemini-live-2.5-flash-preview";
const WITHIN = 15_000;

/** A session that is set up: `say`, `next(wanted)`, and how it was closed. */
async function begin(setup = {}, key = API_KEY) {
  const socket = new WebSocket(`${BASE_URL.replace("http", "ws")}${SERVICE}?key=${key}`);
  socket.binaryType = "arraybuffer";
  const said = [];
  let wake = () => {};
  const session = { socket, closed: undefined };
  socket.onmessage = ({ data }) => {
    said.push(JSON.parse(typeof data === "string" ? data : new TextDecoder().decode(data)));
    wake();
  };
  socket.onclose = ({ code, reason }) => ((session.closed = { code, reason }), wake());
  session.say = (message) => socket.send(JSON.stringify(message));
  session.next = async (wanted) => {
    const late = setTimeout(() => ((session.closed ??= { code: 0, reason: "nothing came in time" }), wake()), WITHIN);
    try {
      for (;;) {
        while (said.length > 0) {
          const message = said.shift();
          if (wanted(message)) return message;
        }
        if (session.closed) throw new Error(`closed: ${session.closed.code} ${session.closed.reason}`);
        await new Promise((resolve) => (wake = resolve));
      }
    } finally {
      clearTimeout(late);
    }
  };
  session.turn = async () => {
    let text = "";
    await session.next(({ serverContent }) => {
      for (const part of serverContent?.modelTurn?.parts ?? []) text += part.text ?? "";
      return serverContent?.turnComplete;
    });
    return text;
  };
  session.ask = (text) => session.say({ clientContent: { turns: [{ role: "user", parts: [{ text }] }], turnComplete: true } });
  await new Promise((resolve) => ((socket.onopen = resolve), (socket.onerror = resolve)));
  session.say({ setup: { model: MODEL, generationConfig: { responseModalities: ["TEXT"] }, ...setup } });
  await session.next((message) => "setupComplete" in message);
  return session;
}

const ended = async (session) => {
  for (let tries = 0; tries < 100 && !session.closed; tries += 1) await pause(50);
  return session.closed;
};

await check("live: turns of text", async () => {
  const { ask, turn, socket } = await begin();
  for (const word of ["hello", "你好"]) {
    ask(`Say ${word}.`);
    const text = await turn();
    expect(text.includes(word), text);
  }
  socket.close(1000);
});
await check("live: a tool is called", async () => {
  const functionDeclarations = [{ name: "get_weather", parameters: { type: "OBJECT", properties: { city: { type: "STRING" } } } }];
  const { ask, say, next, turn, socket } = await begin({ tools: [{ functionDeclarations }] });
  ask("Call get_weather, please.");
  const { toolCall } = await next((message) => message.toolCall);
  const [{ id, name }] = toolCall.functionCalls;
  say({ toolResponse: { functionResponses: [{ id, name, response: { celsius: 21 } }] } });
  expect((await turn()).includes("21"), "what the tool said is not in the answer");
  socket.close(1000);
});
await check("live: the setup goes to another key", async () => {
  const before = (await counts()).keys;
  for (let round = 0; round < 6; round += 1) {
    const { ask, turn, socket } = await begin();
    ask(`Say ${round}.`);
    expect((await turn()).includes(String(round)), "no answer");
    socket.close(1000);
  }
  const after = (await counts()).keys;
  const more = (key) => (after[key]?.requests ?? 0) - (before[key]?.requests ?? 0);
  return `6 of 6 set up; bad keys were asked ${(after[LEAKED]?.requests ?? 0) + (after[LIMITED]?.requests ?? 0)} times in all, the good one ${more(GOOD)} times for it`;
});
await check("live: a large message, in pieces as small and as large as they come", async () => {
  const { ask, turn, socket } = await begin();
  ask("a".repeat(3 << 20));
  expect((await turn()).includes("aaaa"), "no answer");
  ask("{{chunks=200}}{{chunk_bytes=2000}}");
  expect((await turn()).length > 200 * 2000, "not all of it came");
  socket.close(1000);
});
await check("live: the upstream's close comes through", async () => {
  const session = await begin();
  session.ask("{{close=1011:Deadline expired before operation could complete.}}");
  const { code, reason } = await ended(session);
  // Deno sends no code of the protocol's own but 1000.
  expect([1011, 4011].includes(code) && reason.startsWith("Deadline expired"), `${code} ${reason}`);
});
await check("live: a client that leaves is noticed upstream", async () => {
  const session = await begin();
  session.ask("Say hello.");
  await session.turn();
  session.socket.close(1000);
  expect((await ended(session))?.code === 1000, `${session.closed?.code}`);
  for (let tries = 0; tries < 40; tries += 1) {
    if (!LOG || readFileSync(LOG, "utf8").includes("live session ended")) return;
    await pause(100);
  }
  throw new Error("the session has not ended");
});
await check("live: a stranger is refused", async () => {
  let refused = false;
  await begin({}, "a-key-of-nobodys-at-all-000000000000000").catch(() => (refused = true));
  expect(refused, "it was let in");
});
