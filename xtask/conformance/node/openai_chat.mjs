// The official OpenAI SDK for Node: chat completions, models, embeddings.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, SPARE_MODEL, WEATHER_SCHEMA, collect, raises, run,
} from "./checks.mjs";

const connect = (apiKey = API_KEY) => new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });
const client = connect();
const user = (content) => [{ role: "user", content }];
const chat = (content, more = {}) => client.chat.completions.create({ model: MODEL, messages: user(content), ...more });
const TOOLS = [
  { type: "function", function: { name: "get_weather", description: "The weather of a city.", parameters: WEATHER_SCHEMA } },
];
const weatherOf = (calls, answer) => calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: answer }));

async function plain_turn() {
  const answer = await client.chat.completions.create({
    model: MODEL,
    temperature: 0.3,
    max_completion_tokens: 200,
    messages: [{ role: "system", content: "Be brief." }, ...user("Say hello.")],
  });
  const [choice] = answer.choices;
  assert.equal(answer.object, "chat.completion");
  assert.equal(choice.finish_reason, "stop");
  assert.ok(choice.message.content);
  assert.equal(choice.message.refusal, null);
  assert.ok(answer.usage.total_tokens >= answer.usage.prompt_tokens + answer.usage.completion_tokens);
}

async function stream() {
  const chunks = await collect(await chat("{{chunks=5}} Count.", { stream: true }));
  assert.ok(chunks.length >= 5);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  const reasons = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.finish_reason).filter(Boolean);
  assert.deepEqual(reasons, ["stop"]);
  return `${chunks.length} chunks`;
}

async function stream_with_usage() {
  const chunks = await collect(await chat("Say hello.", { stream: true, stream_options: { include_usage: true } }));
  assert.ok(chunks.at(-1).usage.total_tokens > 0);
  assert.deepEqual(chunks.at(-1).choices, []);
}

async function stream_helper() {
  const runner = client.chat.completions.stream({ model: MODEL, messages: user("Say hello.") });
  let text = "";
  runner.on("content", (delta) => (text += delta));
  const completion = await runner.finalChatCompletion();
  assert.ok(text && completion.choices[0].message.content === text);
}

async function roundTrip(prompt, callsWanted, model) {
  const messages = user(prompt);
  const first = await client.chat.completions.create({ model, messages, tools: TOOLS });
  const [choice] = first.choices;
  const calls = choice.message.tool_calls ?? [];
  assert.equal(choice.finish_reason, "tool_calls");
  assert.equal(calls.length, callsWanted);
  assert.equal(new Set(calls.map((call) => call.id)).size, calls.length);
  calls.forEach((call) => assert.equal(typeof JSON.parse(call.function.arguments), "object"));
  // Only the fields that every client keeps.
  const kept = calls.map(({ id, type, function: { name, arguments: args } }) => ({ id, type, function: { name, arguments: args } }));
  messages.push({ role: "assistant", content: null, tool_calls: kept }, ...weatherOf(calls, '{"celsius": 21}'));
  const last = await client.chat.completions.create({ model, messages, tools: TOOLS });
  assert.equal(last.choices[0].finish_reason, "stop");
  assert.match(last.choices[0].message.content, /21/);
}

const tools = () => roundTrip(ASK_WEATHER, 1, MODEL);
const tools_in_parallel = () => roundTrip(ASK_TWICE, 2, MODEL);
const tools_with_signatures = () => roundTrip(ASK_TWICE, 2, SIGNING_MODEL);

async function tools_run_by_the_sdk() {
  let asked = 0;
  const runner = client.chat.completions.runTools({
    model: SIGNING_MODEL,
    stream: true,
    messages: user(ASK_WEATHER),
    tools: [{
      type: "function",
      function: { name: "get_weather", description: "The weather of a city.", parameters: WEATHER_SCHEMA, parse: JSON.parse,
        function: () => { asked += 1; return '{"celsius": 21}'; } },
    }],
  });
  assert.match(await runner.finalContent(), /21/);
  assert.equal(asked, 1);
}

async function parsed_model() {
  const City = z.object({ name: z.string(), population: z.number().int() });
  const answer = await client.chat.completions.parse({
    model: MODEL, messages: user("A city, please."), response_format: zodResponseFormat(City, "city"),
  });
  assert.ok(answer.choices[0].message.parsed.name);
}

async function models_list() {
  const models = await collect(client.models.list());
  assert.ok(models.some((model) => model.id === MODEL));
  return `${models.length} models`;
}

async function error_401_unknown_client() {
  const call = () => connect("a-strangers-key").chat.completions.create({ model: MODEL, messages: user("Hello") });
  const error = await raises(OpenAI.AuthenticationError, call);
  return `${error.status} ${error.type} ${error.code}`;
}

async function error_404_unknown_model() {
  const error = await raises(OpenAI.NotFoundError, () => chat("Hello", { model: "gemini-0.1-nonesuch" }));
  return `${error.status} ${error.type} ${error.code}`;
}

async function error_429() {
  const error = await raises(OpenAI.RateLimitError, () => chat("{{fault=minute-limit}}", { model: SPARE_MODEL }));
  assert.ok(Number(error.headers.get("retry-after")) > 0);
  return `${error.status} ${error.type} ${error.code}`;
}

async function error_in_mid_stream() {
  const error = await raises(OpenAI.APIError, async () =>
    collect(await chat("{{chunks=5}}{{fault=event-error}}", { stream: true })));
  return error.message;
}

await run([
  plain_turn, stream, stream_with_usage, stream_helper, tools, tools_in_parallel, tools_with_signatures,
  tools_run_by_the_sdk, parsed_model, models_list, error_401_unknown_client, error_404_unknown_model, error_429,
  error_in_mid_stream,
]);
