// Where the gateway is, and what tells this page that it is a good time to try.

import { Page } from "./page";
import { Todos } from "./todos";

if (window.isSecureContext) start();
else document.body.textContent = "Browsers keep what this page needs for https, and for http from this machine.";

function start(): void {
  const asked = new URLSearchParams(location.search).get("gateway");
  const todos = new Todos(asked ?? "http://127.0.0.1:50051", () => page.changed());
  const page = new Page(todos);
  window.addEventListener("online", () => todos.tryNow());
  document.addEventListener("visibilitychange", () => document.hidden || todos.shown());
  page.changed();
  void todos.run();
}
