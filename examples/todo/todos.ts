// What is to be done, as this page shows it: what the gateway has, and on top of it what it has not confirmed yet.

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Outcome, type PacketResult } from "tidegate/v1/packet";
import type { Record } from "tidegate/v1/records";
import { connect, type Copy, Feed, type State } from "./gateway";
import { type Change, Queue, type Refused } from "./queue";

/** The collection. */
const HANDLER = "todos";

export type Todo = {
  key: string;
  text: string;
  done: boolean;
  /** The last one that the gateway told of it. */
  version?: number;
  /** What is not confirmed yet. */
  pending?: Change["action"];
};

type Known = { version: number; deleted: boolean; created: number; todo: Todo };

export class Todos implements Copy {
  readonly address: string;
  /** What the list is worth. */
  state: State = "opening";
  /** Whether it ever was as the gateway has it. */
  everLive = false;
  #trouble = "";
  /** Deleted ones stay, so that what is told late does not bring them back. */
  #known = new Map<string, Known>();
  #feed: Feed;
  #queue: Queue;
  #changed: () => void;

  constructor(address: string, changed: () => void) {
    const gateway = connect(address);
    this.address = address;
    this.#changed = changed;
    this.#feed = new Feed(gateway, HANDLER, this);
    this.#queue = new Queue(gateway, address, HANDLER, { ended: (...how) => this.#ended(...how), changed });
  }

  async run(): Promise<void> {
    await this.#queue.open();
    void this.#queue.run();
    void this.#feed.run();
  }

  /** There is a reason to think that the gateway can be reached: pauses that are our own end now. */
  tryNow(): void {
    this.#feed.pause.end();
    this.#queue.pause.end();
  }

  /** Somebody looks at this page again. */
  shown(): void {
    this.#queue.adopt();
    this.tryNow();
  }

  /** The oldest first; what the gateway does not have yet comes last. */
  list(): Todo[] {
    const there = [...this.#known.values()].filter(({ deleted }) => !deleted);
    there.sort((a, b) => a.created - b.created || (a.todo.key < b.todo.key ? -1 : 1));
    const todos = new Map(there.map(({ todo }) => [todo.key, todo]));
    for (const { key, action, text } of this.#queue.changes) {
      const todo = todos.get(key);
      if (todo || action !== "delete") todos.set(key, { ...read(key, text, todo), version: todo?.version, pending: action });
    }
    return [...todos.values()];
  }

  get unconfirmed(): number {
    return this.#queue.changes.length;
  }

  /** What goes wrong, in the words of whoever noticed it. */
  get trouble(): string {
    return this.#trouble || this.#queue.trouble;
  }

  get refused(): readonly Refused[] {
    return this.#queue.refused;
  }

  /** What a change was to make of its item. */
  wanted({ change }: Refused): Todo {
    return read(change.key, change.text, this.#known.get(change.key)?.todo);
  }

  /** What is there now; undefined: nothing. */
  instead({ change }: Refused): Todo | undefined {
    const known = this.#known.get(change.key);
    return known && !known.deleted ? known.todo : undefined;
  }

  add(text: string): void {
    this.#send("create", { key: newKey(), text, done: false });
  }

  toggle(todo: Todo): void {
    this.#send("update", { ...todo, done: !todo.done });
  }

  /** `seen` is how it was when its text was looked at for the last time. */
  rename(seen: Todo, text: string): void {
    const now = this.list().find(({ key }) => key === seen.key);
    if (now?.text === seen.text) this.#send("update", { ...now, text });
    // Another text is there by now: that nobody overwrites it is the gateway's to see to, by the version.
    else this.#queue.add({ ...change("update", { ...seen, text }), version: seen.version });
  }

  remove(todo: Todo): void {
    this.#send("delete", todo);
  }

  /** The same once more, on what is there now. */
  retry(refused: Refused): void {
    const { action } = refused.change;
    const there = this.instead(refused);
    const todo = { ...this.wanted(refused), version: there?.version };
    this.dismiss(refused);
    if (there) this.#send(action === "delete" ? "delete" : "update", todo);
    else if (action !== "delete") this.#send("create", { ...todo, key: newKey() });
  }

  dismiss(refused: Refused): void {
    this.#queue.dismiss(refused);
  }

  replace(records: Record[]): void {
    this.#known.clear();
    for (const record of records) this.#learn(record, content(record));
    this.#changed();
  }

  apply(record: Record): void {
    this.#learn(record, content(record));
    this.#changed();
  }

  status(state: State, trouble = ""): void {
    this.state = state;
    this.#trouble = trouble;
    if (state === "live") {
      this.everLive = true;
      // What waits can go now.
      this.#queue.pause.end();
    }
    this.#changed();
  }

  #send(action: Change["action"], todo: Todo): void {
    const before = this.#queue.changes.findLast(({ key }) => key === todo.key);
    const on = before ? { after: before.id } : { version: todo.version };
    this.#queue.add({ ...change(action, todo), ...on });
  }

  #ended(change: Change, { outcome, records: [record] }: PacketResult): void {
    // The answer to a write has the version and not the content, which is known here; a refusal has what is there.
    if (record) this.#learn(record, outcome === Outcome.OK ? change.text : content(record));
  }

  /** A stream and an answer tell the same, and either may come first. */
  #learn(record: Record, text: string | undefined): void {
    const { key, deleted } = record;
    const version = Number(record.version);
    const known = this.#known.get(key);
    if (known && known.version >= version) return;
    const created = record.createdAt ? timestampMs(record.createdAt) : 0;
    this.#known.set(key, { version, deleted, created, todo: { ...read(key, text, known?.todo), version } });
  }
}

function change(action: Change["action"], { key, text, done }: Todo): Change {
  const content = action === "delete" ? {} : { text: JSON.stringify({ text, done }) };
  return { id: crypto.randomUUID(), action, key, ...content };
}

let made = 0;

/** Those that are created at one time are in the order in which they were made. */
function newKey(): string {
  made = Math.max(made + 1, Date.now());
  return `${made.toString(36).padStart(9, "0")}-${crypto.randomUUID()}`;
}

function content({ deleted, text, data }: Record): string | undefined {
  return deleted ? undefined : text || new TextDecoder().decode(data);
}

/** What others wrote as plain text is an item too. */
function read(key: string, content: string | undefined, otherwise?: Todo): Todo {
  if (content === undefined) return otherwise ?? { key, text: "", done: false };
  try {
    const { text, done } = JSON.parse(content);
    if (typeof text === "string") return { key, text, done: done === true };
  } catch {
    // It is text.
  }
  return { key, text: content, done: false };
}
