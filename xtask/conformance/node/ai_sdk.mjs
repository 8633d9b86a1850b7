// The AI SDK (`ai`) with the provider that the argument names.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, run, raises } from "./checks.mjs";

const PROVIDERS = {
  "google": (apiKey) => createGoogleGenerativeAI({ baseURL: `${BASE_URL}/v1beta`, apiKey }),
  "openai-chat": (apiKey) => createOpenAI({ baseURL: `${BASE_URL}/v1`, apiKey }).chat,
  "openai-responses": (apiKey) => createOpenAI({ baseURL: `${BASE_URL}/v1`, apiKey }).responses,
  "anthropic": (apiKey) => createAnthropic({ baseURL: `${BASE_URL}/v1`, apiKey }),
  "compatible": (apiKey) =>
    createOpenAICompatible({ name: "libra", baseURL: `${BASE_URL}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true }),
};
const connect = PROVIDERS[process.argv[2]];
const provider = connect(API_KEY);
const ask = (prompt, more = {}) => ({ model: provider(MODEL), prompt, maxRetries: 0, ...more });

async function plain_turn() {
  const answer = await generateText(ask("Say hello.", { instructions: "Be brief.", maxOutputTokens: 2000 }));
  assert.ok(answer.text);
  assert.equal(answer.finishReason, "stop");
  assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
  assert.deepEqual(answer.warnings ?? [], []);
}

/** Reads a stream to its end; the errors in it are thrown. */
async function read(options) {
  const result = streamText({ ...options, onError: () => {} });
  const texts = [];
  for await (const part of result.stream) {
    if (part.type === "text-delta") texts.push(part.text);
    if (part.type === "error") throw part.error;
  }
  return { texts, result };
}

async function stream() {
  const { texts, result } = await read(ask("{{chunks=5}} Count."));
  assert.ok(texts.length >= 5, `${texts.length}`);
  assert.equal(await result.finishReason, "stop");
  assert.ok((await result.usage).outputTokens > 0);
  return `${texts.length} pieces`;
}

let asked = 0;
const get_weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => { asked += 1; return { celsius: 21 }; },
});

async function roundTrip(prompt, callsWanted, model, isStreamed) {
  const options = ask(prompt, { model: provider(model), tools: { get_weather }, stopWhen: isStepCount(3) });
  asked = 0;
  const answer = isStreamed ? (await read(options)).result : await generateText(options);
  assert.match(await answer.text, /21/);
  assert.equal((await answer.steps).length, 2);
  assert.equal(asked, callsWanted);
}

const tools = () => roundTrip(ASK_WEATHER, 1, MODEL, false);
const tools_streamed = () => roundTrip(ASK_WEATHER, 1, MODEL, true);
const tools_in_parallel = () => roundTrip(ASK_TWICE, 2, MODEL, true);
const tools_with_signatures = () => roundTrip(ASK_WEATHER, 1, SIGNING_MODEL, true);

async function object() {
  const schema = z.object({ name: z.string(), population: z.number() });
  const answer = await generateText(ask("A city, please.", { output: Output.object({ schema }) }));
  assert.ok(answer.output.name);
}

async function error_401_unknown_client() {
  const call = () => generateText(ask("Hello", { model: connect("a-strangers-key")(MODEL) }));
  const error = await raises(APICallError, call);
  assert.equal(error.statusCode, 401);
  return error.message;
}

async function error_in_mid_stream() {
  const error = await raises(Object, () => read(ask("{{chunks=5}}{{fault=event-error}}")));
  return error.message ?? JSON.stringify(error);
}

await run([
  plain_turn, stream, tools, tools_streamed, tools_in_parallel, tools_with_signatures, object, error_401_unknown_client,
  error_in_mid_stream,
]);
