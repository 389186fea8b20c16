// A handler that keeps a read model: what is on each tab, in SQLite. Whoever opened a tab hears in their inbox of everything
// that is put on it.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import Database from "better-sqlite3";
import { HandleResultSchema, PublicationSchema } from "tidegate/v1/handler";
import type { HandleItem, HandleRequest, HandleResult } from "tidegate/v1/handler";
import { Action, Outcome, Reason } from "tidegate/v1/packet";

type Tab = { owner: string; entries: number; cents: number };

const TABLES = `
  CREATE TABLE IF NOT EXISTS tabs (
    tenant TEXT, key TEXT, owner TEXT, entries INTEGER, cents INTEGER, PRIMARY KEY (tenant, key)
  );
  CREATE TABLE IF NOT EXISTS answered (id TEXT PRIMARY KEY, result BLOB, at INTEGER DEFAULT (unixepoch()));
  CREATE TABLE IF NOT EXISTS terms (handler TEXT, domain INTEGER, term INTEGER, PRIMARY KEY (handler, domain));`;
const RAISE_TERM = `
  INSERT INTO terms VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET term = excluded.term WHERE excluded.term >= term`;
const PUT_ON_TAB = `
  INSERT INTO tabs VALUES (?, ?, ?, 1, ?)
  ON CONFLICT DO UPDATE SET entries = entries + 1, cents = cents + excluded.cents RETURNING owner, entries, cents`;

type Answer = (batch: HandleRequest, call: HandlerContext) => HandleResult[];

/** Opens the tabs in this file: what answers a batch. */
export function openTabs(file: string): Database.Transaction<Answer> {
  // It waits for less long than the gateway does for an answer.
  const db = new Database(file, { timeout: 2000 });
  // FULL: what is committed is on disk.
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${TABLES}`);
  const raiseTerm = db.prepare(RAISE_TERM);
  const find = db.prepare<string[], Tab>("SELECT owner, entries, cents FROM tabs WHERE tenant = ? AND key = ?");
  const put = db.prepare<[string, string, string, number], Tab>(PUT_ON_TAB);
  const earlier = db.prepare<string[], Uint8Array>("SELECT result FROM answered WHERE id = ?").pluck();
  const remember = db.prepare("INSERT INTO answered (id, result) VALUES (?, ?)");

  // A batch is one transaction: if it throws, nothing of it is done.
  return db.transaction((batch: HandleRequest, call: HandlerContext) => {
    const stopped = new Set<number>();
    const results = batch.items.map((item) => {
      const result = stopped.has(item.chain) ? retry("an item before it is not done") : answer(batch.handler, item);
      // What is behind it in its order waits with it; chain 0 is no order.
      if (result.outcome === Outcome.RETRY && item.chain !== 0) stopped.add(item.chain);
      result.id = item.id;
      return result;
    });
    // Nobody waits any more: what the gateway may have given up meanwhile is not done after that.
    if (call.signal.aborted || (call.timeoutMs() ?? 1) <= 0) throw new Error("nobody waits for it");
    return results;
  });

  function answer(handler: string, item: HandleItem): HandleResult {
    // An attempt that outlived its successor: its domain has another owner by now.
    if (raiseTerm.run(handler, item.domain, item.term).changes === 0) return retry("its term is over");
    if (item.action === Action.READ) {
      const tab = find.get(item.principal!.tenant, item.key);
      return tab ? shown(tab) : rejected(Reason.NOT_FOUND, `there is no tab ${item.key}`);
    }
    if (item.action !== Action.CREATE) {
      return rejected(Reason.UNSUPPORTED_ACTION, "CREATE puts something on a tab, READ shows it");
    }
    const cents = centsOf(item);
    if (cents === undefined) return rejected(Reason.INVALID_DATA, 'send something like {"cents": 450}');
    // Answered before, and the answer was lost: it is given again, with what it publishes. So is a refusal, as the next
    // attempt might find more on the tab.
    const known = earlier.get(item.id);
    if (known) return fromBinary(HandleResultSchema, known);
    const result = putOnTab(item, cents);
    remember.run(item.id, toBinary(HandleResultSchema, result));
    return result;
  }

  function putOnTab(item: HandleItem, cents: number): HandleResult {
    const { tenant, subject } = item.principal!;
    const there = find.get(tenant, item.key)?.cents ?? 0;
    if (there + cents < 0) return rejected(Reason.APPLICATION, `there are ${there} cents to pay`, "OVERPAID");
    const tab = put.get(tenant, item.key, subject, cents)!;
    const result = shown(tab);
    if (tab.owner) {
      const text = JSON.stringify({ tab: item.key, by: subject, cents, total: tab.cents });
      result.publish.push(create(PublicationSchema, { topic: inbox(tab.owner), text }));
    }
    return result;
  }
}

function shown(tab: Tab): HandleResult {
  return create(HandleResultSchema, { outcome: Outcome.OK, text: [JSON.stringify(tab)] });
}

function rejected(reason: Reason, message: string, code = ""): HandleResult {
  return create(HandleResultSchema, { outcome: Outcome.REJECTED, reason, message, code });
}

function retry(message: string): HandleResult {
  return create(HandleResultSchema, { outcome: Outcome.RETRY, message });
}

/** Payments are less than 0. */
function centsOf(item: HandleItem): number | undefined {
  try {
    const [content, ...more] = item.data;
    const { cents } = JSON.parse(new TextDecoder().decode(content));
    return Number.isInteger(cents) && Math.abs(cents) < 1e9 && more.length === 0 ? cents : undefined;
  } catch {
    return undefined;
  }
}

/** A subject is one token of a topic: every byte outside A-Z a-z 0-9 _ - is percent-encoded. */
function inbox(subject: string): string {
  const code = (char: string) => "%" + char.charCodeAt(0).toString(16).toUpperCase();
  return "@user." + encodeURIComponent(subject).replace(/[.!~*'()]/g, code);
}
