// Lanes, strips and distributions, drawn with uPlot.

const GUTTER = 122, RIGHT = 72, ROW = 15, GAP = 2; // CSS pixels

function seconds(value) {
  if (value >= 99.95) return `${value.toFixed(0)} s`;
  for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]) {
    if (value >= size * 0.9995) return `${+(value / size).toPrecision(3)} ${unit}`;
  }
  return value <= 0 ? "0" : `${(value / 1e-9).toFixed(0)} ns`;
}

function tick(value, increment) {
  if (value === 0) return "0";
  const [unit, size] = increment >= 0.1 ? ["s", 1] : increment >= 1e-4 ? ["ms", 1e-3] : ["µs", 1e-6];
  return `${+(value / size).toPrecision(6)} ${unit}`;
}

function element(tag, cls, words) {
  const made = document.createElement(tag);
  if (cls) made.className = cls;
  if (words !== undefined) made.textContent = words;
  return made;
}

let colours = {};
const asNumber = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(name).trim();
  const packed = (colour) => {
    asNumber.fillStyle = colour;
    asNumber.fillRect(0, 0, 1, 1);
    return new Uint32Array(asNumber.getImageData(0, 0, 1, 1).data.buffer)[0];
  };
  colours = {
    text: named("--text"), muted: named("--muted"), line: named("--line"), page: named("--page"),
    busy: named("--busy"), flight: named("--flight"), panel: packed(named("--panel")),
    states: states.map((_, n) => packed(named(`--s${n}`))),
  };
}

// ------------------------------------------------------------------------------ lanes

// Pixels are written one by one: however many intervals there are, a picture has as many pixels.
function drawLanes(u, t) {
  const { left, top, width, height } = u.bbox;
  const columns = Math.round(width), ratio = devicePixelRatio;
  const rowHeight = Math.round(ROW * ratio), gap = Math.round(GAP * ratio);
  const image = new ImageData(columns, Math.round(height));
  const pixels = new Uint32Array(image.data.buffer);
  const [began, ended] = [u.scales.x.min, u.scales.x.max];
  const end = Math.min(columns, Math.round(((t.span_s - began) / (ended - began)) * columns));
  amounts(t, columns, began, ended).forEach((lines, n) => {
    const order = [...lines.keys()].sort((a, b) => states[b].on_cpu - states[a].on_cpu || a - b);
    const base = n * (rowHeight + gap) + rowHeight;
    for (let x = 0; x < columns; x++) {
      let upto = 0, filled = 0;
      for (const state of order) {
        upto += lines.get(state)[x] * rowHeight;
        for (const high = Math.min(rowHeight, Math.round(upto)); filled < high; filled++) {
          pixels[(base - 1 - filled) * columns + x] = colours.states[state];
        }
      }
      for (; x < end && filled < rowHeight; filled++) {
        pixels[(base - 1 - filled) * columns + x] = colours.panel;
      }
    }
  });
  u.ctx.save(); // uPlot remembers what it has set
  u.ctx.putImageData(image, Math.round(left), Math.round(top));
  drawEnds(u, t, rowHeight, gap);
  u.ctx.restore();
}

// Where one item ends and the next begins, and which ones failed, as far as there is room to see it.
function drawEnds(u, t, rowHeight, gap) {
  const { ctx } = u, [began, ended] = [u.scales.x.min, u.scales.x.max];
  const right = u.bbox.left + u.bbox.width;
  t.rows.forEach((row, r) => {
    if (row.lanes.length > 1) return;
    const { rows, latest } = t.laneItems[row.lanes[0]];
    const y = Math.round(u.bbox.top) + r * (rowHeight + gap);
    let before = -Infinity;
    for (let k = firstReaching(latest, began); k < rows.length; k++) {
      const n = rows[k];
      if (t.items.started[n] > ended) break;
      const x = u.valToPos(t.items.started[n], "x", true), x2 = u.valToPos(t.items.ended[n], "x", true);
      if (x - before >= 5 * devicePixelRatio && x > u.bbox.left && before > -Infinity) {
        ctx.fillStyle = colours.page;
        ctx.fillRect(Math.round(x), y, Math.max(1, Math.round(devicePixelRatio)), rowHeight);
      }
      if (t.items.kind[n] !== 0 && x2 <= right) {
        ctx.fillStyle = colours.text;
        ctx.fillRect(Math.round(x2 - 3 * devicePixelRatio), y, 3 * devicePixelRatio, rowHeight);
      }
      before = x;
    }
  });
}

