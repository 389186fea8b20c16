// A handler that keeps a read model: what is on each tab, in SQLite. Whoever opened a tab hears in their inbox of everything
// that is put on it.
//
//   npm ci && npm start -- --listen 127.0.0.1:7003 --data tabs.db
//
// The gateway's side of it:
//
//   [handlers.tabs]
//   kind = "grpc"
//   addresses = ["http://127.0.0.1:7003"]
//   publish = ["@user.*"]
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import Database from "better-sqlite3";
import { createServer } from "node:http2";
import { parseArgs } from "node:util";
import { Handler, HandleResultSchema } from "tidegate/v1/handler";
import { Action, Outcome, Reason } from "tidegate/v1/packet";
const { values: options } = parseArgs({
    options: {
        listen: { type: "string", default: "127.0.0.1:7003" },
        data: { type: "string", default: "tabs.db" },
    },
});
const db = new Database(options.data);
db.pragma("journal_mode = WAL");
// The gateway never calls again with what it was told is done: that has to outlive a power cut, too.
db.pragma("synchronous = FULL");
db.exec(`
  CREATE TABLE IF NOT EXISTS tabs (tenant TEXT, key TEXT, owner TEXT, entries INTEGER, cents INTEGER, PRIMARY KEY (tenant, key)) STRICT;
  CREATE TABLE IF NOT EXISTS done (id TEXT PRIMARY KEY, result BLOB) STRICT;
  CREATE TABLE IF NOT EXISTS terms (handler TEXT, domain INTEGER, term INTEGER, PRIMARY KEY (handler, domain)) STRICT;
`);
const raiseTerm = db.prepare(`
  INSERT INTO terms VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET term = excluded.term WHERE excluded.term >= term`);
const resultOf = db.prepare("SELECT result FROM done WHERE id = ?").pluck();
const remember = db.prepare("INSERT INTO done VALUES (?, ?)");
const look = db.prepare("SELECT owner, entries, cents FROM tabs WHERE tenant = ? AND key = ?");
const put = db.prepare(`
  INSERT INTO tabs VALUES (?, ?, ?, 1, ?)
  ON CONFLICT DO UPDATE SET entries = entries + 1, cents = cents + excluded.cents RETURNING owner, entries, cents`);
// A batch is one transaction. If it throws, nothing of it is done, and the gateway finds out which item is to blame.
const handle = db.transaction(({ handler, items }) => {
    const stopped = new Set();
    return items.map((item) => {
        const result = stopped.has(item.chain) ? retry("an item before it is not done") : apply(handler, item);
        if (result.outcome === Outcome.RETRY && item.chain !== 0)
            stopped.add(item.chain);
        return { ...result, id: item.id };
    });
});
function apply(handler, item) {
    // An attempt of an owner that has a successor by now.
    if (raiseTerm.run(handler, item.domain, item.term).changes === 0)
        return retry("its term is over");
    const { subject = "", tenant = "" } = item.principal ?? {};
    if (item.action === Action.READ) {
        const tab = look.get(tenant, item.key);
        return tab ? shown(tab) : rejected(Reason.NOT_FOUND, `there is no tab ${item.key}`);
    }
    if (item.action !== Action.CREATE)
        return rejected(Reason.APPLICATION, "CREATE puts something on a tab, READ shows it");
    // It was done, and the answer was lost: that is given again, with what it publishes.
    const earlier = resultOf.get(item.id);
    if (earlier)
        return fromBinary(HandleResultSchema, earlier);
    const cents = centsOf(item);
    if (cents === undefined)
        return rejected(Reason.INVALID_DATA, `send JSON such as {"cents": 450}, in whole cents`);
    const tab = put.get(tenant, item.key, subject, cents);
    const news = { tab: item.key, by: subject, cents, total: tab.cents };
    const result = {
        ...shown(tab),
        publish: tab.owner ? [{ topic: inbox(tab.owner), text: JSON.stringify(news) }] : [],
    };
    remember.run(item.id, toBinary(HandleResultSchema, create(HandleResultSchema, result)));
    return result;
}
const shown = (tab) => ({ outcome: Outcome.OK, text: [JSON.stringify(tab)] });
const rejected = (reason, message) => ({ outcome: Outcome.REJECTED, reason, message });
const retry = (message) => ({ outcome: Outcome.RETRY, message });
function centsOf(item) {
    try {
        const { cents } = JSON.parse(new TextDecoder().decode(item.data[0]));
        return Number.isInteger(cents) && Math.abs(cents) < 1e9 ? cents : undefined;
    }
    catch {
        return undefined;
    }
}
/** A subject is one token of a topic: every byte outside A-Z a-z 0-9 _ - is percent-encoded. */
function inbox(subject) {
    const code = (char) => "%" + char.charCodeAt(0).toString(16).toUpperCase();
    return "@user." + encodeURIComponent(subject).replace(/[.!~*'()]/g, code);
}
// gRPC, over HTTP/2 without TLS. To other services, health checks for one, it answers that there are none: also an answer.
const server = createServer(connectNodeAdapter({
    routes: (router) => router.service(Handler, { handle: (request) => ({ results: handle(request) }) }),
}));
const sessions = new Set();
server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
});
const { hostname, port } = new URL(`http://${options.listen}`);
server.listen(Number(port), hostname, () => {
    console.log(`listening on ${hostname}:${server.address().port}`);
});
process.once("SIGTERM", () => {
    server.close(() => db.close());
    // Calls under way are answered first.
    for (const session of sessions)
        session.close();
});
