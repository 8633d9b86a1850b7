// Libra as a Netlify edge function. One gateway an isolate; what it learns of its keys outlives it in a Redis, if one is set.
import { answer, initSync } from "../gateway/libra.js";
import wasm from "../gateway/wasm.js";

initSync({ module: Uint8Array.from(atob(wasm), (char) => char.charCodeAt(0)) });

export default (request, context) => {
  const waitUntil = (work) => context.waitUntil?.(work);
  const variable = (name) => Netlify.env.get(name);
  return answer(request, { peer: context.ip, waitUntil, variable, isGuarded: true });
};
