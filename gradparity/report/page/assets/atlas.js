"use strict";
// The entries of an atlas: sorted by a head, filtered by three choices and a search, and each drawn, error against input.
document.addEventListener("DOMContentLoaded", async () => {
  const packed = Uint8Array.from(atob(document.getElementById("answers").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { heads, mark, backends, entries, functions } = JSON.parse(await new Response(stream).text());
  const MOST = 150;
  const form = document.querySelector("#explore > .filter");
  const table = document.getElementById("entries");
  const picture = document.getElementById("picture");
  const controls = picture.querySelector("form").elements;
  const [BACKENDS, QUANTITY] = [backends, 3];
  let by = heads.indexOf("relative");
  let down = true;
  let chosen = null;

  const figure = (value) => {
    if (value === null) return "not finite";
    if (typeof value === "string") return value;
    if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
    return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(6)));
  };
  const size = (value) => (value === null ? Infinity : value);
  const order = (a, b) => {
    const [x, y] = [a[by], b[by]].map(size);
    const found = typeof x === "string" ? String(x).localeCompare(String(y)) : x === y ? 0 : x < y ? -1 : 1;
    return down ? -found : found;
  };
  const list = () => {
    const words = form.elements.q.value.trim().toLowerCase();
    const asked = ["backend", "dtype", "quantity"].map((name) => form.elements[name].value);
    const fits = (entry) => functions[entry[0]].label.toLowerCase().includes(words) && asked.every((each, place) => !each || entry[place + 1].replace(` ${mark}`, "") === each);
    const found = entries.filter(fits).sort(order);
    table.tBodies[0].replaceChildren(...found.slice(0, MOST).map((entry) => {
      const row = document.createElement("tr");
      entry.forEach((value, place) => {
        const cell = document.createElement(place ? "td" : "th");
        cell.textContent = place ? figure(value) : functions[value].label;
        if (place > QUANTITY) cell.className = "num";
        cell.dataset.label = heads[place];
        row.append(cell);
      });
      row.tabIndex = 0;
      row.addEventListener("click", () => choose(entry, row));
      row.addEventListener("keydown", (event) => event.key === "Enter" && choose(entry, row));
      return row;
    }));
    form.querySelector("output").textContent = found.length > MOST ? `the first ${MOST} of ${found.length} entries` : `${found.length} entries`;
    form.classList.add("active");
  };
  const choose = (entry, row) => {
    for (const each of table.querySelectorAll(".chosen")) each.classList.remove("chosen");
    row.classList.add("chosen");
    chosen = entry[0];
    [controls.in.value, controls.of.value] = [entry[2], entry[QUANTITY]];
    const at = Math.abs(entry[heads.indexOf("at")]);
    controls.range.value = at <= 40 ? "near" : at <= 1000 ? "wide" : "all";
    draw();
    picture.scrollIntoView({ block: "nearest" });
  };

  // Inputs: on a line up to 40, by decades from 0.001 on up to 1000, and by all decades that a number may have.
  const scales = {
    near: { most: 40, to: (x) => x, ticks: [-40, -20, -10, 0, 10, 20, 40] },
    wide: { most: 1000, to: (x) => Math.sign(x) * Math.log10(1 + Math.abs(x) / 1e-3), ticks: [-1000, -10, -0.1, 0, 0.1, 10, 1000] },
    all: { most: Infinity, to: (x) => (x ? Math.sign(x) * (Math.log10(Math.abs(x)) + 324) : 0), ticks: [-1e300, -1, -1e-300, 0, 1e-300, 1, 1e300] },
  };
  const make = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.textContent = text;
    return made;
  };
  const draw = () => {
    picture.hidden = false;
    const { label, series } = functions[chosen];
    const { x, y, errors } = series[controls.in.value];
    const scale = scales[controls.range.value];
    const svg = picture.querySelector("svg");
    const [width, height, left, top, bottom] = [svg.clientWidth, 360, 56, 24, 30];
    const shown = x.map((each) => Math.abs(each) <= scale.most);
    const ends = [-1, 1].map((side) => scale.to(side * Math.min(scale.most, controls.in.value === "float64" ? 1.8e308 : 3.4e38)));
    const across = (each) => left + ((scale.to(each) - ends[0]) / (ends[1] - ends[0])) * (width - left - 16);
    const drawn = BACKENDS.map((name) => [name, errors[`${name} ${controls.of.value}`]]).filter(([, found]) => found);
    const largest = Math.max(300, ...drawn.flatMap(([, found]) => found.filter((each, place) => shown[place] && each !== null && each < 9999)));
    const up = (each) => height - bottom - ((Math.min(each, 1.08 * largest) + 100) / (1.08 * largest + 100)) * (height - bottom - top);
    const parts = [];
    const step = 100 * Math.ceil(largest / 800);
    for (let each = 0; each <= largest; each += step) {
      parts.push(make("line", { x1: left, x2: width - 16, y1: up(each), y2: up(each) }));
      parts.push(make("text", { x: left - 6, y: up(each) + 4, "text-anchor": "end" }, each < 400 ? String(10 ** (each / 100)) : `1e${each / 100}`));
    }
    for (const each of scale.ticks) parts.push(make("text", { x: across(each), y: height - 10, "text-anchor": "middle" }, figure(each)));
    parts.push(make("line", { class: "limit", x1: left, x2: width - 16, y1: up(90.3), y2: up(90.3) }));
    parts.push(make("text", { x: left, y: 14 }, "ulp"));
    for (const [name, found] of drawn) {
      found.forEach((each, place) => {
        if (each === null || !shown[place]) return;
        const dot = make("circle", { cx: across(x[place]), cy: each === 9999 ? top - 8 : up(each), r: 3, "fill-opacity": 0.75 });
        dot.style.fill = `var(--series-${BACKENDS.indexOf(name)})`;
        const held = y ? `, y = ${figure(y[place])}` : "";
        dot.append(make("title", {}, `${name} at ${figure(x[place])}${held}: ${each === 9999 ? "not finite" : each <= -100 ? "at most 0.1 ulp" : `${figure(10 ** (each / 100))} ulp`}`));
        parts.push(dot);
      });
    }
    svg.replaceChildren(...parts);
    picture.querySelector("h4").textContent = label;
    picture.querySelector(".legend").replaceChildren(...drawn.map(([name]) => {
      const word = document.createElement("span");
      word.textContent = name;
      word.style.setProperty("--of", `var(--series-${BACKENDS.indexOf(name)})`);
      return word;
    }));
  };

  const row = table.tHead.rows[0];
  heads.forEach((name, place) => {
    const head = document.createElement("th");
    head.scope = "col";
    if (place > QUANTITY) head.className = "num";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      [down, by] = [by === place ? !down : place > QUANTITY, place];
      for (const other of row.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      list();
    });
    head.append(button);
    row.append(head);
  });
  form.hidden = table.hidden = false;
  form.addEventListener("input", list);
  form.addEventListener("reset", () => setTimeout(list));
  form.addEventListener("submit", (event) => event.preventDefault());
  picture.querySelector("form").addEventListener("input", draw);
  addEventListener("resize", () => chosen !== null && draw());
  list();
});
