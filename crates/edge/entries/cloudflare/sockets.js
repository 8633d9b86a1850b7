// WebSockets of the Live API, as Cloudflare makes them.
export const sockets = {
  accept(_request, headers) {
    const [theirs, socket] = Object.values(new WebSocketPair());
    socket.accept();
    return { socket, response: new Response(null, { status: 101, webSocket: theirs, headers }) };
  },

  async dial(address, headers) {
    headers.set("upgrade", "websocket");
    const response = await fetch(address, { headers });
    const socket = response.webSocket;
    if (!socket) return { response };
    socket.accept();
    return { socket };
  },
};
