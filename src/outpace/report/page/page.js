// The page itself: pointing, zooming, moving. Text goes in as text, never as markup.

const plots = [];

const tip = document.getElementById("tip");

function itemsAt(t, row, time) {
  const found = [];
  for (const lane of row.lanes) {
    const { rows, latest } = t.laneItems[lane];
    for (let k = firstReaching(latest, time); k < rows.length; k++) {
      const n = rows[k];
      if (t.items.started[n] > time) break;
      if (t.items.ended[n] >= time) found.push(n);
    }
  }
  return found;
}

function statesAt(t, lane, time) {
  const { rows, latest } = t.laneIntervals[lane], source = t.intervals, found = [];
  for (let k = firstReaching(latest, time); k < rows.length; k++) {
    const n = rows[k];
    if (source.began[n] > time) break;
    if (source.ended[n] < time) continue;
    const lasted = source.ended[n] - source.began[n], words = states[source.state[n]].words;
    found.push(source.share[n] < 1
      ? `${words}: ${seconds(lasted * source.share[n])} of ${seconds(lasted)} (amount only)`
      : `${words}: ${seconds(lasted)}${source.sampled[n] ? " (sampled)" : ""}`);
  }
  return found.length ? found : ["idle"];
}

function describe(t, row, time) {
  const items = itemsAt(t, row, time), lines = [];
  lines.push(element("div", "where", `${t.model}, ${row.name}, at ${seconds(time)}`));
  for (const n of items.slice(0, 3)) {
    const { label, index, count, started, ended, cpu_s, shared, attempt, kind } = t.items;
    lines.push(element("div", "item", label[n] || `item ${index[n]}`));
    const many = count[n] > 1 ? `${count[n]} items, ` : "";
    const again = attempt[n] > 1 ? `, attempt ${attempt[n]}` : "";
    const how = shared[n] ? " (its share of a group)" : "";
    lines.push(element("div", "", `${many}${t.kinds[kind[n]]}${again}: from ${seconds(started[n])}, `
      + `took ${seconds(ended[n] - started[n])}, CPU ${seconds(cpu_s[n])}${how}`));
    for (const words of statesAt(t, t.items.lane[n], time)) lines.push(element("div", "state", words));
  }
  if (items.length > 3) lines.push(element("div", "", `and ${items.length - 3} more items`));
  if (!items.length) {
    for (const words of statesAt(t, row.lanes[0], time)) lines.push(element("div", "state", words));
  }
  return { items, lines };
}

