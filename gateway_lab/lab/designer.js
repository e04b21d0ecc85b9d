// The route designer's panel: paints what Python tells, and tells Python what a person does.
//
// Python holds all state (see designer.py); a view keeps only focus, open menus and the key
// strokes of the last 120 ms. Text of messages and configs reaches the page as text nodes alone.

const TYPING_MS = 120;
const TEXT_FIELDS = "input:not([type=checkbox]), textarea";
const OFFERED = 12;

// --- making elements ---

const SVG = "http://www.w3.org/2000/svg";
const FOCUSABLE = new Set(["BUTTON", "INPUT", "TEXTAREA", "SELECT", "SUMMARY"]);
// A notebook's own shortcuts (x cuts the cell) would work while one of these has the focus.
const OWN_KEYS = "data-lm-suppress-shortcuts";

function put(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-") && !(element instanceof SVGElement)) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

function h(tag, props = {}, ...children) {
  const element = put(document.createElement(tag), props, children);
  if (FOCUSABLE.has(element.tagName) || "tabIndex" in props) element.setAttribute(OWN_KEYS, "true");
  return element;
}

const s = (tag, props = {}, ...children) => put(document.createElementNS(SVG, tag), props, children);

// A button that is off keeps the focus: one that lost it would hand the next key to the notebook.
const switchOff = (element, isOff) => element.setAttribute("aria-disabled", String(isOff));
const isOff = (element) => element.getAttribute("aria-disabled") === "true";

function button(label, onclick, { disabled = false, ...props } = {}) {
  const element = h("button", { type: "button", ...props }, label);
  element.addEventListener("click", () => isOff(element) || onclick(element));
  switchOff(element, disabled);
  return element;
}

const iconButton = (icon, label, onclick, props = {}) =>
  button(icon, onclick, { title: label, "aria-label": label, className: "gl-icon", ...props });

// --- writing numbers ---

const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
const percent = (value) => (value === null || value === undefined ? "–" : `${(value * 100).toFixed(1)} %`);
const signed = (value) => (!value ? "" : `${value > 0 ? "+" : "−"}${number(Math.abs(value))}`);

function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) [bytes, at] = [bytes / 1000, at + 1];
  return `${at ? bytes.toFixed(1) : bytes} ${units[at]}`;
}

const clock = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);
const toField = (ms) => new Date(ms).toISOString().slice(0, 19);
const fromField = (text) => Date.parse(`${text}Z`);
const names = (text) => text.split(/[\s,]+/).filter(Boolean);

// Foreign text, kept from turning around what stands beside it.
const foreign = (text, props = {}) => h("bdi", props, text);

// --- one view ---

