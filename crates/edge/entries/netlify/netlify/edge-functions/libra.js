// Libra as a Netlify edge function. One gateway an isolate: what it learns of its keys lives as long as that.
import { answer, initSync } from "../gateway/libra.js";
import wasm from "../gateway/wasm.js";

initSync({ module: Uint8Array.from(atob(wasm), (char) => char.charCodeAt(0)) });

export default (request, context) => {
  const waitUntil = (work) => context.waitUntil?.(work);
  return answer(request, context.ip, waitUntil, (name) => Netlify.env.get(name), true);
};
