
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
  const SIGNS = { ACCEPT: "✓", DROP: "✕", REJECT: "⊘", DEPENDS: "?", NAT: "⇄" };
  const badge = (verdict, extra = "", text = verdict) => {
    const sign = SIGNS[tone(verdict)];
    return make(`span.badge.v-${tone(verdict)}${extra}`, {}, sign && make("span", { "aria-hidden": "true" }, sign, " "), text);
  };
  const pairs = (...rows) => make("dl.pairs", {}, rows.filter((row) => row && row[1] !== "" && row[1] !== null).map(([term, ...about]) => [make("dt", {}, term), make("dd", {}, ...about)]));

  function tone(verdict) {
    if (["ACCEPT", "DROP", "REJECT", "DEPENDS"].includes(verdict)) return verdict;
    return ["DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "DNPT", "SNPT"].includes(verdict) ? "NAT" : "OTHER";
  }

  /* -- links into the page ------------------------------------------------------------------------------- */

  const link = (...parts) => "#" + parts.map((part) => encodeURIComponent(part)).join("/");

  const chainOf = new Map();   // number of a rule -> [ruleset, chain]
  for (const ruleset of data.rulesets) {
    for (const chain of ruleset.chains) {
      for (const number of chain.r) chainOf.set(number, [ruleset, chain]);
    }
  }
  /* Rules that are not shown have no number: their chain is all that is known. */
  const rulePlace = (rule) => (rule.n ? say("rule_place", { table: rule.t, chain: rule.c, number: rule.n }) : `${rule.t} ${rule.c}`);
  const shortPlace = (rule) => [rule.t, rule.c, rule.n || []].flat().join(" ");
  function ruleHash(number) {
    const rule = data.rules[number], kind = chainOf.get(number)[0].kind;
    return rule.n ? link("rule", kind, rule.t, rule.c, rule.n) : link("chain", kind, rule.t, rule.c);
  }
  const chainHash = (ruleset, chain) => link("chain", ruleset.kind, chain.t, chain.c);
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
    const found = data.ways[trace.w].map(([kind, end, changes, ...names]) => ({ kind, end,
      changes: changes.map((pair) => pair.map((number) => data.strings[number])).filter(([name]) => places.has(name)),
      names: names.map((number) => data.strings[number]).filter((name) => places.has(name)) }))
      .filter((way) => way.names.length);
    // docker-proxy goes on where the packet arrived
    found.forEach((way, number) => { way.goesOn = way.end === "arrived" && number + 1 < found.length && found[number + 1].names[0] === way.names[way.names.length - 1]; });
    return found;
  }
  /* How a way ends: in a text, and as a sign in the corner of its last box. */
  const ENDS = { arrived: "✓", stop: "✕", open: "?" };
  const CORNERS = { arrived: "M-4 0L-1 3.5L4-3.5", stop: "M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5", open: "M-2.5-2Q0-7 2.5-2Q2 0 0 1M0 3V5" };
  const wayText = (trace) => onMap(trace).map((way) => `${way.names.map(labelOf).join(" → ")}${way.goesOn ? "" : ` ${ENDS[way.end]}`}`).join("; ");

  function draw(tag, attributes, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  /* What address translation changes, on the lower edge of the hook where it does; further changes are above it. */
  function showChange(place, change) {
    const { x, y, height } = place.querySelector(".box").getBBox();
    const number = place.querySelectorAll(".drawn-change").length;
    const text = draw("text", { class: "change", x: x + 16, y: y + height + 8 - 17 * number }, `⇄ ${change}`);
    const label = draw("g", { class: "drawn-end drawn-change" }, text);
    place.append(label);
    const size = text.getBBox();
    label.prepend(draw("rect", { class: "change-back", x: size.x - 5, y: size.y - 1, width: size.width + 10, height: size.height + 2, rx: 4 }));
  }
  function corner({ x, y, width }, end) {
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
      [...way.changes].reverse().forEach(([name, change]) => {
        if (way.names.includes(name)) showChange(places.get(name), change);
      });
      if (way.goesOn) continue;
      const last = places.get(way.names[way.names.length - 1]);
      mark(last, way.end);
      last.append(corner(last.querySelector(".box").getBBox(), way.end));
    }
    byId("map-way").replaceChildren(...(!trace ? [say("map_hint")] : [
      badge(trace.v), " ", isolated(`${data.strings[trace.f]} → ${data.strings[trace.t]}`), " ",
      trace.w === undefined ? say("map_other") : make("a", { href: chosenHash() }, say("see_trace"))]));
    // what is marked last is drawn last: labels and signs are above the boxes
    document.querySelectorAll("#map .drawn-end").forEach((one) => one.parentNode.parentNode.append(one.parentNode));
  }

  /* -- the map: zoom; moving it is scrolling -------------------------------------------------------------- */

  const frame = document.querySelector("#map .picture");
  const drawing = frame.querySelector("svg");
  const natural = drawing.viewBox.baseVal.width;
  const CLOSEST = 4;
  let zoomed = 0;   // 0: fits the frame
  const fitting = () => Math.min(1, frame.clientWidth / natural);
  /* Zoom so that a point of the frame keeps its place. */
  function zoomTo(scale, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
    const before = drawing.getBoundingClientRect().width / natural;
    const to = Math.min(Math.max(scale, fitting()), CLOSEST);
    zoomed = to > fitting() ? to : 0;
    drawing.style.width = `${to * natural}px`;
    drawing.style.maxWidth = "none";
    frame.scrollLeft = (frame.scrollLeft + x) * to / before - x;
    frame.scrollTop = (frame.scrollTop + y) * to / before - y;
    byId("zoom-out").setAttribute("aria-disabled", String(!zoomed));
    byId("zoom-in").setAttribute("aria-disabled", String(to >= CLOSEST));
  }
  const scaleNow = () => drawing.getBoundingClientRect().width / natural;
  const inFrame = (x, y) => { const box = frame.getBoundingClientRect(); return [x - box.left, y - box.top]; };
  function watchMap() {
    byId("zoom-in").addEventListener("click", () => zoomTo(scaleNow() * 1.4));
    byId("zoom-out").addEventListener("click", () => zoomTo(scaleNow() / 1.4));
    byId("zoom-fit").addEventListener("click", () => zoomTo(0));
    frame.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const to = { "+": scaleNow() * 1.4, "=": scaleNow() * 1.4, "-": scaleNow() / 1.4, 0: 0 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      zoomTo(to);
    });
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoomTo(scaleNow() * Math.exp(-event.deltaY / 300), ...inFrame(event.clientX, event.clientY));
    }, { passive: false });
    // two fingers: both the distance and the middle count
    let pinch = null;
    const fingers = (event) => {
      const [one, other] = event.touches;
      return { apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY), middle: inFrame((one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2) };
    };
    frame.addEventListener("touchstart", (event) => { pinch = event.touches.length === 2 ? { ...fingers(event), scale: scaleNow() } : null; }, { passive: true });
    frame.addEventListener("touchmove", (event) => {
      if (!pinch || event.touches.length !== 2) return;
      event.preventDefault();
      const now = fingers(event);
      frame.scrollLeft += pinch.middle[0] - now.middle[0];
      frame.scrollTop += pinch.middle[1] - now.middle[1];
      pinch.middle = now.middle;
      zoomTo(pinch.scale * now.apart / pinch.apart, ...now.middle);
    }, { passive: false });
    // a mouse has no finger to scroll with
    frame.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button) return;
      const from = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
      const drag = (moved) => { frame.scrollLeft = from.x - moved.clientX; frame.scrollTop = from.y - moved.clientY; };
      addEventListener("pointermove", drag);
      addEventListener("pointerup", () => removeEventListener("pointermove", drag), { once: true });
    });
    addEventListener("resize", () => zoomTo(zoomed));
    zoomTo(matchMedia("(max-width: 40rem)").matches ? 0.75 : 0, 0, 0);
  }

  /* -- reachability: its entries lead to their packet paths ----------------------------------------------- */

  /* A class of packets: sender and receiver, its packets, the outcome, the trace of one of them; all as numbers. The
     trace may be that of another class, between containers that are treated alike: then its number is the last one. */
  const FROM = 0, TO = 1, PACKETS = 2, OUTCOME = 3, TRACE = 4, LIKE = 5;
  const endsText = (grid, one) => `${grid.names[one[FROM]]} → ${grid.names[one[TO]]}`;
  function alikeText() {
    const one = chosen.grid && chosen.finding === null ? chosen.grid.classes[chosen.number] : [];
    if (one[LIKE] === undefined) return null;
    return say("alike", { own: endsText(chosen.grid, one), shown: endsText(chosen.grid, chosen.grid.classes[one[LIKE]]) });
  }
  let familyShown = data.tables.length ? data.tables[0].family : 4;
  const tableOf = (family) => data.tables.find((one) => one.family === family);
  const between = (grid, from, to) => grid.classes.map((_, number) => number).filter((number) => grid.classes[number][FROM] === from && grid.classes[number][TO] === to);
  function traceHash(grid, number, ...more) {
    const [from, to] = grid.classes[number];
    return link("trace", grid.family, grid.names[from], grid.names[to], between(grid, from, to).indexOf(number) + 1, ...more);
  }
  const packetsText = (one) => data.strings[one[PACKETS]];

  function watchGrids() {
    document.querySelectorAll("#reach .grid").forEach((box) => {
      const grid = tableOf(Number(box.dataset.family));
      box.querySelectorAll("a").forEach((one) => {
        one.href = traceHash(grid, Number(one.dataset.c));
      });
      box.tabIndex = -1;
      roam(box.querySelector("table"));
    });
    const reasons = document.querySelectorAll("#reach .codes li");
    reasons.forEach((one) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, one.firstChild.textContent);
      one.firstChild.replaceWith(button);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        reasons.forEach((other) => other.firstChild.setAttribute("aria-pressed", String(on && other === one)));
        document.querySelectorAll("#reach .grid").forEach((box) => {
          box.classList.toggle("only", on);
          const grid = tableOf(Number(box.dataset.family));
          const reasonOf = (entry) => data.traces[grid.classes[entry.dataset.c][TRACE]].r;
          box.querySelectorAll("a").forEach((entry) => entry.classList.toggle("wanted", on && reasonOf(entry) === one.dataset.r));
        });
      });
    });
  }

  /* One entry takes part in the order of Tab; arrow keys lead from one to the next. */
  function roam(grid) {
    const rows = [...grid.tBodies[0].rows].map((row) => [...row.cells].slice(1).map((cell) => [...cell.querySelectorAll("a")]));
    const all = rows.flat(2);
    all.forEach((one, number) => { one.tabIndex = number ? -1 : 0; });
    const near = (from, dy, dx) => {
      let y = rows.findIndex((row) => row.flat().includes(from));
      let x = rows[y].findIndex((cell) => cell.includes(from));
      const next = dy && rows[y][x][rows[y][x].indexOf(from) + dy];
      if (next) return next;
      do { y += dy; x += dx; } while (rows[y] && rows[y][x] && !rows[y][x].length);
      const cell = rows[y] && rows[y][x] || [];
      return dy < 0 ? cell[cell.length - 1] : cell[0];
    };
    grid.addEventListener("keydown", (event) => {
      const from = event.target.closest("a");
      const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
      if (!from || event.altKey || event.ctrlKey || event.metaKey) return;
      const row = rows.find((one) => one.flat().includes(from)).flat();
      let to = null;
      if (event.key in ways) to = near(from, ...ways[event.key]);
      else if (event.key === "Home") to = row[0];
      else if (event.key === "End") to = row[row.length - 1];
      else return;
      event.preventDefault();
      if (to) to.focus();
    });
    grid.addEventListener("focusin", (event) => {
      const to = event.target.closest("a");
      if (to) all.forEach((one) => { one.tabIndex = one === to ? 0 : -1; });
    });
  }

  function familyChoice(id, chosen, change) {
    return make("div", {}, make("label", { for: id }, say("family")),
      make("select", { id, on: { change: (event) => { change(Number(event.target.value)); byId(id).focus(); } } },
        data.tables.map((one) => make("option", { value: one.family, selected: one.family === chosen }, say("of_family", { family: one.family })))));
  }

  function markChosen() {
    document.querySelectorAll("#reach .chosen").forEach((cell) => cell.classList.remove("chosen"));
    if (!chosen.grid) return;
    document.querySelectorAll(`#reach .grid[data-family="${chosen.grid.family}"] a[data-c="${chosen.number}"]`)
      .forEach((one) => one.classList.add("chosen"));
  }

  /* -- the trace ----------------------------------------------------------------------------------------- */

  /* What is chosen: a class of packets, or the packet of a finding; a way of it; a step of that. */
  const chosen = { grid: null, number: 0, finding: null, way: 0, step: 0 };
  let onlyTelling = false;
  let entries = [];

  function chosenTrace() {
    if (chosen.finding !== null) return data.traces[data.findings[chosen.finding].shown];
    return chosen.grid ? data.traces[chosen.grid.classes[chosen.number][TRACE]] : null;
  }
  function chosenHash(step = chosen.step) {
    const more = [chosen.way, step];
    if (chosen.finding !== null) return link("trace", "finding", chosen.finding, ...more);
    return traceHash(chosen.grid, chosen.number, ...more);
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
    const go = (from, to, packets) => {
      const others = grid.classes.map((_, number) => number).filter((number) => grid.classes[number][FROM] === from);
      const there = others.filter((number) => grid.classes[number][TO] === to);
      const wanted = there.find((number) => grid.classes[number][PACKETS] === packets) ?? there[0] ?? others[0];
      history.replaceState(null, "", traceHash(grid, wanted));
      choose({ grid, number: wanted, finding: null, way: 0, step: null });
    };
    const none = chosen.finding !== null || !chosen.grid;
    const [from, to, packets] = none ? [] : grid.classes[chosen.number];
    const ends = (place, chosenOnes) => [...new Set(chosenOnes.map((one) => one[place]))].sort((one, other) => one - other).map((one) => [one, grid.names[one]]);
    const empty = none ? [["", "–"]] : [];
    box.append(make("div.form", {},
      data.tables.length > 1 && familyChoice("trace-family", grid.family, (family) => {
        familyShown = family;
        choose({ grid: null, finding: null });
      }),
      select("trace-from", say("from"), [...empty, ...ends(FROM, grid.classes)], from ?? "",
        (value) => value !== "" && go(Number(value), to, packets)),
      select("trace-to", say("to"), none ? empty : ends(TO, grid.classes.filter((one) => one[FROM] === from)), to ?? "",
        (value) => go(from, Number(value), packets)),
      select("trace-packets", say("packets_of"), none ? empty : between(grid, from, to).map((number) => {
        const one = grid.classes[number];
        return [number, `${data.strings[one[OUTCOME]]}: ${packetsText(one)}`];
      }), none ? "" : chosen.number, (value) => {
        history.replaceState(null, "", traceHash(grid, Number(value)));
        choose({ grid, number: Number(value), finding: null, way: 0, step: null });
      })));
    if (none) box.querySelectorAll("#trace-to, #trace-packets").forEach((one) => { one.disabled = true; });
  }

  function choose(what) {
    Object.assign(chosen, what);
    if (chosen.grid) familyShown = chosen.grid.family;
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
        make("span.soft", {}, chosen.finding === null ? packetsText(chosen.grid.classes[chosen.number]) : data.findings[chosen.finding].code)),
      alikeText() && make("p.soft", {}, isolated(alikeText())),
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
    return make("div", {}, make("h3", {}, say(trace.v !== "DEPENDS" ? "ways_alike" : trace.o ? "ways_in_order" : "ways")),
      make("div.ways", {}, trace.b.map((way, number) => button(number + 1, [badge(way.v), isolated(data.strings[way.i])]))),
      wayOf(trace).z > 1 && make("p.hint", {}, say("one_of", { count: String(wayOf(trace).z) })));
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
    return jump === "JUMP" || jump === "GOTO" ? make("span", {}, "→ ", isolated(chain)) : badge(step.v, "", step.p ? say("policy", { policy: step.v }) : step.v);
  }
  function entryLine(entry) {
    if (entry.kind === "sent") return [isolated(say("sends", { name: entry.leg.f, flow: flow(entry.packet) }))];
    if (entry.kind === "end") return [isolated(endText(entry))];
    const step = entry.step;
    if (!step.t && step.r === undefined) return [isolated(data.strings[step.n] || step.v), step.v === "DROP" ? [" ", badge("DROP")] : ""];
    const rule = step.r === undefined ? null : data.rules[step.r];
    const where = rule ? shortPlace(rule) : `${step.t} ${step.c}`;
    const verdict = badge(step.v, "", step.p ? say("policy", { policy: step.v }) : step.v);
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

  const boxes = document.querySelectorAll("#rules-body details.chain");
  const openAll = (open) => boxes.forEach((box) => { box.open = open; });

  /* -- search -------------------------------------------------------------------------------------------- */

  const SHOWN = 60;
  let index = null;

  function searchIndex() {
    const found = [];
    const add = (kind, hash, title, about) => found.push({ kind, hash, title, about, text: `${title} ${about}`.toLowerCase() });
    data.containers.forEach(([name, about]) => add("kind_container", link("container", name), name, about));
    data.findings.forEach((one, number) => add("kind_finding", link("finding", number), one.title, one.code));
    for (const ruleset of data.rulesets) {
      for (const chain of ruleset.chains) add("kind_chain", chainHash(ruleset, chain), `${chain.t} ${chain.c}`, [say("of_family", { family: ruleset.family }), chain.o].join(", "));
    }
    for (const number of chainOf.keys()) {
      const rule = data.rules[number];
      add("kind_rule", ruleHash(number), `${shortPlace(rule)}  ${rule.s}`, `${rule.w}. ${whyText(rule)}`);
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
  const SECTIONS = ["open", "findings", "policies", "reach", "trace", "map", "host", "rules"];
  function follow() {
    const [kind, ...rest] = decoded(location.hash);
    closeSearch();
    if (kind === "trace" && rest.length) {
      followTrace(rest);
      return;
    }
    const place = rest.length || SECTIONS.includes(kind) ? byId(rest.length ? link(kind, ...rest).slice(1) : kind) : null;
    if (!place) return;
    for (let one = place.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
    arrive(place, !place.matches("summary, section"));
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
    const found = between(grid, grid.names.indexOf(rest[1]), grid.names.indexOf(rest[2]))[(number(rest[3]) ?? 1) - 1];
    if (found === undefined) return;
    reach({ grid, number: found, finding: null }, number(rest[4]), number(rest[5]));
  }
  function reach(what, way, step) {
    const same = chosen.finding === what.finding && chosen.grid === what.grid && chosen.number === what.number && chosen.way === (way || 0);
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
  const beforePrint = () => document.querySelectorAll("main details").forEach((one) => { one.open = true; });

  document.documentElement.classList.add("scripts");
  theme();
  watchGrids();
  watchMap();
  showForm();
  showTrace();
  byId("open-all").addEventListener("click", () => openAll(true));
  byId("close-all").addEventListener("click", () => openAll(false));
  byId("search").addEventListener("input", search);
  document.querySelector(".top").addEventListener("keydown", (event) => event.target.closest("#search, #found") && searchKeys(event));
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", beforePrint);
  follow();
  watchParts();
})();
