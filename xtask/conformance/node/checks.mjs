// What the clients' checks share: a function that runs one and says PASS or FAIL, and the settings.
//
// The settings are variables: BASE_URL, API_KEY (a client key of the gateway), MODEL, SIGNING_MODEL (one that
// signs its thoughts and wants the signatures back), SPARE_MODEL (of which the checks of limits use up the rest),
// EMBEDDING_MODEL.

export const BASE_URL = process.env.BASE_URL.replace(/\/+$/, "");
export const API_KEY = process.env.API_KEY;
export const MODEL = process.env.MODEL ?? "gemini-2.5-flash";
export const SIGNING_MODEL = process.env.SIGNING_MODEL ?? "gemini-3-flash-preview";
export const SPARE_MODEL = process.env.SPARE_MODEL ?? "gemini-2.5-flash-lite";
export const EMBEDDING_MODEL = process.env.EMBEDDING_MODEL ?? "gemini-embedding-001";

export const WEATHER_SCHEMA = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const ASK_WEATHER = "What is the weather in Lisbon? Please use get_weather.";
export const ASK_TWICE =
  'In Lisbon and in Riga? {{call=get_weather {"city": "Lisbon"}}} {{call=get_weather {"city": "Riga"}}}';

const outcomes = [];

/** Runs the checks one after another; their names are the functions'. */
export async function run(checks) {
  for (const check of checks) {
    let passed = true;
    let note;
    try {
      note = (await check()) ?? "";
    } catch (error) {
      // A check may fail in any way that an SDK can.
      passed = false;
      const where = /\/([^/]+\.mjs:\d+)/.exec(error?.stack ?? "")?.[1] ?? "";
      note = `${error?.name}: ${error?.message} (${where})`;
    }
    outcomes.push(passed);
    note = String(note).replace(/\s+/g, " ").slice(0, 300);
    console.log(`${passed ? "PASS" : "FAIL"} ${check.name}${note ? ` - ${note}` : ""}`);
  }
  const failed = outcomes.filter((passed) => !passed).length;
  console.log(`${outcomes.length - failed} passed, ${failed} failed`);
  process.exit(failed > 0 || outcomes.length === 0 ? 1 : 0);
}

/** The error of the kind that the call must end with. */
export async function raises(kind, call) {
  try {
    await call();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`no ${kind.name}`);
}

/** All that a stream gives. */
export async function collect(stream) {
  const all = [];
  for await (const piece of stream) all.push(piece);
  return all;
}
