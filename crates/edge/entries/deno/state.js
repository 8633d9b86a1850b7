// What the gateway keeps in Deno KV, below ["libra", 1]: records, a log of what was written lately, and what conversations
// have left behind; keys are below ["libra", "keys"], one an entry.

const ROOT = ["libra", 1];
const KEYS = ["libra", "keys"];
// So many records are read by an isolate.
const MOST = 5000;
// How long the log goes back, and by how much isolates' clocks may differ, in milliseconds.
const LOGGED = 120_000;
const APART = 10_000;
// A value may have 64 KB, and one request for values name ten of them.
const PART = 60_000;
const AT_ONCE = 10;
// What has no end is kept for a year after it was last written: Deno KV takes no end that is far away.
const LONGEST = 365 * 24 * 3600 * 1000;

const lasting = (milliseconds) => Math.min(Math.max(milliseconds, 1000), LONGEST);

/** A store, where the runtime has one: on Deno Deploy, or in the file that is named. */
export async function openState(path, isOnDeploy) {
  if (typeof Deno.openKv !== "function" || path === "off") return undefined;
  // On a machine of one's own nothing is written that was not asked for.
  if (path === undefined && !isOnDeploy) return undefined;
  try {
    return new State(await Deno.openKv(path));
  } catch (error) {
    console.error(JSON.stringify({ event: "state", problem: `Deno KV cannot be opened: ${error.message}` }));
    return undefined;
  }
}

class State {
  #kv;

  constructor(kv) {
    this.#kv = kv;
  }

  async read(after) {
    const now = Date.now();
    const all = { prefix: [...ROOT, "records"] };
    const log = { start: [...ROOT, "log", Number(after) - APART], end: [...ROOT, "log", Infinity] };
    const records = [];
    for await (const { value } of this.#kv.list(after === undefined ? all : log, { limit: MOST })) records.push(value);
    const keys = [];
    for await (const { value } of this.#kv.list({ prefix: KEYS })) keys.push(String(value));
    return `{"cursor":"${now}","records":[${records.join(",")}],"keys":${JSON.stringify(keys)}}`;
  }

  async write(records) {
    const all = JSON.parse(records);
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const some = all.slice(at, at + AT_ONCE);
      // Somebody else may write at the same time: then it is looked at again.
      for (let tries = 0; tries < 3 && !(await this.#merge(some)); tries += 1);
    }
  }

  /** Writes those that count more than what is there. False: that has changed meanwhile. */
  async #merge(records) {
    const now = Date.now();
    const key = (record) => [...ROOT, "records", record[0]];
    const known = await this.#kv.getMany(records.map(key));
    const changes = this.#kv.atomic();
    records.forEach((record, at) => {
      const { value, versionstamp } = known[at];
      if (value !== null && JSON.parse(value)[1] > record[1]) return;
      const text = JSON.stringify(record);
      changes.check({ key: key(record), versionstamp });
      changes.set(key(record), text, { expireIn: lasting(record[2] - now) });
      changes.set([...ROOT, "log", now, crypto.randomUUID()], text, { expireIn: LOGGED });
    });
    return (await changes.commit()).ok;
  }

  async find(names) {
    const entries = [];
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const some = names.slice(at, at + AT_ONCE).map((name) => [...ROOT, "contents", name, 0]);
      entries.push(...(await this.#kv.getMany(some)));
    }
    return Promise.all(
      entries.map(async ({ key, value }) => {
        if (value === null || value.parts === 1) return value?.text;
        let text = "";
        for await (const part of this.#kv.list({ prefix: key.slice(0, -1) }, { limit: value.parts })) text += part.value.text;
        return text;
      }),
    );
  }

  async keep(contents) {
    const now = Date.now();
    for (const [name, until, value] of JSON.parse(contents)) {
      const expireIn = lasting(until - now);
      const parts = Math.ceil(value.length / PART);
      const changes = this.#kv.atomic();
      for (let at = 0; at < parts; at += 1) {
        const text = value.slice(at * PART, (at + 1) * PART);
        changes.set([...ROOT, "contents", name, at], { parts, text }, { expireIn });
      }
      await changes.commit();
    }
  }

  async change(add, remove) {
    for (const entry of add) await this.#kv.set([...KEYS, crypto.randomUUID()], entry);
    if (remove.length === 0) return;
    for await (const { key, value } of this.#kv.list({ prefix: KEYS })) {
      if (remove.includes(value)) await this.#kv.delete(key);
    }
  }
}
