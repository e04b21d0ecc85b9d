// The designer's panel in a page of its own: what a notebook does for it elsewhere.
//
// The server streams what is shown, by name; what a person does goes back in the order in which
// it was done.

import designer from "./designer.js";

const GONE = "gateway-lab has ended: what is shown is the last that was known. Run the command again.";

class Model {
  constructor(state) {
    Object.assign(this, { state, gone: GONE, listeners: new Map(), sent: Promise.resolve() });
  }

  get(name) {
    return this.state[name];
  }

  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  off(event, listener) {
    this.listeners.set(event, (this.listeners.get(event) ?? []).filter((each) => each !== listener));
  }

  tell(event) {
    for (const listener of this.listeners.get(event) ?? []) listener();
  }

  change(changes) {
    const changed = Object.keys(changes).filter((name) => JSON.stringify(changes[name]) !== JSON.stringify(this.state[name]));
    Object.assign(this.state, changes);
    for (const name of changed) this.tell(`change:${name}`);
  }

  send(command) {
    const post = () => fetch("command", { method: "POST", body: JSON.stringify(command) });
    this.sent = this.sent.then(post).catch(() => this.tell("comm_live_update"));
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", shade);
shade();

let model = null;
const news = new EventSource("state");
news.addEventListener("message", (event) => {
  const changes = JSON.parse(event.data);
  if (model) return model.change(changes);
  model = new Model(changes);
  document.title = `${changes.document.name} – route designer`;
  designer.render({ model, el: document.querySelector("main") });
});
news.addEventListener("error", () => model?.tell("comm_live_update"));
