// What this page has to send: kept in the browser until the gateway says how it ended, and sent again until it does.

import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Client, ConnectError } from "@connectrpc/connect";
import type { Gateway } from "tidegate/v1/gateway";
import { Action, Outcome, type PacketResult, Reason } from "tidegate/v1/packet";
import { CALL_TIMEOUT, Pause } from "./gateway";

/** In one call. */
const TOGETHER = 100;

/** One change of a record. */
export type Change = {
  /** The packet's `req_id`. */
  id: string;
  action: "create" | "update" | "delete";
  key: string;
  /** The record's content. */
  text?: string;
  /** The version that it changes. */
  version?: number;
  /** The change that it builds on: it waits until that one is confirmed, and is refused with it. */
  after?: string;
  /** Its place, given when it is first sent, and among whose packets. It keeps both through every retry. */
  seq?: number;
  client?: string;
};

/** A change that will not be made. */
export type Refused = { change: Change; reason: Reason; message: string };

/** What is kept of a page that is gone. */
type Kept = { changes: Change[]; refused: Refused[] };

type Told = {
  /** How a packet ended: confirmed or refused. */
  ended(change: Change, result: PacketResult): void;
  /** Something else is in the queue, or goes on in it. */
  changed(): void;
};

/** The queue of one page. */
export class Queue {
  changes: Change[] = [];
  refused: Refused[] = [];
  /** Why it does not get on, if it does not. */
  trouble = "";
  readonly pause = new Pause();
  /** New with each page: a browser that crashes may lose what it kept last, and then would count from an earlier place on. */
  #client = crypto.randomUUID();
  /** The last place that was given. */
  #seq = 0;
  #wake = () => {};
  #gateway: Client<typeof Gateway>;
  #handler: string;
  #told: Told;
  /** What pages keep for this gateway begins with it. */
  #prefix: string;

  constructor(gateway: Client<typeof Gateway>, address: string, handler: string, told: Told) {
    this.#gateway = gateway;
    this.#handler = handler;
    this.#told = told;
    this.#prefix = `${handler} for ${address} from `;
  }

