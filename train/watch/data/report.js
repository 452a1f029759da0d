// Draws what stands in #data.
const WIDTH = 560, HEIGHT = 230, LEFT = 52, RIGHT = 10, TOP = 8, BOTTOM = 24;
const FEW = 25;  // points that are shown one by one, and not smoothed
const SVG = "http://www.w3.org/2000/svg";
const one = data.runs.length === 1;

function draw(name, classes, attributes, text) {
  const element = document.createElementNS(SVG, name);
  if (classes) element.setAttribute("class", classes);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// --- numbers ---------------------------------------------------------------------------------------------------

function short(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  for (const [factor, sign] of [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (size >= factor * 0.9999) return trimmed(value / factor) + sign;
  return size < 1e-3 ? value.toExponential(1) : trimmed(value);
}

const trimmed = (value) => String(Number(value.toPrecision(3)));
const shown = (value, unit) => (unit === "percent" ? trimmed(100 * value) + " %" : short(value));
const exact = (value, unit) => (unit === "percent" ? (100 * value).toFixed(2) + " %" : value >= 1e4 ? short(value) : String(Number(value.toPrecision(4))));

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${seconds.toFixed(1)} s`;
}

// Round values between two ends.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough * 0.999);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-6; at++) found.push(at * step);
  return found;
}

function powers(low, high) {
  const found = [], dense = high / low < 50;
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const n of dense ? [1, 2, 5] : [1]) found.push(n * 10 ** power);
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

// An exponential mean that does not lean on its first value.
function smoothed(values, factor) {
  let mean = 0, weight = 0;
  return values.map((value) => {
    mean = factor * mean + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return mean / weight;
  });
}

// --- one chart -------------------------------------------------------------------------------------------------

function scaleOf(run) {
  return document.getElementById("axis").value === "samples" ? data.runs[run].batch || 1 : 1;
}

function look(chart, series) {
  const labels = [...new Set(chart.series.map((s) => s.label))];
  const label = labels.indexOf(series.label);
  return one ? `c${label % 8}` : `c${series.run % 8} d${label % 4}`;
}

function called(chart, series) {
  if (one) return series.label;
  const name = data.runs[series.run].name;
  return new Set(chart.series.map((s) => s.label)).size > 1 ? `${name} ${series.label}` : name;
}

function range(chart, lines) {
  let low = Infinity, high = -Infinity;
  for (const line of lines) for (const value of line.y) {
    if (chart.log && value <= 0) continue;
    low = Math.min(low, value); high = Math.max(high, value);
  }
  if (low > high) return [chart.log ? 1 : 0, chart.log ? 10 : 1];
  if (chart.log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

function figure(chart) {
  const factor = Number(document.getElementById("smooth").value);
  const lines = chart.series.map((s) => {
    const scale = scaleOf(s.run);
    return { ...s, x: s.x.map((x) => x * scale), raw: s.y, y: s.y.length < FEW ? s.y : smoothed(s.y, factor) };
  });
  const [low, high] = range(chart, lines.map((l) => ({ y: factor ? l.y : l.raw })));
  const first = Math.min(...lines.map((l) => l.x[0])), last = Math.max(...lines.map((l) => l.x[l.x.length - 1]));
  const turn = chart.log ? Math.log : (v) => v;
  const at = (x) => LEFT + (last > first ? (x - first) / (last - first) : 0.5) * (WIDTH - LEFT - RIGHT);
  const up = (y) => HEIGHT - BOTTOM - ((turn(y) - turn(low)) / (turn(high) - turn(low))) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", "", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": chart.title });
  for (const value of chart.log ? powers(low, high) : ticks(low, high, 5)) {
    svg.append(draw("line", "grid", { x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value) }));
    svg.append(draw("text", "", { x: LEFT - 6, y: up(value) + 4, "text-anchor": "end" }, shown(value, chart.unit)));
  }
  for (const value of last > first ? ticks(first, last, 6) : [first])
    svg.append(draw("text", "", { x: at(value), y: HEIGHT - 7, "text-anchor": "middle" }, short(value)));
  data.runs.forEach((run, number) => {
    for (const step of run.resumed) {
      const x = step * scaleOf(number);
      if (x >= first && x <= last) {
        const mark = draw("line", "mark", { x1: at(x), x2: at(x), y1: TOP, y2: HEIGHT - BOTTOM });
        mark.append(draw("title", "", {}, `${run.name} resumed at step ${step}`));
        svg.append(mark);
      }
    }
  });
  const inside = (y) => Math.max(TOP, Math.min(HEIGHT - BOTTOM, up(chart.log ? Math.max(y, low) : y)));
  const path = (x, y) => x.map((value, i) => `${i ? "L" : "M"}${at(value).toFixed(1)} ${inside(y[i]).toFixed(1)}`).join("");
  for (const line of lines) {
    const classes = look(chart, line);
    if (factor && line.y !== line.raw) svg.append(draw("path", `raw ${classes}`, { d: path(line.x, line.raw) }));
    svg.append(draw("path", `curve ${classes}`, { d: path(line.x, line.y) }));
    if (line.x.length < FEW)
      line.x.forEach((x, i) => svg.append(draw("circle", `dot ${classes}`, { cx: at(x), cy: inside(line.y[i]), r: 2.4 })));
  }
  const cursor = draw("line", "cursor", { y1: TOP, y2: HEIGHT - BOTTOM });
  svg.append(cursor);
  const where = make("small"), legend = make("ul", "legend"), outputs = lines.map((line) => entry(chart, line, legend));
  const unit = chart.unit === "percent" ? "%" : chart.unit;
  const tell = (x) => readOut(chart, lines, outputs, where, cursor, at, x);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * WIDTH;
    tell(first + ((x - LEFT) / (WIDTH - LEFT - RIGHT)) * (last - first));
  });
  svg.addEventListener("pointerleave", () => tell(null));
  tell(null);
  return make("figure", "", null, make("figcaption", "", chart.title, make("small", "", unit), where), svg, legend);
}

function entry(chart, line, legend) {
  const sample = draw("svg", "", { viewBox: "0 0 20 8" });
  sample.append(draw("path", `curve ${look(chart, line)}`, { d: "M0 4L20 4" }));
  const value = make("b");
  legend.append(make("li", "", null, sample, make("span", "", called(chart, line)), value));
  return value;
}

// Values nearest to x, or the last ones.
function readOut(chart, lines, outputs, where, cursor, at, x) {
  let nearest = null;
  lines.forEach((line, number) => {
    let best = line.x.length - 1;
    if (x !== null) line.x.forEach((own, i) => { if (Math.abs(own - x) < Math.abs(line.x[best] - x)) best = i; });
    outputs[number].textContent = exact(line.y[best], chart.unit);
    if (nearest === null || (x !== null && Math.abs(line.x[best] - x) < Math.abs(nearest - x))) nearest = line.x[best];
  });
  where.textContent = x === null ? "" : `${document.getElementById("axis").value} ${nearest.toLocaleString("en")}`;
  cursor.style.visibility = x === null ? "hidden" : "visible";
  if (x !== null) { cursor.setAttribute("x1", at(nearest)); cursor.setAttribute("x2", at(nearest)); }
}

// --- the rest of the page --------------------------------------------------------------------------------------

function card(run, number) {
  const facts = make("dl");
  const add = (name, value) => value !== null && facts.append(make("dt", "", name), make("dd", "", value));
  add("steps", run.steps.toLocaleString("en") + (run.total ? ` of ${run.total.toLocaleString("en")}` : ""));
  add("time", duration(run.seconds));
  add("batch", run.batch ? run.batch.toLocaleString("en") : null);
  add("samples", run.batch ? short(run.batch * run.steps) : null);
  add("samples/s", run.rate === null ? null : short(run.rate));
  add("MFU", run.mfu === null ? null : exact(run.mfu, "percent"));
  add("resumed at", run.resumed.length ? run.resumed.slice(-6).join(", ") : null);
  add("dropped steps", run.bad_count ? String(run.bad_count) : null);
  const state = run.finished ? make("span", "state", "finished") : make("span", "state cut", "not finished");
  return make("article", `run c${number % 8}`, null, make("h3", "", run.name, state), facts);
}

const KINDS = [["percent", "Accuracy and recall, %"], ["loss", "Held-out contrastive loss"], ["count", "Sizes"]];

function resultTable(kind, title) {
  const rows = data.table.filter((row) => row.kind === kind).map((row) => {
    const given = row.values.filter((value) => value !== null);
    const best = kind === "percent" ? Math.max(...given) : kind === "loss" ? Math.min(...given) : null;
    const cells = row.values.map((value) => {
      const text = value === null ? "–" : kind === "percent" ? (100 * value).toFixed(2) : kind === "loss" ? value.toFixed(3) : value.toLocaleString("en");
      return make("td", !one && value === best && given.length > 1 ? "number best" : "number", text);
    });
    return make("tr", "", null, make("td", "", row.figure.replace(/^loss\//, "").replace(/^zeroshot\//, "zero-shot ").replaceAll("_", " ").replaceAll("/", ", ")), ...cells);
  });
  if (!rows.length) return null;
  return make("div", "scroll", null, make("h3", "", title), table(["", ...data.runs.map((run) => run.name)], rows, 1));
}

function fillResults() {
  const tables = KINDS.map(([kind, title]) => resultTable(kind, title)).filter((table) => table !== null);
  if (tables.length)
    document.getElementById("results").append(make("h2", "", "Final table"), make("div", "tables", null, ...tables));
}

function fillBad() {
  const rows = data.runs.flatMap((run) => run.bad.map((line) =>
    make("tr", "", null, ...[run.name, line.step, line.rank, line.loss, line.gradient_norm, line.keys].map((text) => make("td", "", text ?? "")))));
  if (!rows.length) return;
  const heads = ["run", "step", "rank", "loss", "gradient norm", "samples"];
  document.getElementById("bad").append(make("h2", "", "Dropped steps"), make("div", "scroll", null, table(heads, rows)));
}

function fillSettings() {
  const place = document.getElementById("settings");
  place.append(make("h2", "", "Settings"));
  if (data.settings.length) {
    const rows = data.settings.map((row) => make("tr", "", null, ...row.map((text) => make("td", "", text))));
    place.append(make("div", "scroll", null, table(["what differs", ...data.runs.map((run) => run.name)], rows)));
  }
  for (const run of data.runs) {
    const details = make("details", "", null, make("summary", "", `${run.name}: config.yaml`), make("pre", "", run.config));
    details.open = one;
    place.append(details);
  }
}

function redraw() {
  document.getElementById("smoothed").textContent = document.getElementById("smooth").value;
  document.getElementById("charts").replaceChildren(...data.charts.map(figure));
}

document.getElementById("runs").append(...data.runs.map(card));
fillResults();
fillBad();
fillSettings();
document.getElementById("smooth").addEventListener("input", redraw);
document.getElementById("axis").addEventListener("change", redraw);
redraw();
