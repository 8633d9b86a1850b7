// Runs a Vercel edge function in Vercel's own edge-runtime: `node vercel.mjs FUNCTION PORT`. As Vercel does, it makes one
// script of the function's modules first, and gives it the WebAssembly compiled.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { EdgeRuntime, runServer } from "edge-runtime";
import { build } from "esbuild";

const [entry, port] = process.argv.slice(2);
const modules = [];

const { outputFiles } = await build({
  stdin: {
    contents: `import handle from ${JSON.stringify(resolve(entry))};
      addEventListener("fetch", (event) => {
        event.respondWith(handle(event.request, { waitUntil: (work) => event.waitUntil(work) }));
      });`,
    resolveDir: dirname(resolve(entry)),
  },
  bundle: true,
  format: "iife",
  write: false,
  plugins: [
    {
      name: "compiled WebAssembly",
      setup(build) {
        build.onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) => ({
          path: resolve(resolveDir, path.replace(/\?module$/, "")),
          namespace: "module",
        }));
        build.onLoad({ filter: /./, namespace: "module" }, ({ path }) => {
          modules.push(readFileSync(path));
          // Compiled inside, as the runtime's own kinds of objects are not those of Node.js around it.
          return { contents: `export default new WebAssembly.Module(globalThis.__modules[${modules.length - 1}]);` };
        });
      },
    },
  ],
});

const runtime = new EdgeRuntime({
  extend: (context) => Object.assign(context, { __modules: modules, process: { env: { ...process.env } }, console }),
  initialCode: outputFiles[0].text,
});
const server = await runServer({ runtime, host: "127.0.0.1", port: Number(port) });
console.log(`listening on ${server.url}`);