  /** Before anything is added. A page holds a lock on what it keeps; it goes with the page. */
  async open(): Promise<void> {
    const name = this.#prefix + this.#client;
    await new Promise<void>((held) => {
      void navigator.locks.request(name, () => {
        held();
        return new Promise(() => {});
      });
    });
    // This tab before its reload, which may not be gone yet. A copy of a tab waits here for as long as the other one lives.
    const before = sessionStorage.getItem(this.#prefix);
    if (before) void navigator.locks.request(before, () => this.#take(before));
    sessionStorage.setItem(this.#prefix, name);
    this.adopt();
  }

  /** Takes over what is kept of pages that are gone. */
  adopt(): void {
    for (const name of Object.keys(localStorage).filter((name) => name.startsWith(this.#prefix))) {
      void navigator.locks.request(name, { ifAvailable: true }, (lock) => lock && this.#take(name));
    }
  }

  /** Sends what is there and what comes, for as long as the page lives. */
  async run(): Promise<never> {
    for (;;) {
      const batch = this.#batch();
      if (!batch[0]) {
        await new Promise<void>((wake) => (this.#wake = wake));
        continue;
      }
      const clientId = batch[0].client!;
      // What comes before the first of those that are open is dealt with.
      const settled = [{ handler: this.#handler, through: BigInt(batch[0].seq! - 1) }];
      const packets = batch.map((change) => packet(this.#handler, change));
      try {
        const call = this.#gateway.sync({ clientId, settled, packets }, { timeoutMs: CALL_TIMEOUT });
        const open = this.#deal(batch, (await call).results);
        if (open) await this.pause.wait(open.retryAfter && durationMs(open.retryAfter));
      } catch (error) {
        // Whether they were taken is not known: the same again.
        this.trouble = ConnectError.from(error).rawMessage;
        this.#told.changed();
        await this.pause.wait();
      }
    }
  }

  add(change: Change): void {
    this.changes.push(change);
    this.#keep();
    this.#wake();
  }

  dismiss(refused: Refused): void {
    this.refused = this.refused.filter((other) => other !== refused);
    this.#keep();
  }

  /** What may be sent now, in order of their places, all of one client. */
  #batch(): Change[] {
    const ready = this.changes.filter((change) => !change.after);
    ready.sort((a, b) => (a.seq ?? Infinity) - (b.seq ?? Infinity));
    const client = ready[0]?.client ?? this.#client;
    const batch = ready.filter((change) => (change.client ?? this.#client) === client).slice(0, TOGETHER);
    for (const change of batch) {
      change.client = client;
      change.seq ??= ++this.#seq;
    }
    // Before they are sent: what is sent again after a reload has the same places.
    this.#keep();
    return batch;
  }

  /** Deals with what has ended. What asks for the longest pause of those that are still open, if there are any. */
  #deal(batch: Change[], results: PacketResult[]): PacketResult | undefined {
    let open: PacketResult | undefined;
    this.trouble = "";
    for (const [at, change] of batch.entries()) {
      const result = results[at]!;
      switch (result.outcome) {
        case Outcome.OK:
          this.pause.worked();
          this.#told.ended(change, result);
          this.#confirm(change, Number(result.records[0]?.version));
          break;
        case Outcome.REJECTED:
        case Outcome.EXPIRED:
        case Outcome.FORGOTTEN:
          this.pause.worked();
          this.#told.ended(change, result);
          this.#refuse(change, result);
          break;
        default:
          this.trouble = result.message;
          if (!open || pauseOf(result) > pauseOf(open)) open = result;
      }
    }
    this.#keep();
    return open;
  }

  #confirm(change: Change, version: number): void {
    this.changes = this.changes.filter((other) => other !== change);
    for (const next of this.changes.filter((next) => next.after === change.id)) {
      next.version = version;
      delete next.after;
    }
  }

  #refuse(change: Change, result: PacketResult): void {
    this.changes = this.changes.filter((other) => other !== change);
    // Whoever deletes what is gone has what they wanted.
    const gone = result.reason === Reason.NOT_FOUND || result.reason === Reason.VERSION_MISMATCH;
    if (!(change.action === "delete" && gone && !result.records[0])) {
      this.refused.push({ change, reason: result.reason, message: result.message });
    }
    for (const next of this.changes.filter((next) => next.after === change.id)) this.#refuse(next, result);
  }

  /** What another page kept. */
  #take(name: string): void {
    const left = localStorage.getItem(name);
    if (!left) return;
    const { changes, refused } = JSON.parse(left) as Kept;
    // A browser that ended while another page did this has them twice.
    this.changes.unshift(...changes.filter(({ id }) => !this.changes.some((known) => known.id === id)));
    this.refused.unshift(...refused.filter(({ change }) => !this.refused.some((known) => known.change.id === change.id)));
    this.#keep();
    localStorage.removeItem(name);
    this.#wake();
  }

  #keep(): void {
    const name = this.#prefix + this.#client;
    const kept: Kept = { changes: this.changes, refused: this.refused };
    try {
      if (kept.changes.length + kept.refused.length > 0) localStorage.setItem(name, JSON.stringify(kept));
      else localStorage.removeItem(name);
    } catch {
      // The browser has no room for it. It is sent all the same, by this page alone.
      this.trouble = "the browser does not keep them for longer than this page";
    }
    this.#told.changed();
  }
}

function packet(handler: string, change: Change) {
  return {
    handler,
    reqId: change.id,
    seq: BigInt(change.seq!),
    action: { create: Action.CREATE, update: Action.UPDATE, delete: Action.DELETE }[change.action],
    key: change.key,
    text: change.text === undefined ? [] : [change.text],
    ifVersion: change.version === undefined ? undefined : BigInt(change.version),
  };
}

function pauseOf(result: PacketResult): number {
  return result.retryAfter ? durationMs(result.retryAfter) : -1;
}
