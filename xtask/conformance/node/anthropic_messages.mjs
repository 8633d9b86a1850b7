// The official Anthropic SDK for Node: Messages.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import {
  API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, SPARE_MODEL, WEATHER_SCHEMA, collect, raises, run,
} from "./checks.mjs";

const connect = (apiKey = API_KEY) => new Anthropic({ baseURL: BASE_URL, apiKey, maxRetries: 0, timeout: 30_000 });
const client = connect();
const user = (content) => [{ role: "user", content }];
const ask = (content, more = {}) => client.messages.create({ model: MODEL, max_tokens: 2000, messages: user(content), ...more });
const TOOLS = [{ name: "get_weather", description: "The weather of a city.", input_schema: WEATHER_SCHEMA }];
const textOf = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");

async function plain_turn() {
  const answer = await ask("Say hello.", { system: "Be brief." });
  assert.equal(answer.type, "message");
  assert.equal(answer.role, "assistant");
  assert.equal(answer.stop_reason, "end_turn");
  assert.match(textOf(answer), /Hello/);
  assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0);
}

async function stream() {
  const events = await collect(await ask("{{chunks=5}} Count.", { stream: true }));
  assert.equal(events[0].type, "message_start");
  assert.equal(events.at(-1).type, "message_stop");
  const deltas = events.filter((event) => event.delta?.type === "text_delta");
  assert.ok(deltas.length >= 5);
  return `${events.length} events`;
}

async function stream_helper() {
  const runner = client.messages.stream({ model: MODEL, max_tokens: 2000, messages: user("Say hello.") });
  let text = "";
  runner.on("text", (delta) => (text += delta));
  const message = await runner.finalMessage();
  assert.ok(text && textOf(message) === text);
  assert.equal(message.stop_reason, "end_turn");
}

async function roundTrip(prompt, callsWanted, model, isStreamed = false) {
  const messages = user(prompt);
  const body = { model, max_tokens: 2000, messages, tools: TOOLS };
  const first = isStreamed ? await client.messages.stream(body).finalMessage() : await client.messages.create(body);
  const calls = first.content.filter((block) => block.type === "tool_use");
  assert.equal(first.stop_reason, "tool_use");
  assert.equal(calls.length, callsWanted);
  assert.equal(new Set(calls.map((call) => call.id)).size, callsWanted);
  calls.forEach((call) => assert.match(call.id, /^[a-zA-Z0-9_-]+$/));
  calls.forEach((call) => assert.equal(typeof call.input, "object"));
  const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: '{"celsius": 21}' }));
  messages.push({ role: "assistant", content: first.content }, { role: "user", content: results });
  const last = await client.messages.create(body);
  assert.match(textOf(last), /21/);
  assert.equal(last.stop_reason, "end_turn");
}

const tools = () => roundTrip(ASK_WEATHER, 1, MODEL);
const tools_streamed = () => roundTrip(ASK_WEATHER, 1, MODEL, true);
const tools_in_parallel = () => roundTrip(ASK_TWICE, 2, MODEL);
const tools_with_signatures = () => roundTrip(ASK_TWICE, 2, SIGNING_MODEL, true);

async function thinking() {
  const answer = await ask("Say hello.", { max_tokens: 4000, thinking: { type: "enabled", budget_tokens: 1024 } });
  assert.equal(answer.content[0].type, "thinking");
  assert.ok(answer.content[0].signature);
}

async function count_tokens() {
  assert.ok((await client.messages.countTokens({ model: MODEL, messages: user("How many are these?") })).input_tokens > 0);
}

async function models_list() {
  const models = await collect(client.models.list());
  assert.ok(models.some((model) => model.id === MODEL));
  return `${models.length} models`;
}

async function error_401_unknown_client() {
  const call = () => connect("a-strangers-key").messages.create({ model: MODEL, max_tokens: 20, messages: user("Hello") });
  const error = await raises(Anthropic.AuthenticationError, call);
  return `${error.status} ${error.error.error.type}`;
}

async function error_404_unknown_model() {
  const error = await raises(Anthropic.NotFoundError, () => ask("Hello", { model: "gemini-0.1-nonesuch" }));
  return `${error.status} ${error.error.error.type}`;
}

async function error_429() {
  const error = await raises(Anthropic.RateLimitError, () => ask("{{fault=minute-limit}}", { model: SPARE_MODEL }));
  return `${error.status} ${error.error.error.type}`;
}

async function error_in_mid_stream() {
  const error = await raises(Anthropic.APIError, async () =>
    collect(await ask("{{chunks=5}}{{fault=event-error}}", { stream: true })));
  return error.message;
}

await run([
  plain_turn, stream, stream_helper, tools, tools_streamed, tools_in_parallel, tools_with_signatures, thinking, count_tokens,
  models_list, error_401_unknown_client, error_404_unknown_model, error_429, error_in_mid_stream,
]);
