// Scripts as people write them with the official SDK for Node: the same as ../objects.py, with the same variables and
// the same lines on standard output.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { ApiError, GenerateVideosOperation, GoogleGenAI, Modality } from "@google/genai";
import { API_KEY, ASK_WEATHER, BASE_URL, MODEL, WEATHER_SCHEMA } from "./checks.mjs";

const FILM_MODEL = "veo-3.1-generate-preview";
const LIVE_MODEL = "gemini-live-2.5-flash-preview";
const LARGE_SIZE = 64 << 20;
// In the middle of the third piece.
const CUT = 20_000_000;
// Longer than any of it takes on a busy machine.
const PATIENCE_MS = 450_000;

const [FIRST, LAST] = process.env.SCRIPTS.split("-").map(Number);
const LARGE = new Set((process.env.LARGE ?? "").split(",").filter(Boolean).map(Number));
const PAUSE = Boolean(process.env.PAUSE);
const LEFT_OUT = new Set((process.env.LEFT_OUT ?? "").split(","));

const connect = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: BASE_URL } });
const soon = () => new Promise((done) => setTimeout(done, 300));
const collect = async (pages) => {
  const all = [];
  for await (const item of pages) all.push(item);
  return all;
};

/** All names of a list. Of a page that is empty, as one is whose objects others delete meanwhile, the SDK gives `undefined`. */
const namesOf = async (pages) => (await collect(pages)).filter(Boolean).map((item) => item.name);

/** Opens when so many have arrived, and whoever started the process says so. */
class Barrier {
  constructor(parties) {
    this.missing = parties;
    this.opened = new Promise((open) => (this.open = open));
  }

  arrive() {
    this.missing -= 1;
    if (this.missing > 0) return;
    const lines = createInterface({ input: process.stdin });
    lines.once("line", () => {
      lines.close();
      this.open();
    });
    console.log("WAITING");
  }
}

class Script {
  constructor(number) {
    this.number = number;
    this.key = number % 4 === 0 ? `${API_KEY}-${number}` : API_KEY;
    this.client = connect(this.key);
    this.stranger = connect(this.key === API_KEY ? `${API_KEY}-0` : API_KEY);
    this.step = "start";
    this.made = 0;
    this.waits = 0;
  }

  async run(barrier) {
    const began = Date.now();
    try {
      try {
        await this.all(MAKING);
      } finally {
        barrier?.arrive();
      }
      await barrier?.opened;
      await this.all(USING);
      console.log(`DONE ${this.number} ${this.made} ${this.waits} ${((Date.now() - began) / 1000).toFixed(2)}`);
    } catch (error) {
      // A script may fail in any way that an SDK can.
      const cause = error?.cause ? ` (${error.cause.code ?? error.cause.message})` : "";
      const code = error?.status ? ` ${error.status}` : "";
      const where = error?.status ? "" : ` (${/\/([^/]+\.mjs:\d+)/.exec(error?.stack ?? "")?.[1]})`;
      const why = `${error?.name}${code}: ${error?.message}${cause}${where}`.replace(/\s+/g, " ").slice(0, 400);
      console.log(`FAIL ${this.number} ${this.step} - ${why}`);
    }
  }

  async all(steps) {
    for (const step of steps) {
      this.step = step.name;
      if (LEFT_OUT.has(step.name)) continue;
      const late = new Promise((_, reject) => {
        const timer = setTimeout(() => reject(new Error("it takes too long")), PATIENCE_MS);
        timer.unref();
      });
      await Promise.race([step(this), late]);
    }
  }

  async upload(displayName, mimeType, content) {
    this.made += 1;
    const config = { displayName: `${displayName} of ${this.number}`, mimeType };
    const file = await this.client.files.upload({ file: new Blob([content], { type: mimeType }), config });
    assert.equal(Number(file.sizeBytes), content.length);
    assert.ok(file.uri.startsWith(BASE_URL), file.uri);
    // Google shows the digits of the digest, encoded once more.
    const digest = Buffer.from(file.sha256Hash, "base64").toString();
    assert.equal(digest, createHash("sha256").update(content).digest("hex"));
    return file;
  }