class View {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.rows = new Map(); // "router/route" to the parts of its row, so that focus survives
    this.opened = new Set(); // numbers of the samples that are unfolded
    this.typing = null;
    this.build();
    this.gone = () => this.paintGone();
    model.on("comm_live_update", this.gone);
    const painters = {
      document: () => this.paintDocument(),
      counts: () => this.paintCounts(),
      problems: () => this.paintProblems(),
      flow: () => this.paintFlow(),
      times: () => this.paintTimes(),
      samples: () => this.paintSamples(),
      why: () => this.paintSamples(),
      comparison: () => this.paintComparison(),
      steps: () => this.paintSteps(),
      release: () => this.paintRelease(),
      code: () => this.paintCode(),
      status: () => this.paintStatus(),
      progress: () => this.paintProgress(),
      hints: () => this.menu.known(),
    };
    this.listeners = Object.entries(painters).map(([name, paint]) => {
      paint();
      model.on(`change:${name}`, paint);
      return [name, paint];
    });
  }

  close() {
    clearTimeout(this.typing);
    this.model.off("comm_live_update", this.gone);
    for (const [name, paint] of this.listeners) this.model.off(`change:${name}`, paint);
  }

  get(name) {
    return this.model.get(name);
  }

  send(command, more = {}) {
    clearTimeout(this.typing);
    this.model.send({ do: command, ...more });
  }

  edit(method, args, changes = {}) {
    this.send(method, { arguments: args, changes });
  }

  type(method, args, changes) {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.send("type", { method, arguments: args, changes }), TYPING_MS);
  }

  // --- the frame ---

  build() {
    this.title = h("h2", { className: "gl-title" });
    this.digest = h("code", { className: "gl-digest", title: "digest of the config" });
    this.undo = iconButton("↶", "undo", () => this.send("undo"));
    this.redo = iconButton("↷", "redo", () => this.send("redo"));
    this.compare = button("Compare", () => this.send("compare", { on: this.get("comparison") === null }));
    this.showCode = button("Code", () => this.send("code", { on: this.get("code") === null }));
    this.write = button("Write…", () => this.send("release", { on: this.get("release") === null }));
    this.said = h("span", { role: "status", className: "gl-said" });
    this.busy = h("span", { className: "gl-working", "aria-hidden": "true" });
    this.counting = h("progress", { max: 1, "aria-label": "messages counted" });
    this.partial = h("p", { className: "gl-partial", hidden: true }, this.counting, " ", h("span", {}));
    this.error = h("p", { role: "alert", className: "gl-error", hidden: true });
    this.window = h("div", { className: "gl-window" });
    this.chart = h("div", { className: "gl-chart" });
    this.flow = h("div", { className: "gl-flow" });
    this.routers = h("div", { className: "gl-routers" });
    this.targets = h("div", { className: "gl-targets" });
    this.problems = h("ul", { className: "gl-problems", "aria-label": "findings" });
    this.panels = Object.fromEntries(
      ["samples", "comparison", "release", "code"].map((name) => [name, h("section", { className: `gl-panel gl-${name}`, hidden: true })]),
    );
    this.menu = new Menu(this);
    this.root.classList.add("gl-designer");
    this.root.tabIndex = -1; // takes the focus of what an edit removes
    this.root.setAttribute(OWN_KEYS, "true");
    this.root.setAttribute("role", "region");
    this.root.setAttribute("aria-label", "route designer");
    this.root.append(
      h("div", { className: "gl-bar" }, this.title, this.digest, this.undo, this.redo, this.compare, this.showCode, this.write, this.said, this.busy),
      this.error,
      this.partial,
      this.panels.release,
      this.panels.code,
      this.flow,
      this.window,
      this.chart,
      this.panels.samples,
      this.panels.comparison,
      this.routers,
      h("h3", {}, "Targets"),
      this.targets,
      h("h3", {}, "Findings"),
      this.problems,
      this.menu.element,
    );
    this.root.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const isText = event.target.matches(TEXT_FIELDS);
    if ((event.ctrlKey || event.metaKey) && !isText && event.key.toLowerCase() === "z") {
      event.preventDefault();
      this.send(event.shiftKey ? "redo" : "undo");
    }
    if (event.key === "Escape" && this.get("times")?.window && (!isText || this.window.contains(event.target))) this.send("window");
    const row = event.target.closest?.("tr[data-route]");
    if (event.altKey && row && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      this.move(row.dataset.router, row.dataset.route, event.key === "ArrowUp" ? -1 : 1);
    }
    event.stopPropagation();
  }

  move(router, route, by) {
    const routes = this.routesOf(router);
    const to = routes.indexOf(route) + by;
    if (to < 0 || to >= routes.length) return;
    const rest = routes.filter((name) => name !== route);
    this.edit("move_route", [router, route], { before: rest[to] ?? null });
  }

  routesOf(router) {
    return this.get("document").routers.find((each) => each.name === router).routes.map((each) => each.name);
  }

  // --- bar ---

  paintSteps() {
    const { names: steps, at } = this.get("steps");
    switchOff(this.undo, at === 0);
    switchOff(this.redo, at >= steps.length - 1);
    const label = (text, name) => (name ? `${text}: ${name}` : text);
    for (const [control, text, name] of [[this.undo, "undo", at ? steps[at] : ""], [this.redo, "redo", steps[at + 1]]]) {
      control.title = label(text, name);
      control.setAttribute("aria-label", control.title);
    }
  }

  paintStatus() {
    const { busy, said, error } = this.get("status");
    this.root.classList.toggle("gl-busy", Boolean(busy));
    this.root.setAttribute("aria-busy", String(Boolean(busy)));
    this.busy.textContent = busy ? `${busy} …` : "";
    if (!busy) this.said.textContent = said;
    this.error.hidden = !error;
    this.error.textContent = error ? [error.message, error.hint].filter(Boolean).join(" – ") : "";
  }

  // Of a large capture the first messages are counted at once, and all of them behind that.
  paintProgress() {
    const [{ messages, of }, progress] = [this.get("counts"), this.get("progress")];
    this.partial.hidden = !of;
    this.counting.value = progress ? progress.counted / progress.of : 0;
    const share = progress ? `${Math.floor((100 * progress.counted) / progress.of)} %` : "";
    this.partial.lastChild.textContent = of ? `counts are of the first ${number(messages)} messages; counting all ${number(of)}: ${share}` : "";
  }

  paintGone() {
    this.root.classList.add("gl-gone");
    this.error.hidden = false;
    this.error.textContent = this.model.gone ?? "The kernel has ended: what is shown is the last that was known. Run the cell again.";
  }

  // --- document: rows are made once, and changed in place ---

  paintDocument() {
    const config = this.get("document");
    this.title.textContent = config.name;
    this.digest.textContent = config.digest.slice(0, 12);
    const shape = JSON.stringify(config.routers.map((each) => [each.name, each.routes.map((route) => route.name)]));
    if (shape !== this.shape) this.layRouters(config);
    this.shape = shape;
    for (const router of config.routers) this.fillRouter(router);
    this.layTargets(config);
    this.paintCounts();
    this.paintProblems();
  }

  layRouters(config) {
    const focus = focusOf(this.root);
    if (focus) focus.next = this.renamed;
    this.renamed = null;
    this.rows.clear();
    const sections = config.routers.map((router) => this.routerSection(router));
    this.routers.replaceChildren(...sections, this.adder("router", (name) => this.addRouter(name)));
    restore(this.root, focus);
  }

  routerSection(router) {
    const head = heads(["", "route", "when", "to", "messages", "share", "bytes", "± base", ""]);
    const unmatched = h("input", { "aria-label": `targets of what ${router.name} does not match`, "data-key": `${router.name}:unmatched` });
    unmatched.addEventListener("change", () => this.edit("edit_router", [router.name], { unmatched: names(unmatched.value) }));
    this.menu.offerTargets(unmatched);
    const cells = { messages: h("td", { className: "gl-number" }), delta: h("td", { className: "gl-number gl-delta" }) };
    this.rows.set(`${router.name}:unmatched`, { unmatched, ...cells });
    const body = h(
      "tbody",
      {},
      router.routes.map((route) => this.routeRow(router, route)),
      h("tr", { className: "gl-rest" }, h("td", {}), h("td", { colSpan: 2 }, "what matches no route"), h("td", {}, unmatched), cells.messages, h("td", {}), h("td", {}), cells.delta, h("td", {})),
    );
    const enabled = h("input", { type: "checkbox", "aria-label": `router ${router.name} is on`, "data-key": `${router.name}:on` });
    enabled.addEventListener("change", () => this.edit("edit_router", [router.name], { enabled: enabled.checked ? null : false }));
    const match = h("select", { "aria-label": `how ${router.name} matches`, "data-key": `${router.name}:match` }, h("option", { value: "first" }, "first match"), h("option", { value: "all" }, "all matches"));
    match.addEventListener("change", () => this.edit("edit_router", [router.name], { match: match.value }));
    const sources = h("span", { className: "gl-quiet" });
    const section = h(
      "section",
      { className: "gl-router", "data-router": router.name },
      h("div", { className: "gl-head" }, enabled, this.renamer("router", [router.name], router.name, "h3"), match, sources, iconButton("✕", `remove router ${router.name}`, () => this.edit("remove_router", [router.name]))),
      h("table", { "aria-label": `routes of ${router.name}` }, h("thead", {}, h("tr", {}, head)), body),
      this.adder("route", (name) => this.addRoute(router.name, name), router.name),
    );
    this.rows.set(`${router.name}:router`, { section, enabled, match, sources });
    return section;
  }

  routeRow(router, route) {
    const args = [router.name, route.name];
    const label = `${router.name}/${route.name}`;
    const enabled = h("input", { type: "checkbox", "aria-label": `${label} is on`, "data-key": `${label}:on` });
    enabled.addEventListener("change", () => this.edit("edit_route", args, { enabled: enabled.checked ? null : false }));
    const when = h("textarea", { rows: 1, spellcheck: false, autocomplete: "off", placeholder: "always", "aria-label": `condition of ${label}`, "data-key": `${label}:when` });
    const condition = () => ({ when: when.value.trim() === "" ? null : when.value });
    when.addEventListener("input", () => { grow(when); this.type("edit_route", args, condition()); });
    when.addEventListener("change", () => this.edit("edit_route", args, condition()));
    this.menu.offerRules(when);
    const to = h("input", { "aria-label": `targets of ${label}`, "data-key": `${label}:to` });
    to.addEventListener("change", () => this.edit("edit_route", args, { to: names(to.value) }));
    this.menu.offerTargets(to);
    const problem = h("div", { className: "gl-problem", id: `gl-${Math.random().toString(36).slice(2)}` });
    when.setAttribute("aria-describedby", problem.id);
    const cells = Object.fromEntries(["messages", "share", "bytes", "delta"].map((name) => [name, h("td", { className: `gl-number gl-${name}` })]));
    const look = this.counter(cells.messages, label, { router: router.name, route: route.name });
    const handle = h("td", { className: "gl-handle", draggable: true, title: "drag to move", "aria-hidden": "true" }, "⠿");
    const row = h(
      "tr",
      { "data-router": router.name, "data-route": route.name },
      handle,
      h("td", { className: "gl-name" }, enabled, this.renamer("route", args, route.name, "span")),
      h("td", { className: "gl-when" }, when, problem),
      h("td", { className: "gl-to" }, to),
      cells.messages, cells.share, cells.bytes, cells.delta,
      h("td", { className: "gl-actions" },
        iconButton("↑", `move ${label} up`, () => this.move(...args, -1)),
        iconButton("↓", `move ${label} down`, () => this.move(...args, 1)),
        iconButton("✕", `remove ${label}`, () => this.edit("remove_route", args))),
    );
    this.draggable(handle, row, args);
    this.rows.set(label, { row, enabled, when, to, problem, cells, look });
    return row;
  }

  draggable(handle, row, [router, route]) {
    handle.addEventListener("dragstart", (event) => {
      this.dragged = [router, route];
      event.dataTransfer.setData("text/plain", route);
    });
    row.addEventListener("dragover", (event) => {
      if (this.dragged && this.dragged[0] === router) event.preventDefault();
    });
    row.addEventListener("drop", (event) => {
      event.preventDefault();
      const moved = this.dragged;
      this.dragged = null;
      if (moved && moved[0] === router && moved[1] !== route) this.edit("move_route", moved, { before: route });
    });
  }

  // A count is a button: it shows samples of what it counts.
  counter(cell, what, select) {
    const look = button("", () => this.look(select), { className: "gl-count", title: `samples of ${what}`, "data-key": `${what}:samples` });
    cell.append(look);
    return (count) => {
      look.textContent = number(count);
      look.setAttribute("aria-label", `${number(count)}, samples of ${what}`);
    };
  }

  renamer(kind, args, name, tag) {
    const field = h("input", { className: "gl-rename", value: name, size: Math.max(6, name.length), "aria-label": `name of ${kind} ${name}`, "data-key": `${args.join("/")}:name` });
    field.addEventListener("change", () => {
      const wanted = field.value.trim();
      field.value = name;
      if (wanted === name) return;
      this.renamed = `${[...args.slice(0, -1), wanted].join("/")}:name`;
      this.edit(`rename_${kind}`, [...args, wanted]);
    });
    return h(tag, { className: "gl-named" }, field);
  }

  adder(kind, add, within = "") {
    const field = h("input", { placeholder: `new ${kind}`, "aria-label": `name of a new ${kind}${within && ` of ${within}`}`, "data-key": `${within}:add-${kind}` });
    const commit = () => {
      const name = field.value.trim();
      field.value = "";
      if (name) add(name);
    };
    field.addEventListener("keydown", (event) => event.key === "Enter" && commit());
    return h("div", { className: "gl-add" }, field, button(`Add ${kind}`, commit));
  }

  addRoute(router, name) {
    const target = this.get("document").targets[0]?.name ?? "drop";
    this.edit("add_route", [router, name], { to: [target], when: "false" });
  }

  addRouter(name) {
    const [source] = this.get("document").sources;
    this.edit("add_router", [name], { source, match: "first", unmatched: ["drop"] });
  }

  fillRouter(router) {
    const parts = this.rows.get(`${router.name}:router`);
    parts.enabled.checked = router.enabled;
    parts.match.value = router.match;
    parts.sources.textContent = `reads ${router.sources.join(", ")}`;
    parts.section.classList.toggle("gl-off", !router.enabled);
    setText(this.rows.get(`${router.name}:unmatched`).unmatched, router.unmatched.join(", "));
    for (const route of router.routes) {
      const row = this.rows.get(`${router.name}/${route.name}`);
      const isAsTold = row.when.value === (route.when ?? "") && row.to.value === route.to.join(", ") && row.enabled.checked === route.enabled;
      if (!isNew(row, "filled", route) && isAsTold) continue;
      row.enabled.checked = route.enabled;
      row.row.classList.toggle("gl-off", !route.enabled);
      setText(row.when, route.when ?? "");
      grow(row.when);
      setText(row.to, route.to.join(", "));
      row.when.title = route.description ?? "";
    }
  }

  // --- targets ---

  layTargets(config) {
    const shape = JSON.stringify(config.targets);
    if (shape === this.targetShape) return;
    this.targetShape = shape;
    const focus = focusOf(this.root);
    const head = heads(["target", "broker", "channel", "deliveries", "delivered", "dead letters", "bytes", "± base", ""]);
    this.targetCells = new Map();
    const ends = ["drop", "dead_letter"].map((name) => this.endRow(name));
    const body = h("tbody", {}, config.targets.map((target) => this.targetRow(target, config.brokers)), ends);
    const broker = h("select", { "aria-label": "broker of a new target", "data-key": "target:broker" }, config.brokers.map((name) => h("option", {}, name)));
    const adder = this.adder("target", (name) => this.edit("add_target", [name], { broker: broker.value, channel: name.replaceAll("_", "-") }));
    adder.append(" on ", broker);
    this.targets.replaceChildren(h("table", { "aria-label": "targets" }, h("thead", {}, h("tr", {}, head)), body), adder);
    restore(this.root, focus);
  }

  targetRow(target, brokers) {
    const broker = h("select", { "aria-label": `broker of ${target.name}`, "data-key": `${target.name}:broker` }, brokers.map((name) => h("option", { selected: name === target.broker }, name)));
    broker.addEventListener("change", () => this.edit("edit_target", [target.name], { broker: broker.value }));
    const channel = h("input", { value: target.channel, "aria-label": `channel of ${target.name}`, "data-key": `${target.name}:channel` });
    channel.addEventListener("change", () => this.edit("edit_target", [target.name], { channel: channel.value }));
    const swatch = h("span", { className: "gl-swatch", "aria-hidden": "true" });
    swatch.style.background = target.colour;
    return h(
      "tr",
      { "data-target": target.name },
      h("td", { className: "gl-name" }, swatch, this.renamer("target", [target.name], target.name, "span")),
      h("td", {}, broker),
      h("td", {}, channel),
      this.numbersOf(target.name, { target: target.name }),
      h("td", { className: "gl-actions" },
        iconButton("✕", `remove target ${target.name}`, () => this.edit("remove_target", [target.name]))),
    );
  }

  endRow(name) {
    const look = name === "drop" ? { target: "drop" } : { outcome: "dead_lettered" };
    return h("tr", { "data-target": name, className: "gl-rest" }, h("td", { colSpan: 3 }, name), this.numbersOf(name, look), h("td", {}));
  }

  numbersOf(name, select) {
    const cells = ["deliveries", "delivered", "dead_lettered", "bytes", "delta"].map((key) => h("td", { className: `gl-number gl-${key}` }));
    this.targetCells.set(name, { look: this.counter(cells[0], `target ${name}`, select), cells: cells.slice(1) });
    return cells;
  }

  // --- counts ---

  paintCounts() {
    const counts = this.get("counts");
    this.root.classList.toggle("gl-stale", counts.stale);
    this.root.classList.toggle("gl-few", Boolean(counts.of));
    this.paintProgress();
    for (const [key, row] of this.rows) {
      if (row.cells) {
        const found = counts.routes[key] ?? {};
        if (!isNew(row, "counted", found)) continue;
        row.look(found.messages);
        row.cells.messages.title = found.undecided ? `${number(found.undecided)} undecided: a value was missing` : "";
        row.cells.messages.classList.toggle("gl-undecided", Boolean(found.undecided));
        row.cells.share.textContent = percent(found.share);
        row.cells.bytes.textContent = size(found.bytes);
        row.cells.delta.textContent = signed(found.delta);
      } else if (row.unmatched) {
        const found = counts.routers[key.slice(0, -":unmatched".length)] ?? {};
        row.messages.textContent = number(found.unmatched);
        row.delta.textContent = signed(found.delta);
      }
    }
    for (const [name, row] of this.targetCells ?? []) {
      const found = counts.targets[name] ?? {};
      if (!isNew(row, "counted", found)) continue;
      const { look, cells } = row;
      look(found.deliveries);
      const shown = [number(found.delivered), number(found.dead_lettered), size(found.bytes), signed(found.delta)];
      cells.forEach((cell, at) => { cell.textContent = shown[at]; });
    }
  }

  paintProblems() {
    const problems = this.get("problems");
    const byRoute = Map.groupBy(problems, (each) => `${each.router}/${each.route}`);
    for (const [key, row] of this.rows) {
      if (!row.problem) continue;
      const mine = byRoute.get(key) ?? [];
      if (!isNew(row, "told", mine)) continue;
      row.problem.replaceChildren(...mine.map((each) => problemLine(each)));
      row.when.setAttribute("aria-invalid", String(mine.some((each) => each.severity === "error" && each.field === "when")));
    }
    if (!isNew(this, "listed", problems)) return;
    const items = problems.map((each) => h("li", { className: `gl-${each.severity}` }, h("code", {}, each.code), ` ${each.where}: `, problemLine(each)));
    this.problems.replaceChildren(...(items.length ? items : [h("li", { className: "gl-quiet" }, "none: this config is fine")]));
  }

  // --- flow and time ---

  look(select) {
    this.send("select", { select, page: 0 });
  }

  paintFlow() {
    this.flow.replaceChildren(drawFlow(this.get("flow"), "where messages go", (select) => this.look(select)));
  }

  paintTimes() {
    const times = this.get("times");
    if (!times) {
      this.chart.replaceChildren();
      this.window.replaceChildren(h("span", { className: "gl-quiet" }, this.get("counts").messages ? "drawing the time chart …" : "the capture has no messages: all counts are of none"));
      return;
    }
    const end = times.from_ms + times.length * times.step_ms;
    const [from, to] = times.window ?? [times.from_ms, end];
    const set = (a, b) => this.send("window", { from_ms: Math.min(a, b), to_ms: Math.max(a, b) });
    const field = (label, ms) => h("input", { type: "datetime-local", step: 1, value: toField(ms), "aria-label": label, "data-key": label });
    const start = field("messages from (UTC)", from);
    const stop = field("messages until (UTC)", to);
    const commit = () => {
      const [a, b] = [fromField(start.value), fromField(stop.value)];
      if (Number.isFinite(a) && Number.isFinite(b) && a !== b) set(a, b);
    };
    start.addEventListener("change", commit);
    stop.addEventListener("change", commit);
    const show = (isPending, a, b) => {
      [start.value, stop.value] = [toField(a), toField(b)];
      this.window.classList.toggle("gl-pending", isPending);
      pending.textContent = isPending ? "pending: counted when you let go" : "";
    };
    const pending = h("span", { className: "gl-quiet" });
    const focus = focusOf(this.root);
    this.window.classList.remove("gl-pending");
    this.window.replaceChildren("from ", start, " until ", stop, " UTC ", button("All", () => this.send("window"), { disabled: !times.window, title: "look at all messages (Esc)" }), pending, h("span", { className: "gl-quiet gl-scale" }, scaleOf(times)));
    this.chart.replaceChildren(drawTimes(times, { set, show, clear: () => this.send("window") }));
    restore(this.root, focus);
  }

  // --- panels ---

  panel(name, value, children) {
    const panel = this.panels[name];
    const focus = panel.contains(this.root.getRootNode().activeElement) ? focusOf(this.root) : null;
    panel.hidden = value === null;
    panel.replaceChildren(...(value === null ? [] : children(value)).filter(Boolean));
    restore(this.root, focus);
  }

  paintSamples() {
    this.panel("samples", this.get("samples"), (samples) => {
      const why = this.get("why");
      const told = Object.entries(samples.select).map(([key, value]) => `${key} ${value}`).join(", ");
      const page = (to) => this.send("select", { select: samples.select, page: to });
      return [
        h("h3", {}, `Messages of ${told}`),
        samples.rows.length ? null : h("p", { className: "gl-quiet" }, "None in this window."),
        ...samples.rows.map((row) => this.sampleCard(row, why && why.seq === row.seq ? why : null)),
        h("div", { className: "gl-bar" },
          button("Previous", () => page(samples.page - 1), { disabled: samples.page === 0 }),
          button("Next", () => page(samples.page + 1), { disabled: !samples.has_more }),
          button("Close", () => this.send("select", {}))),
      ];
    });
  }

  sampleCard(row, why) {
    const line = h("summary", {},
      h("span", { className: "gl-quiet" }, `#${row.seq} ${clock(Date.parse(row.received))} `),
      h("strong", {}, `${row.source} → ${row.target} `),
      row.channel ? foreign(row.channel, { className: "gl-quiet" }) : null,
      row.outcome === "delivered" ? null : h("span", { className: "gl-warning" }, ` ${row.outcome}${row.reason ? `: ${row.reason}` : ""}`),
      foreign(row.body ?? "no body", { className: "gl-preview" }));
    const fold = h("details", { open: this.opened.has(row.seq) }, line,
      h("pre", { tabIndex: 0, role: "region", "aria-label": `body of message ${row.seq}` }, pretty(row.body)));
    fold.addEventListener("toggle", () => this.opened[fold.open ? "add" : "delete"](row.seq));
    return h("article", { className: "gl-sample", "aria-label": `message ${row.seq}` },
      h("div", { className: "gl-line" }, fold,
        button("Why?", () => this.send("explain", { seq: why ? null : row.seq }), { "aria-expanded": String(Boolean(why)), "aria-label": `Why? message ${row.seq} goes there` }),
        copier("Copy", () => row.body ?? "", `Copy message ${row.seq}`)),
      why ? h("pre", { className: "gl-why", tabIndex: 0, role: "region", "aria-label": `why message ${row.seq} goes there` }, why.text) : null);
  }

  paintComparison() {
    const found = this.get("comparison");
    this.compare.setAttribute("aria-pressed", String(found !== null));
    this.panel("comparison", found, (told) => !told.changed && !told.config.length ? [h("p", { className: "gl-quiet" }, "The draft does what the base does.")] : [
      h("h3", {}, `${number(told.changed)} deliveries differ from the base (${percent(told.share)})`),
      told.flow.nodes.length ? drawFlow(told.flow, "from the target of the base to that of the draft", () => {}) : null,
      table("what differs, by router", told.summary),
      told.messages.length ? table("messages that go elsewhere", told.messages.map(({ seq, router, change, old, new: now }) => ({ seq, router, change, old, new: now }))) : null,
      told.config.length ? table("what differs in the config", told.config) : null,
    ]);
  }

  paintCode() {
    const code = this.get("code");
    this.showCode.setAttribute("aria-pressed", String(code !== null));
    this.panel("code", code, (text) => [
      h("pre", { tabIndex: 0, role: "region", "aria-label": "Python that makes this config" }, text),
      copier("Copy", () => text, "Copy the code"),
    ]);
  }

  paintRelease() {
    const release = this.get("release");
    this.write.setAttribute("aria-pressed", String(release !== null));
    this.panel("release", release, (told) => [
      h("h3", {}, `Write ${told.path}`),
      told.is_changed ? h("p", { className: "gl-error" }, "Somebody else changed this file since it was opened. Their changes are shown as removed below.") : null,
      ...told.refused.map((text) => h("p", { className: "gl-error" }, text)),
      told.diff ? h("pre", { className: "gl-diff", tabIndex: 0, role: "region", "aria-label": "what changes in the file" }, ...diffLines(told.diff)) : h("p", {}, "The file says this already."),
      h("div", { className: "gl-bar" },
        button(told.is_changed ? "Replace their changes" : "Write", () => this.send("write", { path: told.path, replace: told.is_changed }), { disabled: told.refused.length > 0 || !told.diff }),
        button("Close", () => this.send("release", { on: false })),
        h("code", {}, told.digest.slice(0, 12))),
    ]);
  }
}

