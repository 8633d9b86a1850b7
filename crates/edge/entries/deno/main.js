// Libra for `deno serve` and Deno Deploy. One gateway an isolate: what it learns of its keys lives as long as that.
import { initSync, Libra } from "./libra.js";

const variable = (name) => Deno.env.get(name);
initSync({ module: Deno.readFileSync(new URL("libra_bg.wasm", import.meta.url)) });
// Deno Deploy keeps requests out of private networks, a machine of one's own does not.
const libra = new Libra(variable, variable("DENO_DEPLOYMENT_ID") !== undefined);

export default {
  fetch(request, { remoteAddr }) {
    return libra.fetch(request, remoteAddr.hostname);
  },
};