  /** What the call gives, made again for some minutes where there is no room. */
  async patiently(call) {
    const end = Date.now() + 200_000;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (error?.status !== 429 || Date.now() > end) throw error;
        this.waits += 1;
        await new Promise((done) => setTimeout(done, 2_000));
      }
    }
  }

  async generate(contents, config = {}) {
    const answer = await this.patiently(() => this.client.models.generateContent({ model: MODEL, contents, config }));
    assert.ok(answer.text);
    return answer;
  }

  part(file) {
    return { fileData: { fileUri: file.uri, mimeType: file.mimeType } };
  }
}

/** Three files. One of them is large in some scripts. */
async function files(script) {
  const { number } = script;
  const isLarge = LARGE.has(number);
  const directive = isLarge ? ` {{cut=${CUT}}}` : "";
  script.files = [
    await script.upload("text", "text/plain", Buffer.from(`The text of script ${number}.`)),
    await script.upload("picture", "image/png", Buffer.alloc(30_000, number % 256)),
    await script.upload(`sound${directive}`, "audio/wav", Buffer.alloc(isLarge ? LARGE_SIZE : 70_000, `n${number}`)),
  ];
}

async function cache(script) {
  script.made += 1;
  script.cache = await script.client.caches.create({
    model: MODEL,
    config: {
      contents: [{ role: "user", parts: [script.part(script.files[0]), { text: "Remember this." }] }],
      ttl: "600s",
      displayName: `cache of ${script.number}`,
    },
  });
  assert.match(script.cache.name, /^cachedContents\//);
}

/** Requests in the call, or in a file; one of them names a file. */
async function batch(script) {
  script.made += 1;
  let src = [{ contents: [{ role: "user", parts: [{ text: "What is this?" }, script.part(script.files[1])] }] }];
  if (script.number % 2) {
    const line = (at) => JSON.stringify({ key: `r${at}`, request: { contents: [{ parts: [{ text: "Hello" }] }] } });
    script.lines = await script.upload("batch", "jsonl", Buffer.from([0, 1, 2].map(line).join("\n")));
    src = script.lines.name;
  }
  const config = { displayName: `batch of ${script.number}` };
  script.batch = await script.patiently(() => script.client.batches.create({ model: MODEL, src, config }));
  assert.match(script.batch.name, /^batches\//);
}

/** This SDK asks Google's other service alone for films, so the first call is made by hand. */
async function film(script) {
  script.made += 2; // the operation and the film
  const begun = await script.patiently(async () => {
    const answer = await fetch(`${BASE_URL}/v1beta/models/${FILM_MODEL}:predictLongRunning`, {
      method: "POST",
      headers: { "x-goog-api-key": script.key, "content-type": "application/json" },
      body: JSON.stringify({ instances: [{ prompt: `The film of ${script.number}.` }], parameters: { sampleCount: 1 } }),
    });
    if (!answer.ok) throw new ApiError({ message: await answer.text(), status: answer.status });
    return answer.json();
  });
  script.film = new GenerateVideosOperation();
  script.film.name = begun.name;
}

async function store(script) {
  script.made += 5; // the store, two operations and two documents
  const stores = script.client.fileSearchStores;
  script.store = await stores.create({ config: { displayName: `store of ${script.number}` } });
  script.uploading = await stores.uploadToFileSearchStore({
    fileSearchStoreName: script.store.name,
    file: new Blob(["Something to be found."], { type: "text/plain" }),
    config: { displayName: "found", mimeType: "text/plain" },
  });
  script.importing = await stores.importFile({
    fileSearchStoreName: script.store.name, fileName: script.files[0].name,
  });
}

async function interaction(script) {
  script.made += 1;
  const input = `I am ${script.number}. Remember me.`;
  script.interaction = await script.patiently(() => script.client.interactions.create({ model: MODEL, input }));
  assert.ok(script.interaction.id);
  assert.equal(script.interaction.status, "completed");
}

/** What was made is in the lists. */
async function listed(script) {
  const { client } = script;
  const pageSize = (size) => ({ config: { pageSize: size } });
  for (const [expected, pages] of [
    [script.files, await client.files.list(pageSize(100))],
    [[script.cache], await client.caches.list(pageSize(100))],
    [[script.batch], await client.batches.list(pageSize(100))],
    [[script.store], await client.fileSearchStores.list(pageSize(20))],
  ]) {
    const found = await namesOf(pages);
    for (const { name } of expected) assert.ok(found.includes(name), `${name} is not among ${found.length}`);
    assert.equal(new Set(found).size, found.length, "something is there twice");
  }
}

/** Another client of the same pool sees nothing of it. */
async function strangers(script) {
  const { stranger } = script;
  const [file] = script.files;
  const contents = [{ role: "user", parts: [script.part(file), { text: "What is this?" }] }];
  for (const ask of [
    () => stranger.files.get({ name: file.name }),
    () => stranger.files.delete({ name: file.name }),
    () => stranger.models.generateContent({ model: MODEL, contents }),
    () => stranger.caches.get({ name: script.cache.name }),
    () => stranger.models.generateContent({
      model: MODEL, contents: "Hello", config: { cachedContent: script.cache.name },
    }),
    () => stranger.operations.get({ operation: script.film }),
  ]) {
    await assert.rejects(ask, (error) => error instanceof ApiError && error.status === 403);
  }
  if (script.key !== API_KEY && script.number % 8 === 0) {
    const names = await namesOf(await stranger.files.list({ config: { pageSize: 100 } }));
    assert.ok(!names.includes(file.name), "a stranger's list has it");
  }
}

/** A prompt with two files; every other one is streamed. */
async function prompt(script) {
  const parts = [script.part(script.files[1]), script.part(script.files[2]), { text: "Compare them." }];
  const contents = [{ role: "user", parts }];
  if (script.number % 2) {
    const stream = await script.patiently(() => script.client.models.generateContentStream({ model: MODEL, contents }));
    assert.ok((await collect(stream)).map((chunk) => chunk.text ?? "").join(""));
  } else {
    await script.generate(contents);
  }
  const counted = await script.patiently(() => script.client.models.countTokens({ model: MODEL, contents }));
  assert.ok(counted.totalTokens > 0);
}

/** A new file is used with an old one. */
async function together(script) {
  const file = await script.upload("another", "image/png", Buffer.alloc(300, "new"));
  const parts = [script.part(script.files[1]), script.part(file), { text: "Which is newer?" }];
  await script.generate([{ role: "user", parts }]);
  script.files.push(file);
}

async function cache_used(script) {
  const { name, expireTime } = script.cache;
  const answer = await script.generate("What do you remember?", { cachedContent: name });
  // A cache is written out where its project has no room.
  assert.ok(answer.usageMetadata.cachedContentTokenCount > 0 || !PAUSE);
  const updated = await script.client.caches.update({ name, config: { ttl: "1200s" } });
  assert.ok(updated.expireTime > expireTime);
  assert.equal((await script.client.caches.get({ name })).expireTime, updated.expireTime);
}

async function download(script, file) {
  const downloadPath = `${process.env.TMPDIR ?? "/tmp"}/download-${process.pid}-${script.number}`;
  try {
    await script.client.files.download({ file, downloadPath });
    return await readFile(downloadPath);
  } finally {
    await rm(downloadPath, { force: true });
  }
}

async function batch_ended(script) {
  while (!["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"].includes(script.batch.state)) {
    await soon();
    script.batch = await script.client.batches.get({ name: script.batch.name });
  }
  assert.equal(script.batch.state, "JOB_STATE_SUCCEEDED");
  if (script.number % 2) {
    script.made += 1;
    const lines = (await download(script, script.batch.dest.fileName)).toString().trim().split("\n");
    assert.deepEqual(lines.map((line) => JSON.parse(line).key), ["r0", "r1", "r2"]);
  } else {
    assert.equal(script.batch.dest.inlinedResponses.length, 1);
    assert.ok(script.batch.dest.inlinedResponses[0].response.candidates);
  }
}

async function film_seen(script) {
  while (!script.film.done) {
    await soon();
    script.film = await script.client.operations.get({ operation: script.film });
  }
  const { video } = script.film.response.generatedVideos[0];
  assert.ok(video.uri.startsWith(BASE_URL), video.uri);
  const content = await download(script, video);
  assert.equal(content.length, 2 << 20);
  assert.equal(content.subarray(4, 8).toString(), "ftyp");
  script.film_file = await script.client.files.get({ name: /files\/([a-z0-9]+)/.exec(video.uri)[1] });
  const parts = [script.part(script.film_file), { text: "What happens?" }];
  await script.generate([{ role: "user", parts }]);
}

async function store_searched(script) {
  for (const name of ["uploading", "importing"]) {
    while (!script[name].done) {
      await soon();
      script[name] = await script.client.operations.get({ operation: script[name] });
    }
    assert.ok(script[name].response);
  }
  const tools = [{ fileSearch: { fileSearchStoreNames: [script.store.name] } }];
  await script.generate("What is to be found?", { tools });
  const documents = await collect(await script.client.fileSearchStores.documents.list({ parent: script.store.name }));
  assert.equal(documents.length, 2);
}

async function interaction_followed(script) {
  script.made += 2;
  const { interactions } = script.client;
  const follow = (id, input, more) => script.patiently(
    () => interactions.create({ model: MODEL, input, previous_interaction_id: id, ...more }),
  );
  const stream = await follow(script.interaction.id, "Who am I?", { stream: true });
  const events = await collect(stream);
  const ids = events.map((event) => event.interaction?.id).filter(Boolean);
  assert.ok(ids.length > 0, "the stream names no interaction");
  const successor = await interactions.get(ids.at(-1));
  const third = await follow(successor.id, "And again?");
  const made = [script.interaction.id, successor.id, third.id];
  assert.equal(new Set(made).size, 3);
  for (const id of made) await interactions.delete(id);
}

/** A session with a call of a function. */
async function live(script) {
  const declared = {
    name: "get_weather", description: "The weather of a city.", parametersJsonSchema: WEATHER_SCHEMA,
  };
  let session;
  let said = "";
  await new Promise((done, fail) => {
    const hear = (message) => {
      for (const { id, name } of message.toolCall?.functionCalls ?? []) {
        session.sendToolResponse({ functionResponses: [{ id, name, response: { celsius: 21 } }] });
      }
      said += message.text ?? "";
      if (said.includes("21")) done();
    };
    script.client.live.connect({
      model: LIVE_MODEL,
      config: { responseModalities: [Modality.TEXT], tools: [{ functionDeclarations: [declared] }] },
      callbacks: {
        onmessage: hear,
        onerror: () => {},
        onclose: ({ code, reason }) => fail(new Error(`closed: ${code} ${reason}`)),
      },
    }).then((opened) => {
      session = opened;
      session.sendClientContent({ turns: ASK_WEATHER, turnComplete: true });
    }, fail);
  });
  session.close();
}

async function deleted(script) {
  const { client } = script;
  await client.caches.delete({ name: script.cache.name });
  await client.batches.delete({ name: script.batch.name });
  await client.fileSearchStores.delete({ name: script.store.name, config: { force: true } });
  const gone = [...script.files, script.film_file, ...(script.lines ? [script.lines] : [])].map((file) => file.name);
  for (const name of gone) await client.files.delete({ name });
  await assert.rejects(() => client.files.get({ name: gone[0] }), (error) => error.status === 403);
  const names = await namesOf(await client.files.list({ config: { pageSize: 100 } }));
  assert.ok(!gone.some((name) => names.includes(name)), "a list has what was deleted");
}

const MAKING = [files, cache, batch, film, store, interaction, listed, strangers];
const USING = [
  prompt, together, cache_used, batch_ended, film_seen, store_searched, interaction_followed, live, deleted,
];

const scripts = Array.from({ length: LAST - FIRST + 1 }, (_, at) => new Script(FIRST + at));
const barrier = PAUSE ? new Barrier(scripts.length) : undefined;
await Promise.all(scripts.map((script) => script.run(barrier)));
process.exit(0);