// --- completion ---

class Menu {
  constructor(view) {
    this.view = view;
    this.id = `gl-${Math.random().toString(36).slice(2)}`;
    this.element = h("ul", { className: "gl-menu", role: "listbox", id: this.id, hidden: true, "aria-label": "completions" });
    this.field = this.asked = null;
  }

  offerRules(field) {
    this.attach(field, () => this.rules(field));
  }

  offerTargets(field) {
    this.attach(field, () => {
      const start = field.value.slice(0, field.selectionStart).search(/[^\s,]*$/);
      const known = [...this.view.get("document").targets.map((each) => each.name), "drop", "dead_letter"];
      return this.matching(start, known, field);
    });
  }

  rules(field) {
    const before = field.value.slice(0, field.selectionStart);
    const hints = { fields: [], settings: [], message: [], functions: [], ...this.view.get("hints") };
    const asked = before.match(/([a-z_][\w.]*)\s*(?:=|<>|in\s*\((?:[^()]*,)?)\s*('?[^'\s,)]*)$/i);
    const known = asked && hints.fields.find((each) => each.path === asked[1]);
    if (known && known.values.length) return this.matching(before.length - asked[2].length, known.values, field);
    const start = before.search(/[a-z_][\w.]*$/i);
    if (start < 0) return null;
    return this.matching(start, [...hints.fields.map((each) => each.path), ...hints.settings, ...hints.message, ...hints.functions.map((name) => `${name}(`)], field);
  }

  matching(start, known, field) {
    const word = field.value.slice(start, field.selectionStart).toLowerCase();
    const found = known.filter((each) => each.toLowerCase().startsWith(word) && each.toLowerCase() !== word);
    return found.length ? { start, found: found.slice(0, OFFERED) } : null;
  }

  attach(field, find) {
    const isLine = field.tagName === "INPUT"; // a text of several lines is no combobox
    put(field, { ...(isLine ? { role: "combobox", "aria-expanded": "false" } : {}), "aria-autocomplete": "list", "aria-controls": this.id, autocomplete: "off" }, []);
    field.addEventListener("input", () => this.ask(field, find));
    field.addEventListener("blur", () => this.close());
    field.addEventListener("keydown", (event) => {
      if (event.ctrlKey && event.key === " ") this.ask(field, find);
      else if (this.field === field) this.key(event);
      else if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); field.dispatchEvent(new Event("change")); }
    });
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps && !event.altKey) this.point((this.at + steps[event.key] + this.found.length) % this.found.length);
    else if ((event.key === "Enter" || event.key === "Tab") && this.at >= 0) this.take(this.found[this.at]);
    else if (event.key === "Escape") this.close();
    else return;
    event.preventDefault();
  }

  ask(field, find) {
    this.open(field, find());
    this.asked = () => this.ask(field, find);
  }

  // What was asked for before completions were known is offered once they are.
  known() {
    if (this.field === null) this.asked?.();
  }

  open(field, offer) {
    if (!offer) return this.close();
    Object.assign(this, { field, start: offer.start, found: offer.found });
    this.element.replaceChildren(...offer.found.map((text, at) =>
      h("li", { role: "option", id: `${this.id}-${at}`, onmousedown: (event) => { event.preventDefault(); this.take(text); } }, text)));
    const [box, root] = [field.getBoundingClientRect(), this.view.root.getBoundingClientRect()];
    this.element.style.left = `${box.left - root.left}px`;
    this.element.style.top = `${box.bottom - root.top}px`;
    this.element.hidden = false;
    this.expanded(true);
    this.point(-1);
  }

  expanded(isOpen) {
    if (this.field?.hasAttribute("aria-expanded")) this.field.setAttribute("aria-expanded", String(isOpen));
  }

  point(at) {
    this.at = at;
    [...this.element.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === at)));
    if (at >= 0) this.field.setAttribute("aria-activedescendant", `${this.id}-${at}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  take(text) {
    const { field, start } = this;
    field.setRangeText(text, start, field.selectionStart, "end");
    this.close();
    field.dispatchEvent(new Event("input"));
    this.close();
  }

  close() {
    this.expanded(false);
    this.field?.removeAttribute("aria-activedescendant");
    this.field = this.asked = null;
    this.element.hidden = true;
  }
}

// --- drawing ---

function drawFlow(flow, label, look) {
  const margin = 8;
  const picture = s("svg", { viewBox: `0 0 ${flow.width + 170} ${flow.height + 2 * margin}`, ...(look ? { role: "group" } : { role: "img" }), "aria-label": label });
  const inner = s("g", { transform: `translate(${margin} ${margin})` });
  const asked = (select, told, tag, props, ...children) =>
    look && Object.keys(select).length
      ? s(tag, { ...props, role: "button", tabindex: -1, [OWN_KEYS]: "true", "aria-label": `Samples: ${told}`, onclick: () => look(select) }, ...children)
      : s(tag, props, ...children);
  for (const link of flow.links) {
    const told = `${link.title}: ${number(link.messages)}`;
    inner.append(asked(link.select, told, "path", { d: link.d, fill: "none", stroke: link.colour, "stroke-width": link.width, class: "gl-link" }, s("title", {}, told)));
  }
  for (const node of flow.nodes) {
    const told = `${node.kind} ${node.label}: ${number(node.messages)}`;
    inner.append(asked(node.select, told, "g", { class: "gl-node" },
      s("rect", { x: node.x, y: node.y, width: node.w, height: node.h, fill: node.colour }),
      s("text", { x: node.x + node.w + 4, y: node.y + node.h / 2 + 4 }, `${node.label} ${number(node.messages)}`),
      s("title", {}, told)));
  }
  picture.append(inner);
  if (look) walkable(inner);
  return picture;
}

// One stop of the Tab key for the whole picture; arrows go on from there.
function walkable(inner) {
  const stops = [...inner.querySelectorAll(".gl-node[role], .gl-link[role]")].sort((a, b) => b.classList.contains("gl-node") - a.classList.contains("gl-node"));
  stops[0]?.setAttribute("tabindex", "0");
  inner.addEventListener("keydown", (event) => {
    const at = stops.indexOf(event.target);
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") event.target.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    else if (by) stops[(at + by + stops.length) % stops.length].focus();
    else return;
    event.preventDefault();
  });
}

function drawTimes(times, { set, show: tell, clear }) {
  const [width, height, grip] = [1000, 90, 8];
  const step = width / times.length;
  const scale = height / Math.max(1, ...totalsOf(times));
  const picture = s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": "deliveries over time; drag to look at a window", class: "gl-times" });
  const used = new Array(times.length).fill(0);
  for (const each of times.series) {
    const path = each.counts.map((count, at) => {
      used[at] += count;
      return count ? `M${(at * step).toFixed(1)} ${(height - used[at] * scale).toFixed(1)}h${(step * 0.9).toFixed(1)}v${(count * scale).toFixed(1)}h${(-step * 0.9).toFixed(1)}z` : "";
    }).join("");
    const total = each.counts.reduce((sum, count) => sum + count, 0);
    picture.append(s("path", { d: path, fill: each.colour }, s("title", {}, `${each.target}: ${number(total)} deliveries`)));
  }
  const span = times.length * times.step_ms;
  const toX = (ms) => ((ms - times.from_ms) / span) * width;
  const brush = s("rect", { y: 0, height, class: "gl-brush" });
  const show = (a, b) => put(brush, { x: Math.min(a, b), width: Math.abs(b - a) }, []);
  if (times.window) show(...times.window.map(toX));
  picture.append(brush);
  const at = (event) => {
    const box = picture.getBoundingClientRect();
    return Math.min(width, Math.max(0, ((event.clientX - box.left) / box.width) * width));
  };
  const toMs = (x) => Math.round(times.from_ms + (x / width) * span);
  // Close to an edge of the window, that edge is taken; elsewhere a new window begins.
  const grasp = (x) => {
    const edges = (times.window ?? []).map(toX);
    const near = edges.findIndex((edge) => Math.abs(edge - x) < grip);
    return near < 0 ? x : edges[1 - near];
  };
  let start = null;
  picture.addEventListener("pointerdown", (event) => {
    start = grasp(at(event));
    picture.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  picture.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [a, b] = [start, at(event)].sort((one, other) => one - other);
    show(a, b);
    tell(true, toMs(a), toMs(b));
  });
  picture.addEventListener("pointerup", (event) => {
    const end = at(event);
    if (start === null) return;
    if (Math.abs(end - start) > 3) set(toMs(start), toMs(end));
    else clear();
    start = null;
  });
  return picture;
}

const totalsOf = (times) => Array.from({ length: times.length }, (_, at) => times.series.reduce((sum, each) => sum + each.counts[at], 0));

// The chart's unit, and what its highest bar stands for.
function scaleOf(times) {
  const units = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];
  const [ms, unit] = units.find(([ms]) => times.step_ms % ms === 0) ?? units.at(-1);
  return `deliveries in ${times.step_ms / ms} ${unit}: up to ${number(Math.max(0, ...totalsOf(times)))}`;
}

const MEANINGS = { "± base": "more or fewer than with the base config" };
const COUNTED = new Set(["messages", "share", "bytes", "± base", "deliveries", "delivered", "dead letters"]);
const heads = (texts) => texts.map((text) => (text ? h("th", { scope: "col", className: `gl-head-${text}${COUNTED.has(text) ? " gl-number" : ""}`, title: MEANINGS[text] ?? "" }, text) : h("td", {})));

function copier(label, text, name) {
  return button(label, async (element) => {
    try {
      await navigator.clipboard.writeText(text());
      element.textContent = "Copied";
    } catch {
      element.textContent = "Not allowed";
    }
    setTimeout(() => { element.textContent = label; }, 1500);
  }, { "aria-label": name });
}

function table(label, rows) {
  const keys = Object.keys(rows[0] ?? {});
  return h("table", { "aria-label": label },
    h("caption", {}, label),
    h("thead", {}, h("tr", {}, keys.map((key) => h("th", { scope: "col", className: typeof rows[0][key] === "number" ? "gl-number" : "" }, key)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, keys.map((key) => {
      const value = row[key];
      return h("td", typeof value === "number" ? { className: "gl-number" } : {}, typeof value === "number" ? number(value) : String(value ?? ""));
    })))));
}

const problemLine = (problem) =>
  h("span", { className: `gl-${problem.severity}` }, problem.message, problem.hint ? h("em", {}, ` – ${problem.hint}`) : null);

const diffLines = (text) =>
  text.split("\n").map((line) => h("span", { className: line.startsWith("+") ? "gl-plus" : line.startsWith("-") ? "gl-minus" : "" }, `${line}\n`));

function pretty(body) {
  if (body === null || body === undefined) return "no body";
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

// --- what is as it was is not painted again: with 500 routes that is what takes the time ---

function isNew(holder, name, value) {
  const text = JSON.stringify(value);
  const isSame = holder[name] === text;
  holder[name] = text;
  return !isSame;
}

// --- fields keep what a person is doing in them ---

function setText(field, text) {
  if (field.getRootNode().activeElement !== field && field.value !== text) field.value = text;
}

function grow(field) {
  field.rows = Math.min(8, Math.max(1, Math.ceil(field.value.length / 44), field.value.split("\n").length));
}

function focusOf(root) {
  const element = root.getRootNode().activeElement;
  return element && root.contains(element) ? { key: keyOf(element) } : null;
}

// Gives the focus back to the thing of the same name; what is gone leaves it to the whole panel,
// for outside of it the next key would be the notebook's.
function restore(root, focus) {
  if (!focus || root.contains(root.getRootNode().activeElement)) return;
  const all = [...root.querySelectorAll("[data-key], [aria-label], button")];
  const found = all.find((each) => keyOf(each) === focus.key) ?? all.find((each) => keyOf(each) === focus.next);
  (found ?? root).focus({ preventScroll: true });
}

const keyOf = (element) => element.getAttribute("data-key") ?? element.getAttribute("aria-label") ?? element.textContent;

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    el.append(root);
    const view = new View(model, root);
    return () => view.close();
  },
};
