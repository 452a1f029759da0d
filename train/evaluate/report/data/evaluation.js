// Draws what stands in #data: the table, what it was measured with, and the worst of each task.
const byId = (id) => document.getElementById(id);
const count = (number) => number.toLocaleString("en");
const percent = (part, whole) => (whole ? (100 * part / whole).toFixed(1) : "0.0") + " %";

// Text of the data, with hidden characters to be seen; it keeps its own direction.
function shown(tag, classes, text, ...after) {
  const element = make(tag, `text ${classes}`.trim());
  element.dir = "auto";
  const found = new RegExp(HIDDEN, "gu");
  let end = 0;
  for (const hit of text.matchAll(found)) {
    element.append(text.slice(end, hit.index), hiddenMark(hit[0]));
    end = hit.index + hit[0].length;
  }
  element.append(text.slice(end), ...after);
  return element;
}

function picture(image, note, classes = "") {
  const { uri, state } = data.pictures[image.picture];
  const box = make("figure", `picture ${classes}`.trim());
  if (uri) {
    const element = make("img");
    element.src = uri;
    element.alt = note;
    element.decoding = "async";
    box.append(element);
  } else box.append(make("div", "none", state));
  box.append(shown("figcaption", "", image.key));
  box.title = image.key;
  return box;
}

const counted = (number, one, more = one + "s") => `${count(number)} ${number === 1 ? one : more}`;
const list = (classes, items) => make("ul", classes, null, ...items);
const strip = (images, note) =>
  list("strip", images.map((image) => make("li", "", null, picture(image, image.own ? `${note}, its own` : note, image.own ? "own" : ""))));

function linkTo(task, at) {
  const link = shown("a", "", task.title);
  link.href = `#task-${at}`;
  return link;
}

// --- the table -------------------------------------------------------------------------------------------------

function tableOf() {
  const compared = data.rows.some((row) => row.published);
  const heads = ["figure", "ours, %", ...(compared ? ["published, %", "difference", "published by"] : [])];
  const box = table(heads, [], 1);
  if (compared) box.querySelector("th:last-child").className = "";
  box.querySelector("tbody").remove();
  const block = (name, ...title) => {
    const head = make("th", "", null, ...title);
    head.scope = "rowgroup";
    head.colSpan = heads.length;
    const rows = data.rows.filter((row) => row.task === name).map((row) => figureRow(row, compared));
    box.append(make("tbody", "", null, make("tr", "", null, head), ...rows));
  };
  for (const [at, task] of data.tasks.entries()) block(task.name, linkTo(task, at), make("span", "", task.measured));
  for (const mean of data.means) block(mean.task, shown("span", "", mean.title), make("span", "", mean.measured));
  return box;
}

function figureRow(row, compared) {
  const name = make("th", "", row.metric.replaceAll("_", " "));
  name.scope = "row";
  const cells = [name, make("td", "number", row.value)];
  if (compared)
    cells.push(make("td", "number", row.published),
      make("td", `number ${row.better ? "better" : "worse"}`, row.difference.replace("-", "\u2212")), make("td", "source", row.source));
  return make("tr", "", null, ...cells);
}

function scrolled(box, label) {
  const scroll = make("div", "scroll", null, box);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", label);
  return scroll;
}

// The papers' tables with this model in them, in the first row.
function published(paper) {
  const rows = paper.rows.map(([model, from, ...figures], at) => {
    const head = make("th", "", model);
    head.scope = "row";
    return make("tr", at ? "" : "this", null, head, make("td", "", from), ...figures.map((text) => make("td", "number", text)));
  });
  return table(["model", "trained on", ...paper.columns.map((name) => name.replaceAll("_", " "))], rows, 2);
}

// --- retrieval -------------------------------------------------------------------------------------------------

function retrieval(part) {
  return [
    ...direction("Image to text", part.to_text, "text", "The best of its own texts", (worst) => imageQuery(worst, part.to_text.among), "cards"),
    ...direction("Text to image", part.to_image, "image", "Its own image", (worst) => textQuery(worst, part.to_image.among), "cards wide"),
  ];
}

function direction(title, part, item, own, card, classes) {
  const median = part.median === null ? "" : ` ${own} stands at ${count(part.median)} in the median.`;
  return [
    make("h3", "", `${title}: furthest back`),
    make("p", "note", `${counted(part.queries, "query", "queries")} among ${counted(part.among, item)}; ` +
      `${count(part.missed)} (${percent(part.missed, part.queries)}) find another one first.${median}`),
    list(classes, part.worst.map((worst) => make("li", "card", null, ...card(worst)))),
  ];
}

function placed(what, place, among) {
  return make("p", "label", `${what} at `, make("span", "place", `${count(place)} of ${count(among)}`));
}

