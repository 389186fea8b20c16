// Serves the tabs by gRPC, over HTTP/2 without TLS.

import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Handler } from "tidegate/v1/handler";
import { health } from "./health.js";
import { openTabs } from "./tabs.js";

const { values: options } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:7003" },
    data: { type: "string", default: "tabs.db" },
  },
});
const answer = openTabs(options.data);

function routes(router: ConnectRouter): void {
  health(router).service(Handler, {
    async handle(batch, call) {
      // While a batch is done nothing is heard. So what came meanwhile is heard first: that nobody waits for this one, maybe.
      await setImmediate();
      try {
        return { results: answer.immediate(batch, call) };
      } catch (error) {
        // No item is to blame: the gateway calls again with all of them.
        throw new ConnectError(String(error), Code.Unavailable);
      }
    },
  });
}

const server = createServer(connectNodeAdapter({ routes }));
const sessions = new Set<ServerHttp2Session>();
server.on("session", (session) => {
  sessions.add(session);
  session.once("close", () => sessions.delete(session));
});
const { hostname, port } = new URL(`http://${options.listen}`);
server.listen(Number(port), hostname, () => {
  console.log(`listening on ${hostname}:${(server.address() as AddressInfo).port}`);
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    server.close();
    // Each is closed once its calls are answered; then nothing is left to do here.
    for (const session of sessions) session.close();
  });
}
