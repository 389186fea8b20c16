// A copy of a collection in this page, as the gateway has it now: all of it is read once, then what changes.

import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Gateway } from "tidegate/v1/gateway";
import { Action, Outcome, type PacketResult } from "tidegate/v1/packet";
import type { Record } from "tidegate/v1/records";

/** In ms; by default the gateway answers within 10 s. */
export const CALL_TIMEOUT = 15_000;

/** Whose page this is: a stream to read and a place for what it brings. */
export type Copy = {
  /** This is all there is. */
  replace(records: Record[]): void;
  /** This one changed, or is told once more. */
  apply(record: Record): void;
  /** What the copy is worth from now on, and what is wrong. */
  status(state: State, trouble?: string): void;
};

/** Only what is live is as the gateway has it, and stays so. */
export type State = "opening" | "live" | "cut";

/** A hidden page lets go of its stream: browsers have six HTTP/1.1 connections for all pages of a gateway. */
const HIDDEN = new Error("nobody looks at this page");

export function connect(baseUrl: string): Client<typeof Gateway> {
  return createClient(Gateway, createGrpcWebTransport({ baseUrl }));
}

/** How long to wait before something is tried again. */
export class Pause {
  #failures = 0;
  #end = () => {};

  /** For what the gateway said, in ms. Without it for a random part of 100 ms, doubled each time up to a minute. */
  async wait(told?: number): Promise<void> {
    const ms = told ?? Math.random() * Math.min(60_000, 100 * 2 ** this.#failures++);
    await new Promise<void>((done) => {
      setTimeout(done, ms);
      // Nothing shortens what the gateway said.
      if (told === undefined) this.#end = done;
    });
  }

  /** There is a reason to think that it would work now. */
  end(): void {
    this.#end();
  }

  worked(): void {
    this.#failures = 0;
  }
}

/** Follows a collection, for as long as the page lives. */
export class Feed {
  readonly pause = new Pause();
  #gateway: Client<typeof Gateway>;
  #handler: string;
  #copy: Copy;
  /** Everything up to here is in the copy. Empty: there is no copy yet, or it misses something. */
  #cursor = "";

  constructor(gateway: Client<typeof Gateway>, handler: string, copy: Copy) {
    this.#gateway = gateway;
    this.#handler = handler;
    this.#copy = copy;
  }

  async run(): Promise<never> {
    for (;;) {
      await shown();
      let told: number | undefined;
      try {
        if (!this.#cursor) await this.#list();
        told = await this.#read();
        this.#copy.status("opening");
      } catch (error) {
        if (error === HIDDEN) {
          this.#copy.status("opening");
          continue;
        }
        const { code, rawMessage } = ConnectError.from(error);
        // A cursor that cannot be read will not be read the next time either.
        if (code === Code.InvalidArgument) this.#cursor = "";
        told = retryAfter(error);
        this.#copy.status("cut", rawMessage);
      }
      await this.pause.wait(told);
    }
  }

  /** Reads all of it. What changes meanwhile is behind the first page's cursor. */
  async #list(): Promise<void> {
    const records: Record[] = [];
    let cursor = "";
    let pageToken = "";
    do {
      const packets = [{ handler: this.#handler, action: Action.LIST, pageSize: 1000, pageToken }];
      const answer = await this.#gateway.sync({ packets }, { timeoutMs: CALL_TIMEOUT });
      const page = answer.results[0];
      if (page?.outcome !== Outcome.OK) throw new NotNow(page);
      cursor ||= answer.cursor;
      records.push(...page.records);
      pageToken = page.nextPageToken;
    } while (pageToken);
    this.#copy.replace(records);
    this.#cursor = cursor;
  }

  /** Reads changes until the stream ends: how long the gateway wants to be left alone, if it says so. */
  async #read(): Promise<number | undefined> {
    const end = new AbortController();
    const hide = () => document.hidden && end.abort(HIDDEN);
    document.addEventListener("visibilitychange", hide);
    // It may have become hidden while there was nothing to hang up.
    hide();
    const silent = () => end.abort(new Error("nothing was heard for too long"));
    let patience = CALL_TIMEOUT;
    let timer = setTimeout(silent, patience);
    try {
      const request = { topics: [`records.${this.#handler}.>`], cursor: this.#cursor };
      for await (const { cursor, event } of this.#gateway.events(request, { signal: end.signal })) {
        switch (event.case) {
          case "connected":
            if (event.value.heartbeatInterval) patience = 2.5 * durationMs(event.value.heartbeatInterval);
            this.#copy.status("live");
            break;
          case "heartbeat":
            this.pause.worked();
            break;
          case "message":
            this.pause.worked();
            if (event.value.record) this.#copy.apply(event.value.record);
            break;
          case "gap":
            // Of what this stream brings something is gone: the copy is made anew.
            this.#cursor = "";
            return undefined;
          case "goAway":
            this.#cursor = cursor || this.#cursor;
            return event.value.reconnectAfter && durationMs(event.value.reconnectAfter);
        }
        // Only now: what it says is dealt with.
        this.#cursor = cursor || this.#cursor;
        clearTimeout(timer);
        timer = setTimeout(silent, patience);
      }
      throw new Error("the connection was lost");
    } catch (error) {
      throw end.signal.aborted ? end.signal.reason : error;
    } finally {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", hide);
      // Hangs up, whatever ended the loop.
      end.abort();
    }
  }
}

/** The answer to a packet that is to be sent again. */
class NotNow extends Error {
  readonly result: PacketResult | undefined;

  constructor(result: PacketResult | undefined) {
    super(result?.message || "the gateway cannot answer now");
    this.result = result;
  }
}

function retryAfter(error: unknown): number | undefined {
  const told = error instanceof NotNow ? error.result?.retryAfter : undefined;
  return told && durationMs(told);
}

async function shown(): Promise<void> {
  while (document.hidden) {
    await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
  }
}
