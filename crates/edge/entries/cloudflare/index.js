// Libra as a Cloudflare Worker. All requests go through one Durable Object: one gateway with one pool, and what it learns
// outlives it there. Without the binding LIBRA each isolate is a gateway of its own.
import { DurableObject } from "cloudflare:workers";
import module from "./libra_bg.wasm";
import { answer, initSync } from "./libra.js";
import { sockets } from "./sockets.js";
import { State } from "./state.js";

initSync({ module });

function serve(request, env, context, state) {
  const peer = request.headers.get("cf-connecting-ip") ?? undefined;
  const waitUntil = (work) => context.waitUntil(work);
  const variable = (name) => env[name];
  const answered = answer(request, { peer, waitUntil, variable, isGuarded: true, state, sockets });
  // Otherwise nothing runs any more once the client has left, not even what cleans up after it.
  waitUntil(answered);
  return answered;
}

export class Libra extends DurableObject {
  #state = new State(this.ctx.storage.sql);

  fetch(request) {
    return serve(request, this.env, this.ctx, this.#state);
  }
}

export default {
  async fetch(request, env, context) {
    if (env.LIBRA === undefined) return serve(request, env, context);
    // Where it is made, and Gemini is asked from. Once it is there, it stays.
    const locationHint = env.LIBRA_LOCATION ?? "enam";
    try {
      return await env.LIBRA.get(env.LIBRA.idFromName("libra"), { locationHint }).fetch(request);
    } catch {
      // It has more to do than it can, or is being moved: all clients try that again.
      const error = { code: 503, status: "UNAVAILABLE", message: "The gateway is busy; try again. 网关繁忙，请重试。" };
      return Response.json({ error }, { status: 503, headers: { "retry-after": "1" } });
    }
  },
};
