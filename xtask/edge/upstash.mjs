// Stands in for a Redis with Upstash's REST API: `node upstash.mjs TOKEN`. It knows what the protocol's documentation says
// of pipelines and of the commands below, and nothing of who uses it.
//
// Besides, for tests: GET /all is all that is stored; POST /delay holds answers back for so many milliseconds.

import { createServer } from "node:http";

const token = process.argv[2];
const values = new Map();
let delay = 0;
let sequence = 0;

const ends = new Map();
const over = (key) => {
  if (ends.get(key) <= Date.now()) (values.delete(key), ends.delete(key));
};
const of = (key, make, kind) => {
  over(key);
  if (!values.has(key)) values.set(key, make());
  const value = values.get(key);
  if (!(value instanceof kind)) throw new Error("WRONGTYPE Operation against a key holding the wrong kind of value");
  return value;
};
const hash = (key) => of(key, () => new Map(), Map);
const set = (key) => of(key, () => new Set(), Set);
const log = (key) => of(key, () => [], Array);
const number = (id) => id.split("-").map(Number);
const isBefore = (a, b) => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

const commands = {
  GET: (key) => (over(key), values.get(key) ?? null),
  MGET: (...keys) => keys.map(commands.GET),
  SET(key, value, option, amount) {
    values.set(key, value);
    if (option === "PX") ends.set(key, Date.now() + Number(amount));
    else if (option !== undefined) throw new Error("ERR syntax error");
    return "OK";
  },
  EXPIRE: (key, seconds) => (values.has(key) ? (ends.set(key, Date.now() + Number(seconds) * 1000), 1) : 0),
  HSET(key, ...fields) {
    if (fields.length === 0 || fields.length % 2) throw new Error("ERR wrong number of arguments for 'hset' command");
    const before = hash(key).size;
    for (let at = 0; at < fields.length; at += 2) hash(key).set(fields[at], fields[at + 1]);
    return hash(key).size - before;
  },
  HGETALL: (key) => [...hash(key)].flat(),
  HDEL: (key, ...fields) => fields.filter((field) => hash(key).delete(field)).length,
  SADD: (key, ...members) => members.filter((member) => !set(key).has(member) && set(key).add(member)).length,
  SREM: (key, ...members) => members.filter((member) => set(key).delete(member)).length,
  SMEMBERS: (key) => [...set(key)],
  XADD(key, ...rest) {
    let most = Infinity;
    if (rest[0] === "MAXLEN") {
      rest.shift();
      if (["~", "="].includes(rest[0])) rest.shift();
      most = Number(rest.shift());
    }
    if (rest.shift() !== "*") throw new Error("ERR only * is known here");
    const id = `${Date.now()}-${(sequence += 1)}`;
    log(key).push([id, rest]);
    log(key).splice(0, Math.max(log(key).length - most, 0));
    return id;
  },
  XRANGE(key, start, end, _count, count = Infinity) {
    if (end !== "+") throw new Error("ERR only + is known here");
    const from = start === "-" ? [0, 0] : number(start.replace("(", ""));
    const isIn = ([id]) => isBefore(from, number(id)) || (!start.startsWith("(") && !isBefore(number(id), from));
    return log(key).filter(isIn).slice(0, Number(count));
  },
  XREVRANGE: (key, _end, _start, _count, count = Infinity) => [...log(key)].reverse().slice(0, Number(count)),
};

function run([name, ...rest]) {
  try {
    const command = commands[String(name).toUpperCase()];
    if (command === undefined) throw new Error(`ERR unknown command '${name}'`);
    return { result: command(...rest.map(String)) };
  } catch (error) {
    return { error: error.message };
  }
}

const shown = (value) => (value instanceof Map || value instanceof Set ? [...value] : value);
const server = createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  const answer = (status, value) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  };
  if (request.url === "/all") return answer(200, [...values].map(([key, value]) => [key, shown(value)]));
  if (request.url === "/delay") return ((delay = Number(body)), answer(200, delay));
  if (request.headers.authorization !== `Bearer ${token}`) return answer(401, { error: "Unauthorized" });
  if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
  if (request.method !== "POST" || request.url !== "/pipeline") return answer(404, { error: "Not found" });
  return answer(200, JSON.parse(body).map(run));
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
