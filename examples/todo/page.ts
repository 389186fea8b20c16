// The list on the screen. Rows stay as long as their items do, so that nobody loses the focus.

import { Reason } from "tidegate/v1/packet";
import type { Refused } from "./queue";
import type { Todo, Todos } from "./todos";

const MARKS = { create: "adding…", update: "saving…", delete: "deleting…" };
const VERBS = { create: "Add", update: "Change", delete: "Delete" };

type Row = { li: HTMLLIElement; todo: Todo };

export class Page {
  #todos: Todos;
  #rows = new Map<string, Row>();
  #refused = new Map<string, HTMLLIElement>();
  #drawing = false;
  #text = one<HTMLInputElement>("#text");

  constructor(todos: Todos) {
    this.#todos = todos;
    one("#new").onsubmit = (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (text) todos.add(text);
      this.#text.value = "";
    };
    one("#trouble button").onclick = () => todos.tryNow();
    this.#text.focus();
  }

  /** Draws once for all that changes together. */
  changed(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw(): void {
    const todos = this.#todos.list();
    this.#drawStatus();
    this.#drawTodos(todos);
    this.#drawRefused();
    const left = todos.filter(({ done, pending }) => !done && pending !== "delete").length;
    const none = this.#todos.everLive ? "Nothing here yet." : "";
    one("#count").textContent = todos.length === 0 ? none : left === 0 ? "All done." : `${left} to do`;
  }

  #drawStatus(): void {
    const { state, everLive, trouble, unconfirmed, address } = this.#todos;
    const status = one("#status");
    status.dataset["state"] = state;
    set(status, { opening: "Connecting…", live: "Live", cut: "Not connected" }[state]);
    one("#unconfirmed").textContent = unconfirmed ? `${unconfirmed} not confirmed` : "";
    one("#trouble").hidden = !trouble;
    const advice = everLive
      ? "What you change is kept here, and sent as soon as it does."
      : `Does it run, and may pages of ${location.origin} call it?`;
    const words = state === "live" ? `Not all is well: ${trouble}.` : `${address} does not answer (${trouble}). ${advice}`;
    set(one("#trouble p"), words);
  }

  #drawTodos(todos: Todo[]): void {
    const list = one("#todos");
    const keys = new Set(todos.map(({ key }) => key));
    for (const [key, { li }] of this.#rows) {
      // What somebody is writing is not taken from them.
      if (keys.has(key) || li.classList.contains("editing")) continue;
      if (li.contains(document.activeElement)) this.#leave(li);
      li.remove();
      this.#rows.delete(key);
    }
    todos.forEach((todo, at) => {
      const row = this.#rows.get(todo.key) ?? this.#row(todo);
      row.todo = todo;
      const { li } = row;
      if (list.children[at] !== li) list.insertBefore(li, list.children[at] ?? null);
      li.classList.toggle("done", todo.done);
      li.classList.toggle("pending", todo.pending !== undefined);
      one(".text", li).textContent = todo.text;
      one(".mark", li).textContent = todo.pending ? MARKS[todo.pending] : "";
      one<HTMLInputElement>("[type=checkbox]", li).checked = todo.done;
      for (const control of li.querySelectorAll<HTMLInputElement>("input, button")) control.disabled = todo.pending === "delete";
      one(".edit", li).ariaLabel = `Edit “${todo.text}”`;
      one(".delete", li).ariaLabel = `Delete “${todo.text}”`;
    });
  }

  #row(todo: Todo): Row {
    const row = { li: copy("#todo"), todo };
    this.#rows.set(todo.key, row);
    const { li } = row;
    const form = one<HTMLFormElement>("form", li);
    const input = one<HTMLInputElement>("form input", li);
    let seen = todo;
    const edit = (editing: boolean) => {
      li.classList.toggle("editing", editing);
      form.hidden = !editing;
      for (const element of ["label", ".edit"]) one(element, li).hidden = editing;
    };
    const begin = () => {
      edit(true);
      seen = row.todo;
      input.value = seen.text;
      input.ariaLabel = `New text of “${seen.text}”`;
      input.select();
    };
    const finish = (text: string) => {
      // Hiding what has the focus says once more that it lost it.
      if (!li.classList.contains("editing")) return;
      edit(false);
      if (text && text !== seen.text) this.#todos.rename(seen, text);
      // The item may be gone by now.
      this.changed();
    };
    one("[type=checkbox]", li).onchange = () => this.#todos.toggle(row.todo);
    one(".edit", li).onclick = begin;
    one(".text", li).ondblclick = begin;
    one(".delete", li).onclick = () => {
      this.#leave(li);
      this.#todos.remove(row.todo);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      finish(input.value.trim());
      one(".edit", li).focus();
    };
    input.onblur = () => finish(input.value.trim());
    input.onkeydown = ({ key }) => {
      if (key !== "Escape") return;
      finish("");
      one(".edit", li).focus();
    };
    return row;
  }

  /** To where somebody who went through the list by keyboard goes on. */
  #leave(li: HTMLLIElement): void {
    const next = li.nextElementSibling ?? li.previousElementSibling;
    (next?.querySelector<HTMLElement>(".delete:enabled") ?? this.#text).focus();
  }

  #drawRefused(): void {
    const { refused } = this.#todos;
    one("#refused").hidden = refused.length === 0;
    const ids = new Set(refused.map(({ change }) => change.id));
    for (const [id, li] of this.#refused) {
      if (ids.has(id)) continue;
      if (li.contains(document.activeElement)) this.#text.focus();
      li.remove();
      this.#refused.delete(id);
    }
    for (const refusal of refused) {
      const li = this.#refused.get(refusal.change.id) ?? this.#refusal(refusal);
      one(".what", li).textContent = this.#what(refusal);
      one(".why", li).textContent = this.#why(refusal);
    }
  }

  #refusal(refused: Refused): HTMLLIElement {
    const li = copy("#refusal");
    one(".retry", li).onclick = () => this.#todos.retry(refused);
    one(".dismiss", li).onclick = () => this.#todos.dismiss(refused);
    this.#refused.set(refused.change.id, li);
    one("#refused ul").append(li);
    // For those who hear the page. The section itself is not there before it has something, so nobody listens to it.
    set(one("#news"), `${one("#refused-title").textContent}: ${this.#what(refused)}`);
    return li;
  }

  #what(refused: Refused): string {
    const { text, done } = this.#todos.wanted(refused);
    return `${VERBS[refused.change.action]} “${text}”${done ? " ✓" : ""}`;
  }

  #why(refused: Refused): string {
    const changed = refused.reason === Reason.VERSION_MISMATCH || refused.reason === Reason.NOT_FOUND;
    if (!changed) return refused.message || Reason[refused.reason];
    const there = this.#todos.instead(refused);
    return there ? `Meanwhile it became “${there.text}”${there.done ? " ✓" : ""}.` : "Meanwhile it was deleted.";
  }
}

/** What is read out when it changes is written only then. */
function set(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function copy(template: string): HTMLLIElement {
  return one<HTMLTemplateElement>(template).content.firstElementChild!.cloneNode(true) as HTMLLIElement;
}

function one<E extends HTMLElement>(selector: string, within: ParentNode = document): E {
  return within.querySelector<E>(selector)!;
}
