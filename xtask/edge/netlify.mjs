// Stands in for Netlify's own start of an edge function, which is fetched from an address: run by `deno serve` in the
// function's folder, it gives the function what Netlify documents that it has.

globalThis.Netlify = { env: { get: (name) => Deno.env.get(name) } };
const { default: handle } = await import(`file://${Deno.cwd()}/netlify/edge-functions/libra.js`);

export default {
  fetch: (request, { remoteAddr }) => handle(request, { ip: remoteAddr.hostname, waitUntil: () => {} }),
};
