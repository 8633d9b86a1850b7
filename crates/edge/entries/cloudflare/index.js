// Libra as a Cloudflare Worker. One gateway an isolate: what it learns of its keys lives as long as that.
import module from "./libra_bg.wasm";
import { initSync, Libra } from "./libra.js";

initSync({ module });
let libra;

export default {
  fetch(request, env, context) {
    libra ??= new Libra((name) => env[name], true);
    const peer = request.headers.get("cf-connecting-ip");
    const answer = libra.fetch(request, peer, (work) => context.waitUntil(work));
    // Otherwise nothing runs any more once the client has left, not even what cleans up after it.
    context.waitUntil(answer);
    return answer;
  },
};
