// The official OpenAI SDK for Node: Responses.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, SPARE_MODEL, WEATHER_SCHEMA, collect, raises, run,
} from "./checks.mjs";

const connect = (apiKey = API_KEY) => new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });
const client = connect();
const respond = (input, more = {}) => client.responses.create({ model: MODEL, input, store: false, ...more });
const TOOLS = [
  { type: "function", name: "get_weather", description: "The weather of a city.", parameters: WEATHER_SCHEMA, strict: true },
];

async function plain_turn() {
  const answer = await respond("Say hello.", { instructions: "Be brief.", max_output_tokens: 2000 });
  assert.equal(answer.status, "completed");
  assert.match(answer.output_text, /Hello/);
  assert.ok(answer.usage.total_tokens >= answer.usage.input_tokens + answer.usage.output_tokens);
  assert.ok(answer.usage.output_tokens > 0);
}

async function stream() {
  const events = await collect(await respond("{{chunks=5}} Count.", { stream: true }));
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, place) => place));
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).type, "response.completed");
  const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  assert.ok(deltas.length >= 5);
  const message = events.at(-1).response.output.find((item) => item.type === "message");
  assert.equal(message.content[0].text, deltas.join(""));
  return `${events.length} events`;
}

async function stream_helper() {
  const runner = client.responses.stream({ model: MODEL, input: "Say hello.", store: false });
  let text = "";
  runner.on("response.output_text.delta", (event) => (text += event.delta));
  const response = await runner.finalResponse();
  assert.ok(text && response.output_text === text);
}

async function roundTrip(prompt, callsWanted, model, isStreamed = false) {
  const input = [{ role: "user", content: prompt }];
  const body = { model, input, tools: TOOLS, store: false, include: ["reasoning.encrypted_content"] };
  const first = isStreamed ? await client.responses.stream(body).finalResponse() : await client.responses.create(body);
  const calls = first.output.filter((item) => item.type === "function_call");
  assert.equal(calls.length, callsWanted);
  assert.equal(new Set(calls.map((call) => call.call_id)).size, callsWanted);
  calls.forEach((call) => assert.equal(typeof JSON.parse(call.arguments), "object"));
  // What the helper adds to an item is not sent back.
  input.push(...first.output.map(({ parsed_arguments, ...item }) => item));
  input.push(...calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: '{"celsius": 21}' })));
  const last = await client.responses.create({ ...body, input });
  assert.match(last.output_text, /21/);
}

const tools = () => roundTrip(ASK_WEATHER, 1, MODEL);
const tools_streamed = () => roundTrip(ASK_WEATHER, 1, MODEL, true);
const tools_in_parallel = () => roundTrip(ASK_TWICE, 2, MODEL);
const tools_with_signatures = () => roundTrip(ASK_TWICE, 2, SIGNING_MODEL, true);

async function tools_with_previous_response() {
  const body = { model: SIGNING_MODEL, tools: TOOLS };
  const first = await client.responses.create({ ...body, input: ASK_TWICE });
  const calls = first.output.filter((item) => item.type === "function_call");
  const input = calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: '{"celsius": 21}' }));
  const last = await client.responses.create({ ...body, input, previous_response_id: first.id });
  assert.match(last.output_text, /21/);
  assert.equal((await client.responses.retrieve(last.id)).output_text, last.output_text);
  await client.responses.delete(last.id);
  await raises(OpenAI.NotFoundError, () => client.responses.retrieve(last.id));
}

async function parsed_model() {
  const City = z.object({ name: z.string(), population: z.number().int() });
  const answer = await client.responses.parse({
    model: MODEL, input: "A city, please.", text: { format: zodTextFormat(City, "city") }, store: false,
  });
  assert.ok(answer.output_parsed.name);
}

async function error_401_unknown_client() {
  const call = () => connect("a-strangers-key").responses.create({ model: MODEL, input: "Hello" });
  const error = await raises(OpenAI.AuthenticationError, call);
  return `${error.status} ${error.type} ${error.code}`;
}

async function error_404_unknown_model() {
  const error = await raises(OpenAI.NotFoundError, () => respond("Hello", { model: "gemini-0.1-nonesuch" }));
  return `${error.status} ${error.type} ${error.code}`;
}

async function error_429() {
  const error = await raises(OpenAI.RateLimitError, () => respond("{{fault=minute-limit}}", { model: SPARE_MODEL }));
  return `${error.status} ${error.type} ${error.code}`;
}

async function error_in_mid_stream() {
  const events = await collect(await respond("{{chunks=5}}{{fault=event-error}}", { stream: true })).catch((error) => error);
  if (events instanceof OpenAI.APIError) return events.message;
  const last = events.at(-1);
  assert.ok(last.type === "response.failed" && last.response.error.message, last.type);
  return last.response.error.message;
}

await run([
  plain_turn, stream, stream_helper, tools, tools_streamed, tools_in_parallel, tools_with_signatures,
  tools_with_previous_response, parsed_model, error_401_unknown_client, error_404_unknown_model, error_429, error_in_mid_stream,
]);
