
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const texts = data.texts;

  /* -- making elements: data becomes text, never markup ------------------------------ */

  const say = (name, values = {}) => texts[name].replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));
  const byId = (id) => document.getElementById(id);
  const count = (number) => number.toLocaleString(document.documentElement.lang);

  function make(name, attributes = {}, ...children) {
    const [tag, ...classes] = name.split(".");
    const element = document.createElement(tag);
    if (classes.length) element.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
      else if (value === true) element.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== "" && child !== false));
    return element;
  }
  const code = (text) => make("code", {}, text);
  const isolated = (text) => make("bdi", {}, text);
  const badge = (verdict, extra = "") => make(`span.badge.v-${tone(verdict)}${extra}`, {}, verdict);
  const pairs = (...rows) => make("dl.pairs", {}, rows.filter((row) => row && row[1] !== "" && row[1] !== null).map(([term, ...about]) => [make("dt", {}, term), make("dd", {}, ...about)]));

  function tone(verdict) {
    if (["ACCEPT", "DROP", "REJECT", "DEPENDS"].includes(verdict)) return verdict;
    return ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "DNPT", "SNPT"].includes(verdict) ? "NAT" : "OTHER";
  }

  function table(heads, rows, label) {
    return make("div.scroll", { tabindex: 0, role: "region", "aria-label": label },
      make("table", {},
        make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, head)))),
        make("tbody", {}, rows)));
  }

  /* -- links into the page ------------------------------------------------------------------------------- */

  const link = (...parts) => "#" + parts.map((part) => encodeURIComponent(part)).join("/");
  const kindOf = (ruleset) => ruleset.family + (ruleset.backend ? `-${ruleset.backend}` : "");

  const chainOf = new Map();   // number of a rule -> [ruleset, chain]
  const ledFrom = new Map();   // chain -> numbers of the rules that lead there
  for (const ruleset of data.rulesets) {
    const named = new Map(ruleset.chains.map((chain) => [`${chain.t} ${chain.c}`, chain]));
    for (const chain of ruleset.chains) {
      for (const number of chain.r) {
        chainOf.set(number, [ruleset, chain]);
        const target = data.rules[number].j && named.get(`${chain.t} ${data.rules[number].j}`);
        if (target) ledFrom.set(target, [...(ledFrom.get(target) || []), number]);
      }
    }
  }
  const ruleCount = (chain) => chain.r.length + (chain.z || 0);
  const rulePlace = (rule) => say("rule_place", { table: rule.t, chain: rule.c, number: rule.n });
  const ruleHash = (number) => link("rule", kindOf(chainOf.get(number)[0]), data.rules[number].t, data.rules[number].c, data.rules[number].n);
  const chainHash = (ruleset, chain) => link("chain", kindOf(ruleset), chain.t, chain.c);
  function ruleLink(number, text) {
    const shown = text || rulePlace(data.rules[number]);
    return chainOf.has(number) ? make("a", { href: ruleHash(number) }, isolated(shown)) : isolated(shown);
  }
  const ownerText = (owner) => (owner === "user" ? say("by_hand") : say("by", { owner }));
  function counters(pair) {
    if (!pair) return "";
    const packets = say(pair[0] === 1 ? "one_packet" : "packets", { packets: count(pair[0]) });
    return pair[1] ? say("and_bytes", { packets, size: count(pair[1]) }) : packets;
  }
  function whyText(rule) {
    return rule.y ? `${ownerText(rule.o)}: ${rule.y}` : ownerText(rule.o);
  }

  /* -- the host ------------------------------------------------------------------------------------------ */

  function showHost() {
    const about = data.about;
    const body = byId("host-body");
    const checked = data.tables.flatMap((one) => one.cells.flat()).filter((cell) => cell !== null).map((cell) => data.traces[cell]).filter((one) => one.v);
    const refused = checked.filter((one) => one.q).length;
    const chains = data.rulesets.reduce((sum, one) => sum + one.chains.length, 0);
    const rules = data.rulesets.flatMap((one) => one.chains).reduce((sum, chain) => sum + ruleCount(chain), 0);
    byId("lead").textContent = say("lead", {
      accepted: count(checked.filter((one) => one.v === "ACCEPT" && !one.q).length), checked: count(checked.length),
      findings: count(data.findings.length), rules: count(rules), chains: count(chains),
    });
    if (refused) byId("lead").append(" ", say("lead_refused", { refused: count(refused) }));
    body.append(pairs(
      [say("engine"), about.engine || say("no_engine")],
      [say("addresses"), about.addresses.map((one) => make("span.list", {}, code(one)))],
    ));
    if (about.inferred) body.append(make("p", {}, say("inferred")));
    else if (about.assumptions.length) body.append(make("h3", {}, say("assumed")));
    if (about.assumptions.length) body.append(make("ul.bullets", {}, about.assumptions.map((one) => make("li", {}, one))));
    const parts = [];
    if (about.settings.length) {
      const origin = (text) => (text === "default" ? say("origin_default") : text === "assumed" ? say("origin_assumed") : text);
      parts.push(make("div", {}, make("h3", {}, say("settings")), table(
        [say("setting"), say("value"), say("origin")],
        about.settings.map(([name, value, from]) => make("tr", {}, make("th", { scope: "row" }, code(name)), make("td", {}, code(value)), make("td.soft", {}, isolated(origin(from))))),
        say("settings"))));
    }
    if (about.networks.length) {
      parts.push(make("div", {}, make("h3", {}, say("networks")), table(
        [say("name"), say("bridge"), say("subnets"), say("options")],
        about.networks.map((one) => make("tr", {},
          make("th", { scope: "row" }, isolated(one.name)),
          make("td", {}, one.bridge ? code(one.bridge) : one.driver),
          make("td", {}, one.subnets.map((subnet) => make("span.list", {}, code(subnet)))),
          make("td", {}, one.marks.map((mark) => make("span.tag", {}, mark))))),
        say("networks"))));
    }
    body.append(make("div.columns", {}, parts));
    if (about.containers.length) {
      body.append(make("h3", {}, say("containers")), table(
        [say("name"), say("networks"), say("addresses"), say("published")],
        about.containers.map((one, number) => make("tr", { id: `container-${number}`, tabindex: -1 },
          make("th", { scope: "row" }, isolated(one.name), one.running ? "" : make("span.tag", {}, say("stopped"))),
          make("td", {}, isolated(one.networks.join(", "))),
          make("td", {}, one.addresses.map((address) => make("span.list", {}, code(address)))),
          make("td", {}, [...one.published, ...one.links.map((other) => `--link ${other}`)].map((port) => make("span.list", {}, code(port)))))),
        say("containers")));
    }
  }

  /* -- findings ------------------------------------------------------------------------------------------ */

  function showFindings() {
    const body = byId("findings-body");
    if (!data.findings.length) body.append(make("p", {}, say("no_findings")));
    data.findings.forEach((one, number) => {
      const family = one.family === 6 && !one.title.includes("IPv6") ? say("of_family", { family: 6 }) : "";
      const shown = one.shown === undefined ? null : data.traces[one.shown];
      body.append(make("article.finding", { id: `finding-${number}`, tabindex: -1 },
        make("span.tag", {}, one.code), family && make("span.tag", {}, family),
        make("h3", {}, isolated(one.title)),
        make("p", {}, isolated(one.consequence)),
        pairs(
          [say("remedy"), isolated(one.remedy)],
          [say("evidence"), one.evidence.map((item) => make("div.evidence", {}, item.rule === undefined ? isolated(item.place) : ruleLink(item.rule, item.place), code(item.text)))],
          shown && [say("example"),
            make("div", {}, badge(shown.v), " ", isolated(`${data.strings[shown.f]} → ${data.strings[shown.t]}`), " ", make("a", { href: link("trace", "finding", number) }, say("see_trace"))),
            one.command && code(one.command)])));
    });
  }

  /* -- the map: the way of the chosen packet is marked on it ----------------------------------------------- */

  const places = new Map([...document.querySelectorAll("#map [data-node]")].map((one) => [one.dataset.node, one]));
  const lines = new Map([...document.querySelectorAll("#map [data-source]")].map((one) => [`${one.dataset.source}\n${one.dataset.target}`, one]));
  const lineOf = (one, other) => lines.get(`${one}\n${other}`) || lines.get(`${other}\n${one}`);
  /* What is wired to iptables is wired to its routing. */
  const wiredTo = (name) => (name.startsWith("hook ") ? "hook ROUTING" : name);
  /* A place in a few words; of a container's interface also whose it is. */
  const labelOf = (name) => places.get(name).querySelector(places.get(name).matches(".plug") ? "title" : "text").textContent;

  function onMap(trace) {
    if (!trace || trace.w === undefined) return [];
    const found = data.ways[trace.w].map(([kind, end, ...names]) => ({ kind, end, names: names.map((number) => data.strings[number]).filter((name) => places.has(name)) }))
      .filter((way) => way.names.length);
    // docker-proxy goes on where the packet arrived
    found.forEach((way, number) => { way.goesOn = way.end === "arrived" && number + 1 < found.length && found[number + 1].names[0] === way.names[way.names.length - 1]; });
    return found;
  }
  /* How a way ends: in a text, and as a sign in the corner of its last box. */
  const ENDS = { arrived: "✓", stop: "✕", open: "?" };
  const CORNERS = { arrived: "M-4 0L-1 3.5L4-3.5", stop: "M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5", open: "M-2.5-2Q0-7 2.5-2Q2 0 0 1M0 3V5" };
  const wayText = (trace) => onMap(trace).map((way) => `${way.names.map(labelOf).join(" → ")}${way.goesOn ? "" : ` ${ENDS[way.end]}`}`).join("; ");

  function corner({ x, y, width }, end) {
    const draw = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const sign = draw("g", { class: "drawn-end", transform: `translate(${x + width} ${y})` });
    sign.append(draw("circle", { class: `badge ${end}`, r: 8 }), draw("path", { class: "sign", d: CORNERS[end] }));
    return sign;
  }
  function drawWay(trace) {
    document.querySelectorAll("#map .drawn-end").forEach((one) => one.remove());
    document.querySelectorAll("#map .drawn").forEach((one) => one.classList.remove("drawn", "walked", "answered", "reply", "stop", "arrived", "open"));
    const mark = (element, ...classes) => element && element.classList.add("drawn", ...classes);
    for (const way of onMap(trace)) {
      const reply = way.kind === "reply";
      way.names.forEach((name, number) => {
        mark(places.get(name), reply ? "answered" : "walked");
        const before = way.names[number - 1];
        if (number) mark(lineOf(before, name) || lineOf(wiredTo(before), wiredTo(name)), "walked", reply && "reply" || "drawn");
      });
      if (way.goesOn) continue;
      const last = places.get(way.names[way.names.length - 1]);
      mark(last, way.end);
      last.append(corner(last.querySelector(".box").getBBox(), way.end));
    }
    byId("map-way").replaceChildren(...(!trace || !trace.v ? [say("map_hint")] : [
      badge(trace.v), " ", isolated(`${data.strings[trace.f]} → ${data.strings[trace.t]}`), " ",
      trace.w === undefined ? say("map_other") : make("a", { href: chosenHash() }, say("see_trace"))]));
  }

  /* -- reachability -------------------------------------------------------------------------------------- */

  const SIGNS = { ACCEPT: "✓", DROP: "✕", REJECT: "⊘", DEPENDS: "?" };
  const whatText = (line) => (line[1] === "other ports" ? say("other_ports") : line[1]);
  const lineKey = (line) => (line[3] === null ? line[2] : `${line[3]}-${line[2]}`);
  let folded = true;
  let familyShown = data.tables.length ? data.tables[0].family : 4;
  const tableOf = (family) => data.tables.find((one) => one.family === family);
  const traceHash = (grid, sender, line, ...more) => link("trace", grid.family, grid.senders[sender], grid.lines[line][0], lineKey(grid.lines[line]), ...more);

  function groupName(names) {
    return names.length > 3 ? say("and_more", { names: names.slice(0, 2).join(", "), count: names.length - 2 }) : names.join(", ");
  }

  function showReach() {
    const body = byId("reach-body");
    body.replaceChildren();
    const grid = tableOf(familyShown);
    if (!grid) {
      body.append(make("p", {}, say("no_endpoints")));
      return;
    }
    const foldable = grid.columns.length < grid.senders.length || grid.rows.length < grid.lines.length;
    body.append(make("div.bar", {},
      data.tables.length > 1 && familyChoice("reach-family", familyShown, (family) => { familyShown = family; showReach(); byId("reach-family").focus(); }),
      foldable && make("label.check", {}, make("input", { type: "checkbox", id: "reach-alike", checked: !folded, on: { change: (event) => { folded = !event.target.checked; showReach(); byId("reach-alike").focus(); } } }), say("show_alike"))));
    const columns = folded ? grid.columns : grid.senders.map((_, number) => [number]);
    const rows = folded ? grid.rows : grid.lines.map((_, number) => [number]);
    const cells = rows.map((row) => columns.map((column) => pick(grid, row, column)));
    const body_rows = rows.map((row, y) => {
      const receivers = [...new Set(row.map((line) => grid.lines[line][0]))];
      const ports = [...new Set(row.map((line) => whatText(grid.lines[line])))];
      return make("tr", {},
        make("th", { scope: "row", title: [receivers.join(", "), ports.join(", ")].join(": ") }, isolated(groupName(receivers)), make("span.port", {}, groupName(ports))),
        columns.map((_, x) => cellOf(grid, cells[y][x])));
    });
    const box = make("div.scroll.grid", { id: "grid", tabindex: -1, role: "region", "aria-label": say("reach") },
      make("table", { role: "grid", "aria-describedby": "grid-keys" },
        make("thead", {}, make("tr", {},
          make("th", { scope: "col" }, make("span.list", {}, `${say("from")} →`), make("span.list", {}, `${say("to_port")} ↓`)),
          columns.map((column) => column.map((sender) => grid.senders[sender])).map((names) => make("th", { scope: "col", title: names.join(", ") }, isolated(groupName(names)))))),
        make("tbody", {}, body_rows)));
    body.append(box, make("p.hint", { id: "grid-keys" }, say("keys_grid")));
    if (grid.leftOut) body.append(make("p", {}, say("left_out", { count: count(grid.leftOut) })));
    roam(box.querySelector("table"));
    body.append(codes(grid, box));
    markChosen();
  }

  /* A cell of folded rows and columns represents all its pairs; show the first one. */
  function pick(grid, row, column) {
    for (const line of row) for (const sender of column) if (grid.cells[line][sender] !== null) return [line, sender];
    return null;
  }

  function cellOf(grid, place) {
    if (!place) return make("td.self", {}, "–", make("span.hidden", {}, say("itself")));
    const [line, sender] = place;
    const trace = data.traces[grid.cells[line][sender]];
    const names = { from: grid.senders[sender], to: grid.lines[line][0], what: whatText(grid.lines[line]) };
    const verdict = trace.q ? say("refused") : trace.v;
    const label = trace.v ? say("cell", { ...names, verdict, reason: trace.r }) : say("cell_unasked", names);
    const cell = make(`td.v-${trace.q ? "REFUSED" : tone(trace.v)}`, {},
      make("a", { href: traceHash(grid, sender, line), tabindex: -1, "aria-label": label },
        make("span.sign", { "aria-hidden": "true" }, trace.q ? "○" : SIGNS[trace.v] || "·"),
        make("span.reason", {}, trace.q ? say("refused") : trace.v ? trace.r : say("unasked"))));
    cell.dataset.code = trace.r || "";
    cell.dataset.place = `${grid.family} ${line} ${sender}`;
    return cell;
  }

  /* One cell takes part in the order of Tab; arrow keys lead from cell to cell. */
  function roam(grid) {
    const rows = [...grid.tBodies[0].rows].map((row) => [...row.cells].slice(1).map((cell) => cell.querySelector("a")));
    const first = rows.flat().find(Boolean);
    if (first) first.tabIndex = 0;
    const move = (from, [dy, dx]) => {
      let y = rows.findIndex((row) => row.includes(from));
      let x = rows[y].indexOf(from);
      do { y += dy; x += dx; } while (rows[y] && x in rows[y] && !rows[y][x]);
      return rows[y] && rows[y][x];
    };
    grid.addEventListener("keydown", (event) => {
      const from = event.target.closest("a");
      const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (!from || event.altKey || event.ctrlKey || event.metaKey) return;
      const row = rows.find((one) => one.includes(from));
      let to = null;
      if (event.key in ways) to = move(from, ways[event.key]);
      else if (event.key === "Home") to = row.find(Boolean);
      else if (event.key === "End") to = [...row].reverse().find(Boolean);
      else return;
      event.preventDefault();
      if (to) to.focus();
    });
    grid.addEventListener("focusin", (event) => {
      const to = event.target.closest("a");
      if (!to) return;
      rows.flat().forEach((one) => { if (one) one.tabIndex = one === to ? 0 : -1; });
    });
  }

  function codes(grid, box) {
    const seen = new Map();
    for (const cell of grid.cells.flat()) {
      if (cell === null) continue;
      const trace = data.traces[cell];
      if (trace.v) seen.set(trace.r, (seen.get(trace.r) || new Map()).set(trace.v, ((seen.get(trace.r) || new Map()).get(trace.v) || 0) + 1));
    }
    const total = (verdicts) => [...verdicts.values()].reduce((sum, one) => sum + one, 0);
    const list = make("ul", {}, [...seen].sort((one, other) => total(other[1]) - total(one[1])).map(([reason, verdicts]) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, reason);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        list.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(on && one === button)));
        box.classList.toggle("only", on);
        box.querySelectorAll("td").forEach((cell) => cell.classList.toggle("wanted", on && cell.dataset.code === reason));
      });
      return make("li", {}, make("span", {}, button, " ", make("span.soft", {}, count(total(verdicts)))), make("span", {}, data.reasons[reason]));
    }));
    return make("div.codes", {}, make("h3", {}, say("codes")), make("p.hint", {}, say("codes_hint")), list);
  }

  function familyChoice(id, chosen, change) {
    return make("label", {}, make("span.hidden", {}, say("family")),
      make("select", { id, on: { change: (event) => change(Number(event.target.value)) } },
        data.tables.map((one) => make("option", { value: one.family, selected: one.family === chosen }, say("of_family", { family: one.family })))));
  }

  function markChosen() {
    document.querySelectorAll("#grid .chosen").forEach((cell) => cell.classList.remove("chosen"));
    if (!chosen.grid) return;
    const place = `${chosen.grid.family} ${chosen.line} ${chosen.sender}`;
    const cell = [...document.querySelectorAll("#grid td")].find((one) => one.dataset.place === place);
    if (cell) cell.classList.add("chosen");
  }

  /* -- the trace ----------------------------------------------------------------------------------------- */

  /* What is chosen: a question by its cell, or the packet of a finding; a way of it; a step of that. */
  const chosen = { grid: null, sender: 0, line: 0, finding: null, way: 0, step: 0 };
  let onlyTelling = false;
  let entries = [];

  function chosenTrace() {
    if (chosen.finding !== null) return data.traces[data.findings[chosen.finding].shown];
    return chosen.grid ? data.traces[chosen.grid.cells[chosen.line][chosen.sender]] : null;
  }
  function chosenHash(step = chosen.step) {
    const more = [chosen.way, step];
    if (chosen.finding !== null) return link("trace", "finding", chosen.finding, ...more);
    return traceHash(chosen.grid, chosen.sender, chosen.line, ...more);
  }

  function showForm() {
    const box = byId("trace-form");
    box.replaceChildren();
    const grid = chosen.grid || tableOf(familyShown);
    if (!grid) {
      box.append(make("p", {}, say("no_endpoints")));
      return;
    }
    const select = (id, label, options, value, change) => make("div", {}, make("label", { for: id }, label),
      make("select", { id, on: { change: (event) => { change(event.target.value); byId(id).focus(); } } },
        options.map(([key, text]) => make("option", { value: key, selected: String(key) === String(value) }, text))));
    const go = (sender, receiver, line) => {
      const lines = linesOf(grid, sender);
      const wanted = lines.find((one) => one === line && grid.lines[one][0] === receiver)
        ?? lines.find((one) => grid.lines[one][0] === receiver && grid.lines[line] && lineKey(grid.lines[one]) === lineKey(grid.lines[line]))
        ?? lines.find((one) => grid.lines[one][0] === receiver) ?? lines[0];
      history.replaceState(null, "", traceHash(grid, sender, wanted));
      choose({ grid, sender, line: wanted, finding: null, way: 0, step: null });
    };
    const none = chosen.finding !== null || !chosen.grid;
    const receivers = none ? [] : [...new Set(linesOf(grid, chosen.sender).map((line) => grid.lines[line][0]))];
    const receiver = none ? "" : grid.lines[chosen.line][0];
    const lines = none ? [] : linesOf(grid, chosen.sender).filter((line) => grid.lines[line][0] === receiver);
    const empty = none ? [["", "–"]] : [];
    box.append(make("div.form", {},
      select("trace-from", say("from"), [...empty, ...grid.senders.map((name, number) => [number, name])], none ? "" : chosen.sender,
        (value) => value !== "" && go(Number(value), none ? "" : receiver, none ? -1 : chosen.line)),
      select("trace-to", say("to"), none ? empty : receivers.map((name) => [name, name]), receiver, (value) => go(chosen.sender, value, chosen.line)),
      select("trace-port", say("port"), none ? empty : lines.map((line) => [line, whatText(grid.lines[line])]), none ? "" : chosen.line,
        (value) => go(chosen.sender, receiver, Number(value)))));
    if (none) box.querySelectorAll("#trace-to, #trace-port").forEach((one) => { one.disabled = true; });
  }
  function linesOf(grid, sender) {
    return grid.lines.map((_, number) => number).filter((line) => grid.cells[line][sender] !== null);
  }

  function choose(what) {
    Object.assign(chosen, what);
    if (chosen.grid && chosen.grid.family !== familyShown) {
      familyShown = chosen.grid.family;
      showReach();
    }
    showForm();
    showTrace();
    markChosen();
  }

  /* The trace of the chosen way, and of the whole where no way is chosen. */
  function wayOf(trace) {
    if (trace.v === "DEPENDS" && trace.b && !chosen.way) chosen.way = 1;
    return chosen.way && trace.b && trace.b[chosen.way - 1] ? trace.b[chosen.way - 1] : trace;
  }

  function showTrace() {
    const body = byId("trace-body");
    body.replaceChildren();
    const trace = chosenTrace();
    drawWay(trace && wayOf(trace));
    if (!trace) {
      body.append(make("p.soft", {}, say("nothing_chosen")));
      return;
    }
    if (!trace.v) {
      body.append(make("p", {}, say("unasked"), ": ", isolated(data.strings[trace.x])));
      return;
    }
    body.append(answer(trace));
    if (trace.b) body.append(ways(trace));
    const way = wayOf(trace);
    entries = entriesOf(way);
    const open = visible();
    if (chosen.step === null || !entries[chosen.step]) chosen.step = open[0] ?? 0;
    if (!entries.length) return;
    body.append(make("h3.hidden", {}, say("steps")), make("div", { id: "stepper", on: { keydown: stepKeys } },
      make("div.controls", {},
        make("button.main", { type: "button", id: "step-previous", on: { click: () => move(-1) } }, "← " + say("previous")),
        make("button.main", { type: "button", id: "step-next", on: { click: () => move(1) } }, say("next") + " →"),
        way.d && make("button", { type: "button", on: { click: () => goTo(entries.findIndex((one) => one.decides)) } }, say("to_deciding")),
        make("label.check", {}, make("input", { type: "checkbox", checked: onlyTelling, on: { change: (event) => { onlyTelling = event.target.checked; showTrace(); body.querySelector(".check input").focus(); } } }), say("only_telling")),
        make("span.place", { id: "step-place" })),
      make("div.stepper", {}, make("div.steps", { id: "step-list" }, legList(way)), make("div.detail", { id: "step-detail" })),
      make("p.hint", {}, say("keys_steps"))));
    showStep(false);
  }

  function answer(trace) {
    const decided = trace.u !== undefined ? [ruleLink(trace.u), " ", code(data.rules[trace.u].s)] : policyOf(trace);
    return make(`div.answer.v-${trace.q ? "REFUSED" : tone(trace.v)}`, {},
      make("p.head", {}, badge(trace.v, ".big"), trace.q && make("span.tag", {}, say("refused")), make("strong", {}, isolated(data.strings[trace.f]), " → ", isolated(data.strings[trace.t])),
        make("span.soft", {}, chosen.finding === null ? whatText(chosen.grid.lines[chosen.line]) : data.findings[chosen.finding].code)),
      make("p", {}, isolated(data.strings[trace.x])),
      pairs(
        [say("code"), code(trace.r), " ", make("span.soft", {}, data.reasons[trace.r] || "")],
        decided && [say(trace.v === "DEPENDS" ? "hinges_on" : "decided_by"), decided],
        trace.b === undefined && onMap(trace).length && [say("path"), isolated(wayText(trace)), " ", make("a", { href: link("map") }, say("on_map"))],
        trace.a !== undefined && [say("advice"), isolated(data.strings[trace.a])],
        trace.m && [say("assumed"), trace.m.map((one) => make("span.list", {}, isolated(data.strings[one])))]));
  }
  function policyOf(trace) {
    if (!trace.d) return null;
    const step = data.steps[data.legs[trace.g[trace.d[0]]].s[trace.d[1]]];
    return step.p ? [isolated(say("policy_place", { table: step.t, chain: step.c })), " ", code(step.v)] : null;
  }

  function ways(trace) {
    const button = (number, children) => make("button", { type: "button", "aria-pressed": String(chosen.way === number), on: { click: () => {
      history.replaceState(null, "", chosenHash(0));
      chosen.way = number; chosen.step = null;
      showTrace();
      byId("trace-body").querySelector(`.ways button[aria-pressed="true"]`).focus();
    } } }, children);
    return make("div", {}, make("h3", {}, say(trace.v === "DEPENDS" ? "ways" : "ways_alike")),
      make("div.ways", {}, trace.b.map((way, number) => button(number + 1, [badge(way.v), isolated(data.strings[way.i])]))));
  }

  /* The way as a list of things to look at: the packet sets out, steps, it arrives or not; a leg after the other. */
  function entriesOf(trace) {
    const found = [];
    trace.g.forEach((number, place) => {
      const leg = data.legs[number];
      let packet = { ...data.strings[leg.p] };
      const idle = new Set(leg.i || []);
      found.push({ kind: "sent", leg, place, packet });
      leg.s.forEach((stepNumber, at) => {
        const step = data.steps[stepNumber];
        const before = packet;
        if (step.x) {
          packet = { ...packet };
          for (const [name, [, after]] of Object.entries(step.x)) packet[name] = after;
        }
        found.push({ kind: "step", leg, place, step, at, packet, before, idle: idle.has(at), decides: Boolean(trace.d && trace.d[0] === place && trace.d[1] === at) });
      });
      found.push({ kind: "end", leg, place, packet });
    });
    return found;
  }
  const visible = () => entries.map((_, number) => number).filter((number) => !(onlyTelling && entries[number].idle && !entries[number].decides));

  function legList(trace) {
    const shown = new Set(visible());
    return trace.g.map((number, place) => {
      const leg = data.legs[number];
      const box = make("section.leg", {}, make("h4", {}, `${place + 1} ${leg.n}`, badge(leg.v)));
      let hook = null;
      let list = null;
      entries.forEach((entry, index) => {
        if (entry.place !== place || !shown.has(index)) return;
        const name = hookOf(entry);
        if (name !== hook || !list) {
          hook = name;
          list = make("ol", {});
          box.append(make("div.hook", {}, make("span", {}, hook), list));
        }
        list.append(make("li", {}, make(`a.deep-${Math.min(entry.step && entry.step.d || 0, 4)}${entry.idle ? ".idle" : ""}${entry.decides ? `.decides.v-${tone(entry.step.v)}` : ""}`,
          { href: chosenHash(index), tabindex: -1, id: `step-${index}` }, entryLine(entry))));
      });
      return box;
    });
  }
  function hookOf(entry) {
    if (entry.kind !== "step") return "";
    const { leg, at, step } = entry;
    if (leg.o && at < leg.o[0]) return say("inside", { name: leg.w[0] });
    if (leg.o && at >= leg.o[1]) return say("inside", { name: leg.w[1] });
    return step.h;
  }
  function endText(entry) {
    const leg = entry.leg;
    if (leg.h && leg.v === "ACCEPT") return say("stays_inside", { name: leg.h });
    return leg.d ? say("arrives", { where: leg.d }) : leg.v === "ACCEPT" ? "" : say("lost");
  }
  const flow = (packet) => {
    const end = (address, port) => (port === undefined ? address : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
    return `${end(packet.src, packet.sport)} → ${end(packet.dst, packet.dport)}`;
  };
  function stepPlace(step) {
    if (step.r !== undefined) return rulePlace(data.rules[step.r]);
    return step.t ? say("policy_place", { table: step.t, chain: step.c }) : say("kernel");
  }
  function verdictOf(step) {
    const [jump, chain] = step.v.split(/:(.*)/s);
    return jump === "JUMP" || jump === "GOTO" ? make("span", {}, "→ ", isolated(chain)) : badge(step.p ? say("policy", { policy: step.v }) : step.v, "") ;
  }
  function entryLine(entry) {
    if (entry.kind === "sent") return [isolated(say("sends", { name: entry.leg.f, flow: flow(entry.packet) }))];
    if (entry.kind === "end") return [isolated(endText(entry))];
    const step = entry.step;
    if (!step.t && step.r === undefined) return [isolated(data.strings[step.n] || step.v), step.v === "DROP" ? [" ", badge("DROP")] : ""];
    const rule = step.r === undefined ? null : data.rules[step.r];
    const where = rule ? `${rule.t} ${rule.c} ${rule.n}` : `${step.t} ${step.c}`;
    const verdict = make(`span.badge.v-${tone(step.v)}`, {}, step.p ? say("policy", { policy: step.v }) : step.v);
    const [jump, chain] = step.v.split(/:(.*)/s);
    return [
      isolated(where), " ",
      jump === "JUMP" || jump === "GOTO" ? make("span", {}, "→ ", isolated(chain)) : verdict,
      step.m ? [" ", make("span.tag", {}, say("maybe"))] : "",
      entry.decides ? [" ", make("strong", {}, `◀ ${say("deciding")}`)] : "",
      step.x ? Object.entries(step.x).map(([name, [before, after]]) => make("span.list.changed", {}, `${name} ${before} → ${after}`)) : "",
      rule && jump !== "JUMP" ? make("span.spec", {}, rule.s) : "",
    ];
  }

  function move(by) {
    const open = visible();
    const at = open.indexOf(chosen.step);
    const to = at >= 0 ? open[at + by] : open.find((number) => number > chosen.step);
    if (to !== undefined) goTo(to);
  }
  function goTo(index) {
    chosen.step = index;
    history.replaceState(null, "", chosenHash());
    showStep(true);
  }
  function stepKeys(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.type === "checkbox") return;
    const open = visible();
    const keys = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), Home: () => goTo(open[0]), End: () => goTo(open[open.length - 1]) };
    if (!(event.key in keys)) return;
    event.preventDefault();
    const inList = event.target.closest("#step-list");
    keys[event.key]();
    if (inList) byId(`step-${chosen.step}`).focus();
  }

  function showStep(announce) {
    const entry = entries[chosen.step];
    const open = visible();
    const number = open.indexOf(chosen.step) + 1;
    document.querySelectorAll("#step-list [aria-current]").forEach((one) => { one.removeAttribute("aria-current"); one.tabIndex = -1; });
    const line = byId(`step-${chosen.step}`);
    if (line) {
      line.setAttribute("aria-current", "step");
      line.tabIndex = 0;
      // beside the list the details are always seen, above it they may not be
      if (announce) (matchMedia("(max-width: 60rem)").matches ? byId("stepper") : line).scrollIntoView({ block: "nearest" });
    }
    byId("step-previous").setAttribute("aria-disabled", String(number <= 1));
    byId("step-next").setAttribute("aria-disabled", String(number >= open.length));
    byId("step-place").textContent = say("step_of", { number: count(number), count: count(open.length) });
    byId("step-detail").replaceChildren(...detail(entry).filter(Boolean));
    byId("step-detail").scrollTop = 0;
    if (announce) byId("trace-live").textContent = say("current", { number: count(number), count: count(open.length), what: spoken(entry) });
  }
  function spoken(entry) {
    if (entry.kind === "sent") return say("sends", { name: entry.leg.f, flow: flow(entry.packet) });
    if (entry.kind === "end") return endText(entry);
    const said = [stepPlace(entry.step), entry.step.v];
    if (entry.step.n !== undefined) said.push(data.strings[entry.step.n]);
    if (entry.decides) said.push(say("deciding"));
    return said.join(", ");
  }

  function packetPairs(entry) {
    const packet = entry.packet;
    const was = entry.before || packet;
    const part = (address, port) => {
      const nodes = [make(was[address] === packet[address] ? "code" : "code.changed", {}, packet[address])];
      if (packet[port] !== undefined) nodes.push(" : ", make(was[port] === packet[port] ? "code" : "code.changed", {}, String(packet[port])));
      return nodes;
    };
    const more = Object.entries(packet).filter(([name]) => !["src", "dst", "sport", "dport", "proto", "tcp_flags"].includes(name)).map(([name, value]) => `${name} ${value}`);
    const [comes, goes] = entry.step && entry.step.i ? entry.step.i : ["", ""];
    return pairs(
      [say("packet_from"), part("src", "sport")],
      [say("packet_to"), part("dst", "dport")],
      [say("packet_proto"), code([packet.proto, packet.tcp_flags, ...more].filter(Boolean).join(" "))],
      comes && [say("packet_in"), code(comes)],
      goes && [say("packet_out"), code(goes)]);
  }

  function detail(entry) {
    if (entry.kind === "sent") return [make("h4", {}, isolated(say("sends_packet", { name: entry.leg.f }))), packetPairs(entry)];
    if (entry.kind === "end") {
      return [make("h4", {}, isolated(endText(entry) || entry.leg.v)), badge(entry.leg.v), packetPairs(entry), passedOver(entry.leg.k, "passed_over_end")];
    }
    const step = entry.step;
    const head = make("h4", {}, step.r !== undefined ? ruleLink(step.r) : isolated(stepPlace(step)), verdictOf(step), entry.decides && make("span.tag", {}, say("deciding")), step.m && make("span.tag", {}, say("maybe")));
    const parts = [head];
    if (step.r !== undefined) {
      const rule = data.rules[step.r];
      parts.push(make("p.ruletext", {}, rule.s), make("p", {}, isolated(rule.w), "."));
      parts.push(pairs([say("why"), isolated(whyText(rule)), rule.e && [" ", make("span.tag", {}, rule.e)]], rule.k && [say("matched"), counters(rule.k)]));
    } else if (step.p) {
      parts.push(make("p", {}, isolated(say("policy_words", { chain: step.c }))));
    }
    if (step.n !== undefined) parts.push(make("p", {}, isolated(data.strings[step.n])));
    if (step.x) parts.push(pairs([say("changes"), Object.entries(step.x).map(([name, [before, after]]) => make("span.list.changed", {}, `${name} ${before} → ${after}`))]));
    parts.push(make("h4", {}, say("packet")), packetPairs(entry), passedOver(step.k, "passed_over"));
    return parts;
  }
  function passedOver(skips, title) {
    if (!skips) return null;
    return make("details", { open: skips.length <= 6 }, make("summary", {}, say(title, { count: count(skips.length) })),
      make("ul.passed", {}, skips.map((number) => {
        const [rule, condition, got] = data.skips[number];
        return make("li", {}, ruleLink(rule), " ", code(data.strings[condition]), " ", isolated(say("but", { got: data.strings[got] })));
      })));
  }

  /* -- rules --------------------------------------------------------------------------------------------- */

  /* Chains are filled when they are opened: a host may have tens of thousands of rules. */
  const OPEN_AT_FIRST = 400;
  const boxes = new Map();

  function showRules() {
    const body = byId("rules-body");
    if (!data.rulesets.length) body.append(make("p", {}, say("no_rulesets")));
    const all = chainOf.size <= OPEN_AT_FIRST;
    body.append(make("div.bar", {},
      make("button", { type: "button", on: { click: () => boxes.forEach((box) => { box.open = true; }) } }, say("open_all")),
      make("button", { type: "button", on: { click: () => boxes.forEach((box) => { box.open = false; }) } }, say("close_all"))));
    data.rulesets.forEach((ruleset) => {
      body.append(make("h3", {}, ruleset.backend ? say("of_backend", { family: ruleset.family, backend: ruleset.backend === "nf_tables" ? "nft" : ruleset.backend }) : say("of_family", { family: ruleset.family })));
      if (ruleset.warnings.length) body.append(make("ul.bullets", {}, ruleset.warnings.map((one) => make("li", {}, isolated(one)))));
      let tableName = null;
      ruleset.chains.forEach((chain) => {
        if (chain.t !== tableName) body.append(make("h4", {}, (tableName = chain.t)));
        const box = chainBox(ruleset, chain);
        boxes.set(chain, box);
        body.append(box);
        if (all && chain.r.length) {
          fill(chain);
          box.open = true;
        }
      });
    });
  }
  function chainBox(ruleset, chain) {
    const about = chain.p ? say("built_in", { policy: chain.p }) : chain.o === "user" ? say("made_by_hand") : say("made_by", { owner: chain.o });
    const box = make(`details.chain${ruleCount(chain) ? "" : ".empty"}`, { id: `chain-${boxes.size}`, tabindex: -1 },
      make("summary", {}, make("h5", {}, isolated(chain.c)),
        make("span.soft", {}, about), make("span.soft", {}, ruleCount(chain) ? say(ruleCount(chain) === 1 ? "one_rule" : "rule_count", { count: count(ruleCount(chain)) }) : say("no_rules")),
        make("span.soft", {}, counters(chain.k))));
    box.addEventListener("toggle", () => box.open && fill(chain));
    return box;
  }
  function fill(chain) {
    const box = boxes.get(chain);
    if (box.dataset.full) return;
    box.dataset.full = "yes";
    const from = ledFrom.get(chain) || [];
    if (from.length) box.append(make("p.soft", {}, say("led_from"), " ", from.slice(0, 12).map((number, place) => [place ? ", " : "", ruleLink(number)]), from.length > 12 ? ", …" : ""));
    else if (!chain.p) box.append(make("p.soft", {}, say("led_from_nowhere")));
    if (chain.z) box.append(make("p.soft", {}, say("rules_left_out", { count: count(chain.z) })));
    if (!chain.r.length) return;
    const counted = chain.r.some((number) => data.rules[number].k);
    box.append(make("table", {},
      make("colgroup", {}, make("col.no"), make("col"), make("col.by"), counted && make("col.count")),
      make("thead", {}, make("tr", {}, [say("number"), say("rule"), say("why"), ...(counted ? [say("matched")] : [])].map((head) => make("th", { scope: "col" }, head)))),
      make("tbody", {}, chain.r.map((number) => {
        const rule = data.rules[number];
        return make("tr", { id: `rule-${number}`, tabindex: -1 },
          make("th.no", { scope: "row" }, make("a", { href: ruleHash(number), "aria-label": rulePlace(rule) }, String(rule.n))),
          make("td", {}, make("span.words", {}, isolated(rule.w)), make("code.spec", {}, rule.s)),
          make("td", {}, isolated(whyText(rule)), rule.e && [" ", make("span.tag", {}, rule.e)]),
          counted && make("td.count", {}, counters(rule.k)));
      }))));
  }

  /* -- search -------------------------------------------------------------------------------------------- */

  const SHOWN = 60;
  let index = null;

  function searchIndex() {
    const found = [];
    const add = (kind, hash, title, about) => found.push({ kind, hash, title, about, text: `${title} ${about}`.toLowerCase() });
    data.about.containers.forEach((one) => add("kind_container", link("container", one.name), one.name, [...one.networks, ...one.addresses, ...one.published].join(", ")));
    data.findings.forEach((one, number) => add("kind_finding", link("finding", number), one.title, one.code));
    for (const ruleset of data.rulesets) {
      for (const chain of ruleset.chains) add("kind_chain", chainHash(ruleset, chain), `${chain.t} ${chain.c}`, [say("of_family", { family: ruleset.family }), chain.o].join(", "));
    }
    for (const number of chainOf.keys()) {
      const rule = data.rules[number];
      add("kind_rule", ruleHash(number), `${rule.t} ${rule.c} ${rule.n}  ${rule.s}`, `${rule.w}. ${whyText(rule)}`);
    }
    return found;
  }
  function search() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const box = byId("found");
    const list = byId("found-list");
    list.replaceChildren();
    box.hidden = !words.length;
    if (!words.length) {
      byId("found-count").textContent = "";
      return;
    }
    index = index || searchIndex();
    const found = index.filter((one) => words.every((word) => one.text.includes(word)));
    byId("found-count").textContent = !found.length ? say("found_none")
      : found.length > SHOWN ? say("found_more", { count: count(found.length), shown: count(SHOWN) }) : say("found", { count: count(found.length) });
    list.append(...found.slice(0, SHOWN).map((one) => make("li", {}, make("a", { href: one.hash, on: { click: closeSearch } },
      make("span.kind", {}, say(one.kind)), make("bdi", {}, marked(one.title, words)), make("span.about", {}, make("bdi", {}, marked(one.about, words)))))));
  }
  function closeSearch() {
    byId("found").hidden = true;
  }
  /* Split a text at the words that were looked for. */
  function marked(text, words) {
    const lower = text.toLowerCase();
    if (lower.length !== text.length) return [text];
    const parts = [];
    let at = 0;
    while (at < text.length) {
      let best = null;
      for (const word of words) {
        const start = lower.indexOf(word, at);
        if (start >= 0 && (best === null || start < best[0])) best = [start, word.length];
      }
      if (best === null) break;
      parts.push(text.slice(at, best[0]), make("mark", {}, text.slice(best[0], best[0] + best[1])));
      at = best[0] + best[1];
    }
    parts.push(text.slice(at));
    return parts;
  }
  function searchKeys(event) {
    const links = [...byId("found-list").querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    if (event.key === "Escape") {
      byId("search").value = "";
      search();
      byId("search").focus();
    } else if (event.key === "ArrowDown" && links.length) {
      event.preventDefault();
      links[Math.min(at + 1, links.length - 1)].focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      (links[at - 1] || byId("search")).focus();
    } else if (event.key === "Enter" && document.activeElement === byId("search") && links.length) {
      links[0].click();
    }
  }

  /* -- following links ----------------------------------------------------------------------------------- */

  function decoded(hash) {
    try {
      return hash.slice(1).split("/").map(decodeURIComponent);
    } catch {
      return [];
    }
  }
  function arrive(element, highlight = true) {
    if (!element) return;
    document.querySelectorAll(".arrived").forEach((one) => one.classList.remove("arrived"));
    if (highlight) element.classList.add("arrived");
    element.scrollIntoView({ block: highlight ? "center" : "start" });
    element.focus({ preventScroll: true });
  }
  function findChain(kind, tableName, name) {
    const ruleset = data.rulesets.find((one) => kindOf(one) === kind);
    return ruleset && ruleset.chains.find((chain) => chain.t === tableName && chain.c === name);
  }
  function follow() {
    const [kind, ...rest] = decoded(location.hash);
    closeSearch();
    if (kind === "rule" || kind === "chain") {
      const chain = findChain(rest[0], rest[1], rest[2]);
      if (!chain) return;
      const box = boxes.get(chain);
      box.open = true;
      fill(chain);
      const number = kind === "rule" ? chain.r[Number(rest[3]) - 1] : undefined;
      arrive(number === undefined ? box : byId(`rule-${number}`), number !== undefined);
    } else if (kind === "container") {
      const number = data.about.containers.findIndex((one) => one.name === rest[0]);
      arrive(byId(`container-${number}`));
    } else if (kind === "finding") {
      arrive(byId(`finding-${Number(rest[0])}`));
    } else if (kind === "trace" && rest.length) {
      followTrace(rest);
    }
  }
  function followTrace(rest) {
    const number = (text) => (/^\d{1,6}$/.test(text || "") ? Number(text) : null);
    if (rest[0] === "finding") {
      const finding = number(rest[1]);
      if (finding === null || !data.findings[finding] || data.findings[finding].shown === undefined) return;
      reach({ grid: null, finding }, number(rest[2]), number(rest[3]));
      return;
    }
    const grid = tableOf(number(rest[0]));
    if (!grid) return;
    const sender = grid.senders.indexOf(rest[1]);
    const line = grid.lines.findIndex((one) => one[0] === rest[2] && lineKey(one) === rest[3]);
    if (sender < 0 || line < 0 || grid.cells[line][sender] === null) return;
    reach({ grid, sender, line, finding: null }, number(rest[4]), number(rest[5]));
  }
  function reach(what, way, step) {
    const same = chosen.finding === what.finding && chosen.grid === what.grid && chosen.sender === what.sender && chosen.line === what.line && chosen.way === (way || 0);
    if (same && step !== null && entries[step]) {
      chosen.step = step;
      showStep(true);
      byId(`step-${step}`)?.focus({ preventScroll: true });
      return;
    }
    choose({ ...what, way: way || 0, step });
    byId("trace").scrollIntoView({ block: "start" });
    const current = byId(`step-${chosen.step}`);
    if (step !== null && current) {
      current.scrollIntoView({ block: "nearest" });
      current.focus({ preventScroll: true });
    }
    else (byId("step-next") || byId("trace-body")).focus({ preventScroll: true });
  }

  /* -- the frame ----------------------------------------------------------------------------------------- */

  function setTheme(name) {
    document.documentElement.dataset.theme = name;
    try { localStorage.setItem("iptsim-theme", name); } catch { /* a file may have no storage */ }
  }
  function theme() {
    try {
      const kept = localStorage.getItem("iptsim-theme");
      if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
    } catch { /* likewise */ }
    byId("theme").addEventListener("click", () => {
      const now = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
      setTheme(now === "dark" ? "light" : "dark");
    });
  }
  function watchParts() {
    const links = new Map([...document.querySelectorAll(".top nav a")].map((one) => [one.getAttribute("href").slice(1), one]));
    const watcher = new IntersectionObserver((seen) => {
      for (const one of seen) {
        if (!one.isIntersecting) continue;
        links.forEach((other) => other.removeAttribute("aria-current"));
        links.get(one.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-30% 0px -65% 0px" });
    document.querySelectorAll("main > section").forEach((one) => watcher.observe(one));
  }
  function beforePrint() {
    boxes.forEach((box, chain) => { fill(chain); box.open = true; });
  }

  theme();
  showHost();
  showFindings();
  showReach();
  showForm();
  showTrace();
  showRules();
  byId("foot").append(make("p", {}, isolated(say("foot", { version: data.version, source: data.source }))));
  byId("search").addEventListener("input", search);
  document.querySelector(".top").addEventListener("keydown", (event) => event.target.closest("#search, #found") && searchKeys(event));
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", beforePrint);
  follow();
  watchParts();
})();