function imageQuery(worst, among) {
  const texts = (all) => list("", all.map((text) => shown("li", "", text)));
  const more = worst.more ? [make("p", "label", `and ${count(worst.more)} more`)] : [];
  const right = make("div", "", null,
    placed(worst.own.length + worst.more > 1 ? "best of its own captions" : "its own caption", worst.place, among), texts(worst.own), ...more,
    make("p", "label", "found instead"),
    list("", worst.found.map(({ text, own }) => (own ? shown("li", "own-text", text, " (its own)") : shown("li", "", text)))));
  return [make("div", "side", null, picture(worst, "query"), right)];
}

function textQuery(worst, among) {
  const left = make("div", "", null, picture(worst.own, "its own image", "own"));
  const right = make("div", "", null, placed("its own image", worst.place, among), make("p", "label", "found instead"), strip(worst.found, "found"));
  const side = make("div", "side", null, ...left.children, right);
  return [shown("h4", "", worst.text), side];
}

// --- classes ---------------------------------------------------------------------------------------------------

function classes(part) {
  const parts = [make("p", "note", `${count(part.wrong)} of ${count(part.images)} images (${percent(part.wrong, part.images)}) ` +
    `are taken for another class, in ${count(part.kinds)} pairs of classes.`)];
  if (part.pairs.length)
    parts.push(make("h3", "", "Most confused classes"), list("cards", part.pairs.map((pair) => make("li", "card", null, ...confusion(pair)))));
  if (part.weakest.length) parts.push(make("h3", "", "Classes with the lowest recall"), scrolled(weakest(part.weakest), "Classes with the lowest recall"));
  return parts;
}

function confusion(pair) {
  const head = make("h4", "", null, shown("span", "", pair.label), " taken for ", shown("span", "", pair.taken_for));
  return [
    head,
    make("p", "label", null, make("span", "place", `${count(pair.count)} of ${count(pair.images)}`), ` images (${percent(pair.count, pair.images)})`),
    make("div", "groups", null, group("taken for it", strip(pair.examples, `${pair.label}, taken for ${pair.taken_for}`)),
      ...(pair.others.length ? [group("for comparison", strip(pair.others, pair.taken_for))] : [])),
  ];
}

const group = (label, pictures) => make("div", "", null, make("p", "label", label), pictures);

function weakest(rows) {
  const cells = rows.map(([name, right, images, taken, times]) => {
    const head = shown("th", "", name);
    head.scope = "row";
    const numbers = [percent(right, images), count(right), count(images)].map((text) => make("td", "number", text));
    return make("tr", "", null, head, ...numbers, shown("td", "", taken, ` (${count(times)})`));
  });
  const box = table(["class", "recall", "found", "images", "mostly taken for"], cells, 1);
  box.querySelector("th:last-child").className = "";
  return box;
}

// --- a task ----------------------------------------------------------------------------------------------------

function rejects(task) {
  if (!task.left_out) return [];
  const rows = task.rejects.map((row) => make("tr", "", null, ...row.map((text) => shown("td", "", text))));
  const first = rows.length < task.left_out ? `, the first ${rows.length}` : "";
  const details = make("details", "", null, make("summary", "", `${counted(task.left_out, "image")} left out${first}`),
    scrolled(table(["image", "code", "why"], rows), `Images left out of ${task.title}`));
  return [details];
}

function section(task, at) {
  const box = make("section");
  box.id = `task-${at}`;
  const head = shown("h2", "", task.title);
  head.id = `title-${at}`;
  box.setAttribute("aria-labelledby", head.id);
  box.append(head, shown("p", "note", `${task.measured}; ${task.seconds} s; ${task.where}`), ...rejects(task));
  if (task.retrieval) box.append(...retrieval(task.retrieval));
  if (task.classes) box.append(...classes(task.classes));
  return box;
}

byId("table").append(scrolled(tableOf(), "Figures"));
if (data.papers.length) {
  for (const paper of data.papers) byId("papers").append(shown("h3", "", paper.title), make("p", "note", paper.note && `this model: ${paper.note}`), scrolled(published(paper), paper.title));
  byId("papers").hidden = false;
}
byId("about").append(make("dl", "", null, ...data.about.map(([name, text]) => make("div", "", null, make("dt", "", name), shown("dd", "", text)))));
if (data.absent.length) {
  const rows = data.absent.map((texts) => make("tr", "", null, ...texts.map((text) => shown("td", "", text))));
  byId("absent").append(scrolled(table(["task", "why"], rows), "Not measured"));
  byId("absent").hidden = false;
}
byId("tasks").append(...data.tasks.map(section));
byId("contents").append(...data.tasks.map(linkTo));