function hover(u, t) {
  const mark = element("div", "mark");
  u.over.append(mark);
  u.over.addEventListener("pointermove", (event) => {
    const box = u.over.getBoundingClientRect();
    const row = t.rows[Math.floor((event.clientY - box.top) / (ROW + GAP))];
    const time = u.posToVal(event.clientX - box.left, "x");
    if (!row || time < 0 || time > t.span_s) { leave(); return; }
    const { items, lines } = describe(t, row, time);
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const size = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - size.width - 8))}px`;
    const below = event.clientY + 18;
    tip.style.top = `${below + size.height > innerHeight ? event.clientY - size.height - 10 : below}px`;
    mark.hidden = row.lanes.length > 1 || !items.length;
    if (mark.hidden) return;
    const [n] = items, left = Math.max(0, u.valToPos(t.items.started[n], "x"));
    const right = Math.min(box.width, u.valToPos(t.items.ended[n], "x"));
    Object.assign(mark.style, {
      left: `${left}px`, width: `${Math.max(1, right - left)}px`,
      top: `${t.rows.indexOf(row) * (ROW + GAP)}px`, height: `${ROW}px`,
    });
  });
  const leave = () => { tip.hidden = true; mark.hidden = true; };
  leave();
  u.over.addEventListener("pointerleave", leave);
}

let asked = false;

function show(began, ended) {
  const least = Math.max(full[1] * 1e-6, 2e-7), width = Math.min(Math.max(ended - began, least), full[1]);
  began = Math.min(Math.max(began, 0), full[1] - width);
  range = [began, began + width];
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; redraw(); });
}

function redraw() {
  for (const { lanes, strip, t, near } of plots) {
    if (!near()) continue;
    const [min, max] = rangeOf(t);
    lanes.setScale("x", { min, max });
    strip.setData(stripData(t, strip.width), false);
    strip.setScale("x", { min, max });
  }
  const zoom = full[1] / (range[1] - range[0]);
  document.getElementById("do-own").setAttribute("aria-pressed", own);
  document.getElementById("seen").textContent = own ? `each on its own axis, ×${+zoom.toPrecision(3)}` : zoom > 1.0001
    ? `${seconds(range[0])} to ${seconds(range[1])}, ×${+zoom.toPrecision(3)}` : `all ${seconds(full[1])}`;
}

function zoomAbout(time, factor) {
  show(time - (time - range[0]) * factor, time + (range[1] - time) * factor);
}

function moves(u, t) {
  const { over } = u;
  over.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY), width = range[1] - range[0];
    const out = !sideways && event.deltaY > 0;
    if (out && width >= full[1] * 0.9999) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    if (sideways) { show(range[0] + (event.deltaX / over.clientWidth) * width, range[1] + (event.deltaX / over.clientWidth) * width); return; }
    const left = over.getBoundingClientRect().left;
    zoomAbout(u.posToVal(event.clientX - left, "x") / stretch(t), Math.exp(Math.max(-240, Math.min(240, event.deltaY)) / 400));
  }, { passive: false });
  over.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const from = event.clientX, [began, ended] = range;
    over.setPointerCapture(event.pointerId);
    const drag = (moved) => {
      const shift = ((from - moved.clientX) / over.clientWidth) * (ended - began);
      show(began + shift, ended + shift);
    };
    over.addEventListener("pointermove", drag);
    over.addEventListener("pointerup", () => over.removeEventListener("pointermove", drag), { once: true });
  });
  over.addEventListener("dblclick", () => show(...full));
}

const commands = {
  in: () => zoomAbout((range[0] + range[1]) / 2, 0.5),
  out: () => zoomAbout((range[0] + range[1]) / 2, 2),
  all: () => show(...full),
  own: () => { own = !own; show(...full); },
  left: () => show(range[0] - (range[1] - range[0]) / 5, range[1] - (range[1] - range[0]) / 5),
  right: () => show(range[0] + (range[1] - range[0]) / 5, range[1] + (range[1] - range[0]) / 5),
};
const keys = { "+": "in", "=": "in", "-": "out", 0: "all", ArrowLeft: "left", ArrowRight: "right" };

function build() {
  readColours();
  const having = timelines.filter((t) => t.durations);
  const least = Math.min(...having.map((t) => t.durations.edges[0]));
  const most = Math.max(...having.map((t) => t.durations.edges[t.durations.edges.length - 1]));
  const histograms = [];
  timelines.forEach((t, n) => {
    t.laneIntervals = byLane(t.intervals, t.intervals.began, t.lanes.length);
    t.laneItems = byLane(t.items, t.items.started, t.lanes.length);
    const home = document.getElementById(`lanes-${n}`);
    let visible = true;
    const entry = { lanes: lanesPlot(t, home), strip: stripsPlot(t, home), t, home, near: () => visible };
    plots.push(entry);
    new IntersectionObserver(([seen]) => {
      const came = seen.isIntersecting && !visible;
      visible = seen.isIntersecting;
      if (came) redraw();
    }, { rootMargin: "200px" }).observe(home);
    document.getElementById(`fit-${n}`).addEventListener("click", () => { own = false; show(0, t.span_s); });
    const place = document.getElementById(`spread-${n}`);
    if (t.durations) histograms.push([distribution(t, place, least, most), place]);
  });
  for (const [name, command] of Object.entries(commands)) {
    document.getElementById(`do-${name}`).addEventListener("click", command);
  }
  addEventListener("keydown", (event) => {
    const name = keys[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    commands[name]();
  });
  const again = () => {
    readColours();
    for (const { lanes, strip } of plots) { lanes.redraw(false); strip.redraw(false); }
    for (const [plot] of histograms) plot.redraw(false);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("resize", () => {
    for (const { lanes, strip, home } of plots) {
      lanes.setSize({ width: home.clientWidth, height: lanes.height });
      strip.setSize({ width: home.clientWidth, height: strip.height });
    }
    for (const [plot, place] of histograms) plot.setSize({ width: place.clientWidth, height: plot.height });
  });
  redraw();
}

if (timelines.length) build();
window.outpace = { amounts, strips, timelines, range: () => range, show };
document.documentElement.dataset.ready = "yes";
