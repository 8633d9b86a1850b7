// Libra as a Vercel edge function. One gateway an isolate: what it learns of its keys lives as long as that.
import module from "../gateway/libra_bg.wasm?module";
import { answer, initSync } from "../gateway/libra.js";

// Gemini answers no request from Hong Kong: only regions where it does.
export const config = { runtime: "edge", regions: ["iad1", "sfo1", "fra1", "hnd1", "sin1"] };

initSync({ module });

export default (request, context) => {
  const waitUntil = (work) => context?.waitUntil?.(work);
  return answer(request, request.headers.get("x-real-ip"), waitUntil, (name) => process.env[name], true);
};
