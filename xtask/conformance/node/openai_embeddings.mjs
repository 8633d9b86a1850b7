// The official OpenAI SDK for Node: embeddings. It asks for base64 without being told to, and decodes whatever comes.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { API_KEY, BASE_URL, EMBEDDING_MODEL, raises, run } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${BASE_URL}/v1`, apiKey: API_KEY, maxRetries: 0, timeout: 30_000 });
const embed = (input, more = {}) => client.embeddings.create({ model: EMBEDDING_MODEL, input, ...more });
const length = (vector) => Math.hypot(...vector);

async function plain_turn() {
  const answer = await embed("Hello");
  assert.equal(answer.object, "list");
  assert.ok(answer.data[0].embedding.length >= 768);
  assert.ok(Math.abs(length(answer.data[0].embedding) - 1) < 0.01);
  assert.ok(answer.usage.total_tokens > 0);
}

async function several_in_their_order() {
  const [one, two] = await Promise.all(["one", "two"].map((text) => embed(text, { dimensions: 256 })));
  const both = await embed(["one", "two"], { dimensions: 256 });
  assert.deepEqual(both.data.map((item) => item.index), [0, 1]);
  assert.deepEqual(both.data.map((item) => item.embedding), [one.data[0].embedding, two.data[0].embedding]);
}

async function numbers_and_base64_are_the_same() {
  const numbers = (await embed("same", { dimensions: 256, encoding_format: "float" })).data[0].embedding;
  const decoded = (await embed("same", { dimensions: 256 })).data[0].embedding;
  assert.equal(decoded.length, 256);
  decoded.forEach((value, place) => assert.ok(Math.abs(value - numbers[place]) < 1e-6));
}

async function error_400_tokens() {
  const error = await raises(OpenAI.BadRequestError, () => embed([[1, 2, 3]]));
  return error.message;
}

await run([plain_turn, several_in_their_order, numbers_and_base64_are_the_same, error_400_tokens]);
