// The same for Deno Deploy, whose entry point starts its server itself.
import libra from "./main.js";

Deno.serve(libra.fetch);
