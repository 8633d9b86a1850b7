// WebSockets of the Live API, as Deno makes them.
export const sockets = {
  accept(request, headers) {
    const { socket, response } = Deno.upgradeWebSocket(request);
    for (const [name, value] of headers) response.headers.set(name, value);
    return { socket, response };
  },

  dial: (address, headers) =>
    new Promise((resolve) => {
      // The key goes up in a header, which Deno's WebSockets take, and never in the address.
      const socket = new WebSocket(address.replace(/^http/, "ws"), { headers: Object.fromEntries(headers) });
      socket.onopen = () => resolve({ socket });
      socket.onerror = (event) => {
        // Of a refusal, Deno tells the status only.
        const status = Number(/status code: (\d{3})/i.exec(event.message ?? "")?.[1]);
        resolve(status ? { status } : {});
      };
    }),
};
