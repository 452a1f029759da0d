(() => {
  const byId = (id) => document.getElementById(id);
  const WORD = /[\p{L}\p{N}]+(?:['\u2019-][\p{L}\p{N}]+)*/gu;
  const PIECES = new RegExp(`(${HIDDEN.source})|(${WORD.source})`, "gu");
  const STOP = new Set(("a an the this that these those some of in on at by for with from to into over under and or but" +
    " is are was were be been has have it its his her their there as while up down off out near").split(" "));

  const words = (text) => text.match(WORD) || [];
  const stem = (word) => word.toLowerCase().replace(/['\u2019]s?$/, "").replace(/([^su])s$/, "$1");
  const isStop = (word) => STOP.has(word.toLowerCase());
  const stems = (captions) => new Set(captions.flatMap((caption) => words(caption.text).map(stem)));
  const kind = (source) => (source.startsWith("rewrite") ? "rewrite" : source);
  const isBad = (caption) => caption.code && caption.code !== "ok" && !/_removed$|_joined$/.test(caption.code);

  // What the filters and orders need of a sample, once.
  for (const sample of data.samples) {
    const of = (name) => sample.captions.filter((caption) => kind(caption.source) === name);
    sample.alttext = stems(of("alttext"));
    sample.vec = stems(of("vec"));
    sample.kept = stems(of("vecap").length ? of("vecap") : of("rewrite"));
    sample.fused = of("vecap").length > 0;
    for (const caption of sample.captions) caption.words = words(caption.text).length;
    sample.added = of("vecap").concat(of("rewrite")).flatMap((caption) => words(caption.text))
      .filter((word) => classOf(sample, "vecap", word) === "added").length;
    sample.haystack = [sample.key, ...sample.captions.map((caption) => caption.text)].join("\n").toLowerCase();
  }

  // The colour of a word: where a new caption has it from, or that an input's word was lost.
  function classOf(sample, source, word) {
    if (isStop(word)) return "";
    const bare = stem(word);
    if (source === "vecap" || source === "rewrite") {
      if (!sample.alttext.size && !sample.vec.size) return "";
      const inAlttext = sample.alttext.has(bare), inVec = sample.vec.has(bare);
      return inAlttext ? (inVec ? "both" : "alttext") : inVec ? "vec" : "added";
    }
    const compared = source === "alttext" || (source === "vec" && sample.fused);
    return compared && sample.kept.size && !sample.kept.has(bare) ? "lost" : "";
  }

  function textOf(sample, caption, found) {
    const node = make("p", "text");
    node.dir = "auto";
    let end = 0;
    for (const piece of caption.text.matchAll(PIECES)) {
      node.append(caption.text.slice(end, piece.index));
      end = piece.index + piece[0].length;
      if (piece[1]) {
        node.append(hiddenMark(piece[0]));
        continue;
      }
      const name = classOf(sample, kind(caption.source), piece[0]);
      const hit = found && piece[0].toLowerCase().includes(found) ? " found" : "";
      node.append(name || hit ? make("mark", name + hit, piece[0]) : piece[0]);
    }
    node.append(caption.text.slice(end));
    return node;
  }

  function captionCard(sample, caption, found) {
    const box = make("section", "caption " + (/^[a-z]+$/.test(kind(caption.source)) ? kind(caption.source) : ""));
    const head = make("h2", "", caption.source);
    if (caption.code) head.append(make("span", isBad(caption) ? "code bad" : "code", caption.code));
    if (caption.fallback) head.append(make("span", "", "fallback " + caption.fallback));
    head.append(make("span", "", `${caption.words} words` + (caption.tokens === undefined ? "" : `, ${caption.tokens} tokens`)));
    if (caption.score !== undefined) head.append(make("span", "", `score ${caption.score.toFixed(3)}`));
    box.append(head, textOf(sample, caption, found));
    if (caption.details) {
      const more = make("details"), list = make("dl");
      for (const [name, value] of Object.entries(caption.details)) list.append(make("dt", "", name), make("dd", "", value));
      more.append(make("summary", "", "how it was made"), list);
      box.append(more);
    }
    return box;
  }

  function sampleCard(sample, found) {
    const card = make("article"), left = make("div", "picture"), right = make("div", "captions");
    if (sample.image) {
      const image = make("img");
      image.src = sample.image;
      image.alt = "";
      image.loading = "lazy";
      left.append(image);
    } else left.append(make("div", "none", sample.state));
    const key = make("p", "key");
    key.append(...textOf(sample, { text: sample.key, source: "" }, found).childNodes);
    left.append(key, make("p", "where", sample.where));
    for (const source of data.sources) {
      const there = sample.captions.filter((caption) => caption.source === source);
      right.append(...(there.length ? there.map((caption) => captionCard(sample, caption, found)) : [emptyCard(source)]));
    }
    const others = sample.captions.filter((caption) => !data.sources.includes(caption.source));
    right.append(...others.map((caption) => captionCard(sample, caption, found)));
    card.append(left, right);
    return card;
  }

  function emptyCard(source) {
    const box = make("section", "caption"), head = make("h2", "", source);
    head.append(make("span", "", "none"));
    box.append(head);
    return box;
  }

  const missing = (sample) => data.sources.filter((source) => !sample.captions.some((caption) => caption.source === source));
  const ONLY = {
    added: (sample) => sample.fused && sample.captions.some((caption) => caption.source === "vecap" &&
      words(caption.text).some((word) => classOf(sample, "vecap", word) === "added")),
    missing: (sample) => missing(sample).length > 0,
    hidden: (sample) => HIDDEN.test(sample.haystack),
    same: (sample) => new Set(sample.captions.map((caption) => caption.text.toLowerCase())).size < sample.captions.length,
    noimage: (sample) => !sample.image,
  };
  const least = (sample, of) => Math.min(...sample.captions.map(of));
  const most = (sample, of) => Math.max(...sample.captions.map(of));
  const ORDERS = {
    key: (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
    short: (a, b) => least(a, (c) => c.words) - least(b, (c) => c.words),
    long: (a, b) => most(b, (c) => c.words) - most(a, (c) => c.words),
    low: (a, b) => least(a, (c) => c.score ?? 9) - least(b, (c) => c.score ?? 9),
    high: (a, b) => most(b, (c) => c.score ?? -9) - most(a, (c) => c.score ?? -9),
    new: (a, b) => b.added - a.added,
  };

  let matching = data.samples;
  let first = 0;

  function filter() {
    const found = byId("search").value.trim().toLowerCase(), source = byId("source").value, code = byId("code").value;
    const only = ONLY[byId("only").value], low = byId("least").valueAsNumber, high = byId("most").valueAsNumber;
    const fits = (caption) => (!source || caption.source === source) && (!code || (caption.code || "") === code) &&
      !(caption.words < low) && !(caption.words > high) &&
      (!found || !source || caption.text.toLowerCase().includes(found));
    const narrow = source || code || low >= 0 || high >= 0;
    matching = data.samples.filter((sample) => (!found || sample.haystack.includes(found)) &&
      (!only || only(sample)) && (!narrow || sample.captions.some(fits)));
    const order = ORDERS[byId("order").value];
    if (order) matching = [...matching].sort(order);
    first = 0;
    show();
    if (byId("statistics").open) plot();
  }

  function show() {
    const size = Number(byId("size").value), pages = Math.max(1, Math.ceil(matching.length / size));
    const page = Math.floor(first / size) + 1, found = byId("search").value.trim().toLowerCase();
    byId("samples").replaceChildren(...matching.slice(first, first + size).map((sample) => sampleCard(sample, found)));
    byId("nothing").hidden = matching.length > 0;
    byId("count").textContent = matching.length === data.samples.length ? `${matching.length.toLocaleString("en")} samples`
      : `${matching.length.toLocaleString("en")} of ${data.samples.length.toLocaleString("en")} samples`;
    byId("page").value = page;
    byId("page").max = pages;
    byId("pages").textContent = `of ${pages}`;
    byId("previous").disabled = page === 1;
    byId("next").disabled = page === pages;
  }

  function turn(pages) {
    const size = Number(byId("size").value);
    const last = Math.max(0, Math.ceil(matching.length / size) - 1) * size;
    first = Math.min(last, Math.max(0, (Math.floor(first / size) + pages) * size));
    show();
    window.scrollTo(0, 0);
  }

  const SVG = "http://www.w3.org/2000/svg";
  function draw(tag, attributes, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function figure(title, drawing) {
    const box = make("figure");
    box.append(make("figcaption", "", title), drawing);
    return box;
  }

  // Twenty bins over the whole range, so that nothing is hidden beyond the edge.
  function histogram(title, values, digits) {
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const step = digits ? (high - low) / 20 || 1 : Math.max(1, Math.ceil((high - low + 1) / 20));
    const counts = new Array(20).fill(0);
    for (const value of values) counts[Math.min(19, Math.floor((value - low) / step))] += 1;
    const top = Math.max(...counts), svg = draw("svg", { viewBox: "0 0 320 128", role: "img", "aria-label": title });
    counts.forEach((count, at) => {
      const bar = draw("rect", { x: 4 + at * 15.6, width: 14.4, y: 104 - 92 * count / top, height: 92 * count / top });
      const from = low + at * step;
      bar.append(draw("title", {}, `${from.toFixed(digits)} to ${(digits ? from + step : from + step - 1).toFixed(digits)}: ${count}`));
      svg.append(bar);
    });
    svg.append(draw("line", { x1: 4, x2: 316, y1: 104.5, y2: 104.5 }));
    for (const [at, anchor] of [[0, "start"], [10, "middle"], [20, "end"]])
      svg.append(draw("text", { x: 4 + at * 15.6, y: 120, "text-anchor": anchor }, (low + at * step - (at === 20 && !digits ? 1 : 0)).toFixed(digits)));
    svg.append(draw("text", { x: 316, y: 10, "text-anchor": "end" }, `highest ${top.toLocaleString("en")}`));
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return figure(`${title}: ${values.length.toLocaleString("en")} captions, mean ${mean.toFixed(digits || 1)}`, svg);
  }

  function bars(title, counts) {
    const rows = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 12), top = rows[0][1];
    const svg = draw("svg", { viewBox: `0 0 320 ${rows.length * 17 + 6}`, role: "img", "aria-label": title });
    rows.forEach(([name, count], at) => {
      svg.append(draw("text", { x: 126, y: at * 17 + 14, "text-anchor": "end" }, name.slice(0, 20)),
        draw("rect", { x: 132, y: at * 17 + 5, height: 12, width: top ? Math.max(1, 136 * count / top) : 0 }),
        draw("text", { x: 138 + (top ? 136 * count / top : 0), y: at * 17 + 15 }, count.toLocaleString("en")));
    });
    return figure(title, svg);
  }

  // Distinct n-grams fall as a set grows: all sources are cut to as many captions, for one to compare with another.
  function varieties(named, present) {
    const least = Math.min(...present.values());
    return [1, 2, 3].map((n) => bars(`distinct ${n}-grams, % (first ${least.toLocaleString("en")} captions of each)`,
      new Map([...present.keys()].map((source) => {
        const grams = named(source).filter((caption) => caption.text).slice(0, least).flatMap((caption) => {
          const found = words(caption.text.toLowerCase());
          return found.slice(n - 1).map((_, at) => found.slice(at, at + n).join(" "));
        });
        return [source, grams.length ? Math.round(1000 * new Set(grams).size / grams.length) / 10 : 0];
      }))));
  }

  // Where the words of VeCap come from, and which words of its inputs it keeps; stop words are left out.
  function origins() {
    const counts = new Map([["from both", 0], ["from AltText", 0], ["from VeC", 0], ["in neither", 0]]);
    const kept = { alttext: [0, 0], vec: [0, 0] };
    const places = { both: "from both", alttext: "from AltText", vec: "from VeC", added: "in neither" };
    for (const sample of matching.filter((one) => one.fused)) {
      for (const caption of sample.captions) {
        const name = kind(caption.source);
        for (const word of words(caption.text)) {
          if (isStop(word)) continue;
          const place = classOf(sample, name, word);
          if (name === "vecap" && place) counts.set(places[place], counts.get(places[place]) + 1);
          else if (kept[name]) {
            kept[name][0] += place !== "lost";
            kept[name][1] += 1;
          }
        }
      }
    }
    if (![...counts.values()].some(Boolean)) return [];
    const shares = Object.entries(kept).filter(([, [, all]]) => all)
      .map(([name, [some, all]]) => [`kept of ${name}`, Math.round(1000 * some / all) / 10]);
    return [bars("words of vecap", counts), ...(shares.length ? [bars("words of the inputs that vecap keeps, %", new Map(shares))] : [])];
  }

  function plot() {
    const plots = [];
    const named = (source) => matching.flatMap((sample) => sample.captions.filter((caption) => caption.source === source));
    const present = new Map();
    for (const source of data.sources) {
      const rows = named(source), captions = rows.filter((caption) => caption.text);
      if (!rows.length) continue;
      const codes = new Map();
      for (const row of rows) if (row.code) codes.set(row.code, (codes.get(row.code) || 0) + 1);
      if (codes.size) plots.push(bars(`${source}, codes`, codes));
      if (!captions.length) continue;
      present.set(source, captions.length);
      plots.push(histogram(`${source}, words`, captions.map((caption) => caption.words), 0));
      const scores = captions.map((caption) => caption.score).filter((score) => score !== undefined);
      if (scores.length) plots.push(histogram(`${source}, score`, scores, 3));
    }
    if (present.size) plots.unshift(bars("captions by source", present), ...varieties(named, present), ...origins());
    byId("plots").replaceChildren(...plots);
  }

  function options(select, all, values) {
    select.append(new Option(all, ""), ...values.map((value) => new Option(value, value)));
  }

  options(byId("source"), "any source", data.sources);
  const codes = new Set(data.samples.flatMap((sample) => sample.captions.map((caption) => caption.code || "")));
  codes.delete("");
  options(byId("code"), "any code", [...codes].sort());
  byId("code").disabled = codes.size === 0;
  byId("filters").addEventListener("input", filter);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("page").addEventListener("change", () => {
    first = (Math.max(1, byId("page").valueAsNumber || 1) - 1) * Number(byId("size").value);
    turn(0);
  });
  byId("statistics").addEventListener("toggle", () => byId("statistics").open && plot());
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|SELECT)$/.test(event.target.tagName)) return;
    if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "ArrowRight") turn(1);
    else if (event.key === "/") {
      event.preventDefault();
      byId("search").focus();
    }
  });
  show();
})();
