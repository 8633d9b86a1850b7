// Libra for `deno serve`. One gateway an isolate; what it learns of its keys outlives it in Deno KV, and is shared there.
import { answer, initSync } from "./libra.js";
import { sockets } from "./sockets.js";
import { openState } from "./state.js";

const variable = (name) => Deno.env.get(name);
// Deno Deploy keeps requests out of private networks, a machine of one's own does not.
const isGuarded = ["DENO_DEPLOY", "DENO_DEPLOYMENT_ID"].some((name) => variable(name) !== undefined);

// A fault of one request must not end the others: the gateway begins anew by itself.
addEventListener("error", (event) => event.preventDefault());

initSync({ module: Deno.readFileSync(new URL("libra_bg.wasm", import.meta.url)) });
const state = await openState(variable("LIBRA_DENO_KV"), isGuarded);

export default {
  fetch: (request, { remoteAddr }) => answer(request, { peer: remoteAddr.hostname, variable, isGuarded, state, sockets }),
};
