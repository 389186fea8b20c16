// Where the gateway is, and what tells this page that it is a good time to try.

import { Page } from "./page";
import { Todos } from "./todos";

const asked = new URLSearchParams(location.search).get("gateway");
const todos = new Todos(asked ?? "http://127.0.0.1:50051", () => page.changed());
const page = new Page(todos);

window.addEventListener("online", () => todos.tryNow());
document.addEventListener("visibilitychange", () => document.hidden || todos.shown());

page.changed();
void todos.run();
