// The data of the page, and what follows from it for a window of time: the same sums as `record` makes.
// model.js, draw.js and page.js are joined, in this order, into one strict function.

const data = JSON.parse(document.getElementById("data").textContent);
const { states, timelines } = data;
for (const { items, intervals } of timelines) {
  for (const columns of [items, intervals]) { // a column that is all alike stands there once
    const { rows } = columns;
    for (const [name, column] of Object.entries(columns)) {
      if (!Array.isArray(column)) columns[name] = new Array(rows).fill(column);
    }
  }
}
const IDLE = states.length - 1;
const full = [0, Math.max(1e-9, ...timelines.map((t) => t.span_s))];
let range = full.slice(); // what is seen, on the common axis
let own = false; // whether each timeline has an axis of its own instead, all zoomed alike
const stretch = (t) => (own ? t.span_s / full[1] || 1 : 1);
const rangeOf = (t) => [range[0] * stretch(t), range[1] * stretch(t)];

// Rows of the intervals or items of each lane, in order of their beginning, with the latest end so
// far: the first that can reach into a window is found by halving.
function byLane(columns, starts, lanes) {
  const found = Array.from({ length: lanes }, () => ({ rows: [], latest: [] }));
  const order = columns.lane.map((_, n) => n).sort((a, b) => starts[a] - starts[b]);
  for (const n of order) {
    const lane = found[columns.lane[n]];
    const last = lane.latest.length ? lane.latest[lane.latest.length - 1] : -Infinity;
    lane.rows.push(n);
    lane.latest.push(Math.max(last, columns.ended[n]));
  }
  return found;
}

function firstReaching(latest, time) {
  let low = 0, high = latest.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (latest[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}

// Add an interval to a line of bins 1 wide, by how much of each it covers (record/metrics.py, spread).
function spread(line, began, ended, height) {
  began = Math.max(began, 0);
  ended = Math.min(ended, line.length);
  if (ended <= began) return;
  const first = Math.floor(began), last = Math.min(Math.floor(ended), line.length - 1);
  if (first === last) { line[first] += (ended - began) * height; return; }
  line[first] += (first + 1 - began) * height;
  for (let n = first + 1; n < last; n++) line[n] += height;
  line[last] += (ended - last) * height;
}

// For each row, by state, the share of each of `columns` slices between two times (grid.amounts).
function amounts(t, columns, began, ended) {
  const scale = columns / (ended - began), source = t.intervals;
  return t.rows.map((row) => {
    const lines = new Map();
    for (const lane of row.lanes) {
      const { rows, latest } = t.laneIntervals[lane];
      for (let k = firstReaching(latest, began); k < rows.length; k++) {
        const n = rows[k], state = source.state[n];
        if (source.began[n] > ended) break;
        if (state === IDLE) continue;
        let line = lines.get(state);
        if (!line) lines.set(state, (line = new Float64Array(columns)));
        spread(line, (source.began[n] - began) * scale, (source.ended[n] - began) * scale,
          source.share[n] / row.lanes.length);
      }
    }
    return lines;
  });
}

// Cores busy and items in flight in each of `columns` slices between two times.
function strips(t, columns, began, ended) {
  const scale = columns / (ended - began);
  const flight = new Float64Array(columns), threads = new Map(); // the slots of a loop are one thread
  t.lanes.forEach((lane, number) => {
    const inside = (found, source, start, add) => {
      for (let k = firstReaching(found.latest, began); k < found.rows.length; k++) {
        const n = found.rows[k];
        if (source[start][n] > ended) break;
        add(n, (source[start][n] - began) * scale, (source.ended[n] - began) * scale);
      }
    };
    if (lane.kind !== "loop") {
      const thread = `${lane.worker} ${lane.kind === "slot" ? "loop" : lane.number}`;
      if (!threads.has(thread)) threads.set(thread, new Float64Array(columns));
      inside(t.laneIntervals[number], t.intervals, "began", (n, a, b) => {
        if (states[t.intervals.state[n]].on_cpu) spread(threads.get(thread), a, b, t.intervals.share[n]);
      });
    }
    inside(t.laneItems[number], t.items, "started", (n, a, b) => {
      if (b > a) spread(flight, a, b, t.items.wall_s[n] / (t.items.ended[n] - t.items.started[n]));
    });
  });
  const busy = new Float64Array(columns);
  for (const line of threads.values()) line.forEach((share, n) => { busy[n] += Math.min(1, share); });
  return { busy, flight };
}

