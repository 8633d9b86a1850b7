// The official Google Gen AI SDK for Node: the Live API, by key (?key=) and by ephemeral token (?access_token=).

import assert from "node:assert/strict";
import { GoogleGenAI, Modality } from "@google/genai";
import { API_KEY, ASK_WEATHER, BASE_URL, WEATHER_SCHEMA, run } from "./checks.mjs";

const LIVE_MODEL = process.env.LIVE_MODEL ?? "gemini-live-2.5-flash-preview";
const MUSIC_MODEL = process.env.MUSIC_MODEL ?? "lyria-realtime-exp";
const WITHIN = 30_000;

const connect = (apiKey = API_KEY, apiVersion = "v1beta") =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl: BASE_URL, apiVersion } });

/** A session, and what it says: `next(wanted)` is the next message that is wanted. */
async function begin(client, config = {}, model = LIVE_MODEL) {
  const said = [];
  let wake = () => {};
  let closed;
  const tell = (message) => (said.push(message), wake());
  const session = await client.live.connect({
    model,
    config: { responseModalities: [Modality.TEXT], ...config },
    callbacks: {
      onmessage: tell,
      onclose: (event) => ((closed = event), wake()),
      onerror: () => {},
    },
  });
  const next = async (wanted) => {
    const late = setTimeout(() => ((closed ??= { reason: "nothing came in time" }), wake()), WITHIN);
    try {
      for (;;) {
        while (said.length > 0) {
          const message = said.shift();
          if (wanted(message)) return message;
        }
        if (closed) throw new Error(`closed: ${closed.code} ${closed.reason}`);
        await new Promise((resolve) => (wake = resolve));
      }
    } finally {
      clearTimeout(late);
    }
  };
  const turn = async () => {
    let text = "";
    const last = await next((message) => ((text += message.text ?? ""), message.serverContent?.turnComplete));
    return { text, last };
  };
  const ask = (text) => session.sendClientContent({ turns: text, turnComplete: true });
  return { session, next, turn, ask };
}

async function turns() {
  const { session, turn, ask } = await begin(connect());
  for (const word of ["hello", "again"]) {
    ask(`Say ${word}.`);
    const { text, last } = await turn();
    assert.ok(text.includes(word), text);
    assert.ok(last.usageMetadata.totalTokenCount > 0);
  }
  session.sendRealtimeInput({ text: "Say it live." });
  assert.match((await turn()).text, /live/);
  session.close();
}

async function every_version_of_the_api() {
  for (const version of ["v1", "v1beta", "v1alpha"]) {
    const { session, turn, ask } = await begin(connect(API_KEY, version));
    ask("Say hello.");
    assert.ok((await turn()).text, version);
    session.close();
  }
}

async function tools() {
  const declared = { name: "get_weather", description: "The weather of a city.", parametersJsonSchema: WEATHER_SCHEMA };
  const { session, next, turn, ask } = await begin(connect(), { tools: [{ functionDeclarations: [declared] }] });
  ask(ASK_WEATHER);
  const { id, name } = (await next((message) => message.toolCall)).toolCall.functionCalls[0];
  assert.equal(name, "get_weather");
  session.sendToolResponse({ functionResponses: [{ id, name, response: { celsius: 21 } }] });
  assert.match((await turn()).text, /21/);
  session.close();
}

async function resumption() {
  let handle;
  for (const number of [1, 2, 3]) {
    const { session, next, turn, ask } = await begin(connect(), { sessionResumption: { handle } });
    ask("Say hello.");
    assert.ok((await turn()).text.includes(`Turn ${number}.`));
    handle = (await next((message) => message.sessionResumptionUpdate)).sessionResumptionUpdate.newHandle;
    session.close();
  }
}

async function a_close_of_the_upstream() {
  const { turn, ask } = await begin(connect());
  ask("{{close=1011:Deadline expired before operation could complete.}}");
  await assert.rejects(turn, /closed: 1011 Deadline expired before operation could complete\./);
}

async function an_unknown_model() {
  const refused = begin(connect(), {}, "gemini-0.1-nonesuch");
  await assert.rejects(refused, /1008.*models\/gemini-0\.1-nonesuch is not found/);
}

async function an_ephemeral_token() {
  // Whichever project mints, serves.
  for (let count = 0; count < 3; count += 1) {
    const token = await connect(API_KEY, "v1alpha").authTokens.create({ config: { uses: 1 } });
    const { session, turn, ask } = await begin(connect(token.name, "v1alpha"));
    ask("Say hello.");
    assert.match((await turn()).text, /hello/);
    session.close();
  }
}

async function music() {
  let heard;
  const sound = new Promise((resolve) => (heard = resolve));
  const session = await connect(API_KEY, "v1alpha").live.music.connect({
    model: `models/${MUSIC_MODEL}`,
    callbacks: {
      onmessage: (message) => message.serverContent?.audioChunks && heard(message.serverContent.audioChunks[0].data),
      onerror: () => {},
      onclose: () => heard(undefined),
    },
  });
  await session.setWeightedPrompts({ weightedPrompts: [{ text: "A quiet piano.", weight: 1 }] });
  assert.ok(await sound);
  session.close();
}

await run([
  turns, every_version_of_the_api, tools, resumption, a_close_of_the_upstream, an_unknown_model, an_ephemeral_token, music,
]);
