// The official Google Gen AI SDK for Node: Gemini's own protocol.

import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";
import {
  API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, EMBEDDING_MODEL, MODEL, SIGNING_MODEL, SPARE_MODEL, WEATHER_SCHEMA, collect,
  raises, run,
} from "./checks.mjs";

const connect = (apiKey = API_KEY) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: BASE_URL } });
const client = connect();
const generate = (contents, config = {}, model = MODEL) => client.models.generateContent({ model, contents, config });
const TOOLS = [
  { functionDeclarations: [{ name: "get_weather", description: "The weather of a city.", parametersJsonSchema: WEATHER_SCHEMA }] },
];

async function plain_turn() {
  const answer = await generate("Say hello.", { systemInstruction: "Be brief.", temperature: 0.3 });
  assert.ok(answer.text);
  assert.equal(answer.candidates[0].finishReason, "STOP");
  assert.ok(answer.usageMetadata.totalTokenCount > 0);
}

async function stream() {
  const chunks = await collect(await client.models.generateContentStream({ model: MODEL, contents: "{{chunks=5}} Count." }));
  assert.ok(chunks.length >= 5);
  assert.equal(chunks.at(-1).candidates[0].finishReason, "STOP");
  return `${chunks.length} chunks`;
}

async function stream_of_a_chat() {
  const session = client.chats.create({ model: SIGNING_MODEL });
  assert.ok((await session.sendMessage({ message: "Say hello." })).text);
  const texts = (await collect(await session.sendMessageStream({ message: "Again." }))).map((chunk) => chunk.text ?? "");
  assert.ok(texts.join(""));
}

async function roundTrip(text, callsWanted, model) {
  const history = [{ role: "user", parts: [{ text }] }];
  const first = await generate(history, { tools: TOOLS }, model);
  const calls = first.functionCalls ?? [];
  assert.equal(calls.length, callsWanted);
  const results = calls.map(({ id, name }) => ({ functionResponse: { id, name, response: { celsius: 21 } } }));
  history.push(first.candidates[0].content, { role: "user", parts: results });
  assert.match((await generate(history, { tools: TOOLS }, model)).text, /21/);
}

const tools = () => roundTrip(ASK_WEATHER, 1, MODEL);
const tools_in_parallel = () => roundTrip(ASK_TWICE, 2, MODEL);
const tools_with_signatures = () => roundTrip(ASK_TWICE, 2, SIGNING_MODEL);

async function tools_run_by_the_sdk() {
  let asked = 0;
  const weather = {
    tool: async () => TOOLS[0],
    callTool: async (calls) => calls.map(({ id, name }) => {
      asked += 1;
      return { functionResponse: { id, name, response: { celsius: 21 } } };
    }),
  };
  assert.match((await generate(ASK_WEATHER, { tools: [weather] }, SIGNING_MODEL)).text, /21/);
  assert.equal(asked, 1);
}

async function json_schema() {
  const schema = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
  const answer = await generate("A city, please.", { responseMimeType: "application/json", responseJsonSchema: schema });
  assert.deepEqual(Object.keys(JSON.parse(answer.text)), ["name"]);
}

async function count_tokens() {
  assert.ok((await client.models.countTokens({ model: MODEL, contents: "How many are these?" })).totalTokens > 0);
}

async function embeddings() {
  const answer = await client.models.embedContent({
    model: EMBEDDING_MODEL, contents: ["one", "two"], config: { outputDimensionality: 256 },
  });
  assert.deepEqual(answer.embeddings.map((embedding) => embedding.values.length), [256, 256]);
}

async function models_list() {
  const names = (await collect(await client.models.list({ config: { pageSize: 2 } }))).map((model) => model.name);
  assert.ok(names.includes(`models/${MODEL}`) && names.length > 2);
  return `${names.length} models`;
}

const failsWith = async (status, call) => assert.equal((await raises(ApiError, call)).status, status);
const error_401_unknown_client = () =>
  failsWith(401, () => connect("a-strangers-key").models.generateContent({ model: MODEL, contents: "Hello" }));
const error_404_unknown_model = () => failsWith(404, () => generate("Hello", {}, "gemini-0.1-nonesuch"));
const error_429 = () => failsWith(429, () => generate("{{fault=minute-limit}}", {}, SPARE_MODEL));

async function error_in_mid_stream() {
  const read = async () => collect(await client.models.generateContentStream({
    model: MODEL, contents: "{{chunks=5}}{{fault=event-error}}",
  }));
  const error = await raises(Error, read);
  return error.message;
}

await run([
  plain_turn, stream, stream_of_a_chat, tools, tools_in_parallel, tools_with_signatures, tools_run_by_the_sdk, json_schema,
  count_tokens, embeddings, models_list, error_401_unknown_client, error_404_unknown_model, error_429, error_in_mid_stream,
]);
