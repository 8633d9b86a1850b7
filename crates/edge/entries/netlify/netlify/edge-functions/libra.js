// Libra as a Netlify edge function. One gateway an isolate: what it learns of its keys lives as long as that.
import { initSync, Libra } from "../gateway/libra.js";
import wasm from "../gateway/wasm.js";

initSync({ module: Uint8Array.from(atob(wasm), (char) => char.charCodeAt(0)) });
let libra;

export default (request, context) => {
  libra ??= new Libra((name) => Netlify.env.get(name), true);
  return libra.fetch(request, context.ip, (work) => context.waitUntil?.(work));
};
