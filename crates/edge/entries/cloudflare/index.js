// Libra as a Cloudflare Worker. One gateway an isolate: what it learns of its keys lives as long as that.
import module from "./libra_bg.wasm";
import { answer, initSync } from "./libra.js";

initSync({ module });

export default {
  fetch(request, env, context) {
    const peer = request.headers.get("cf-connecting-ip");
    const waitUntil = (work) => context.waitUntil(work);
    const answered = answer(request, peer, waitUntil, (name) => env[name], true);
    // Otherwise nothing runs any more once the client has left, not even what cleans up after it.
    waitUntil(answered);
    return answered;
  },
};
