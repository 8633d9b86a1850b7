// Libra as a Vercel edge function. One gateway an isolate; what it learns of its keys outlives it in a Redis, if one is set.
import module from "../gateway/libra_bg.wasm?module";
import { answer, initSync } from "../gateway/libra.js";

// Gemini answers no request from Hong Kong: only regions where it does.
export const config = { runtime: "edge", regions: ["iad1", "sfo1", "fra1", "hnd1", "sin1"] };

initSync({ module });

export default (request, context) => {
  const waitUntil = (work) => context?.waitUntil?.(work);
  const peer = request.headers.get("x-real-ip") ?? undefined;
  return answer(request, { peer, waitUntil, variable: (name) => process.env[name], isGuarded: true });
};