function lanesPlot(t, home) {
  const height = t.rows.length * (ROW + GAP);
  const centres = t.rows.map((_, n) => n * (ROW + GAP) + ROW / 2);
  const u = new uPlot({
    width: home.clientWidth, height, padding: [0, RIGHT, 0, 0], legend: { show: false },
    scales: { x: { time: false, range: () => rangeOf(t) }, y: { range: [0, height], dir: -1 } },
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false, sync: { key: "race" } },
    axes: [
      { show: false },
      {
        size: GUTTER, gap: 6, font: "11px system-ui, sans-serif", stroke: () => colours.muted,
        splits: () => centres, values: () => t.rows.map((row) => row.name),
        grid: { show: false }, ticks: { show: false },
      },
    ],
    series: [{}, { show: false }],
    hooks: { draw: [(plot) => drawLanes(plot, t)] },
  }, [full, [0, height]], home);
  hover(u, t);
  moves(u, t);
  return u;
}

function stripsPlot(t, home) {
  const stepped = uPlot.paths.stepped({ align: 1 });
  const axis = {
    font: "10px system-ui, sans-serif", stroke: () => colours.muted, grid: { show: false },
    ticks: { stroke: () => colours.line, size: 3, width: 1 }, gap: 3,
  };
  const u = new uPlot({
    width: home.clientWidth, height: 62, padding: [6, 0, 0, 0], legend: { show: false },
    scales: {
      x: { time: false, range: () => rangeOf(t) },
      y: { range: [0, Math.max(1, t.cores) * 1.05] },
      flight: { range: [0, Math.max(1, t.in_flight) * 1.05] },
    },
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false, sync: { key: "race" } },
    axes: [
      {
        ...axis, size: 22, space: 90,
        values: (_, splits, __, ___, increment) => splits.map((v) => tick(v, increment)),
      },
      { ...axis, size: GUTTER, splits: () => [0, t.cores],
        values: () => ["0", `${t.cores} cores busy`], stroke: () => colours.busy },
      { ...axis, side: 1, scale: "flight", size: RIGHT, splits: () => [0, t.in_flight],
        values: () => ["0", `${t.in_flight} in flight`], stroke: () => colours.flight },
    ],
    series: [
      {},
      { scale: "y", stroke: () => colours.busy, fill: () => `${colours.busy}66`, width: 1,
        paths: stepped, points: { show: false } },
      { scale: "flight", stroke: () => colours.flight, width: 1.5, paths: stepped,
        points: { show: false } },
    ],
  }, stripData(t, home.clientWidth), home);
  moves(u, t);
  return u;
}

function stripData(t, width) {
  const columns = Math.max(50, Math.round((width - GUTTER - RIGHT) / 2));
  const [began, ended] = rangeOf(t);
  const { busy, flight } = strips(t, columns, began, ended);
  const step = (ended - began) / columns;
  const times = Array.from({ length: columns + 1 }, (_, n) => began + n * step);
  const past = times.findIndex((time) => time >= t.span_s); // after its end there is nothing to draw
  const closed = (line) => times.map((_, n) => (past >= 0 && n > past ? null : line[Math.min(n, columns - 1)]));
  return [times, closed(busy), closed(flight)];
}

// Round times between two: powers of ten, and as many between them as do not crowd.
function roundTimes(least, most) {
  const found = [], decades = Math.log10(most / least);
  const factors = decades > 1.6 ? [1] : decades > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
    for (const factor of factors) {
      const time = factor * 10 ** power;
      if (time >= least && time <= most) found.push(time);
    }
  }
  return found.length > 1 ? found : [least, most];
}

function distribution(t, home, least, most) {
  const d = t.durations;
  const axis = { font: "10px system-ui, sans-serif", stroke: () => colours.muted, gap: 3,
    grid: { stroke: () => colours.line, width: 0.5 }, ticks: { show: false } };
  return new uPlot({
    width: home.clientWidth, height: 130, legend: { show: false }, padding: [8, 26, 0, 0],
    cursor: { show: false },
    scales: { x: { time: false, distr: 3, range: () => [least, most] }, y: { range: [0, Math.max(...d.counts) * 1.08] } },
    axes: [
      { ...axis, size: 22, splits: () => roundTimes(least, most),
        filter: (_, splits) => splits, values: (_, splits) => splits.map((v) => (v === null ? "" : seconds(v))) },
      { ...axis, size: 40, values: (_, splits) => splits.map((v) => (Number.isInteger(v) ? `${v}` : "")) },
    ],
    series: [{}, { stroke: () => colours.flight, fill: () => `${colours.flight}55`, width: 1,
      paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
  }, [[...d.edges], [...d.counts, 0]], home);
}

