"use strict";
// Sorting, folding, the theme and the plots. Without this script every table is there and open.
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", () => {
  const root = document.documentElement;
  const live = document.querySelector(".live");

  // Folds stand open for who has no scripts.
  for (const fold of document.querySelectorAll("details[data-fold]")) {
    fold.open = false;
    fold.dataset.folded = "";
  }
  // A link to a problem opens it.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const whole = target.querySelector(":scope > details.whole") || target.closest("details");
    if (whole) whole.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // Tables: a button in each head.
  const key = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const compare = (a, b, up) => {
    const numbers = (typeof a === "number") + (typeof b === "number");
    if (numbers === 2) return up * (a - b || 0);
    if (numbers === 1) return typeof a === "number" ? -1 : 1; // what has no figure comes last
    return up * a.localeCompare(b, undefined, { numeric: true });
  };
  const sort = (table, head) => {
    const up = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up === 1 ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => compare(key(a, head.cellIndex), key(b, head.cellIndex), up));
    body.append(...rows);
    live.textContent = `${table.caption.textContent}: sorted by ${head.textContent}, ${head.getAttribute("aria-sort")}`;
  };
  for (const table of document.querySelectorAll("table.data:not(.fixed)")) {
    if (table.tBodies[0].rows.length < 2) continue;
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
    }
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) sort(table, button.parentElement);
    });
  }
  // Only what scrolls takes the focus.
  const boxes = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  boxes();
  addEventListener("resize", boxes);
  document.addEventListener("toggle", boxes, true);

  // Colours by name, so that a plot can be drawn again in the other theme.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const isColour = /color$/i;
  const themed = (value, name = "") => {
    if (Array.isArray(value)) return value.map((each) => themed(each, name));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([at, each]) => [at, themed(each, at)]));
    }
    return typeof value === "string" && isColour.test(name) && value.startsWith("theme:") ? colour(value.slice(6)) : value;
  };

  // Plots: drawn when they come near.
  const touch = matchMedia("(pointer: coarse)").matches;
  const drawn = new Set();
  let library;
  const unpacked = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const load = async () => {
    const figures = JSON.parse(await unpacked("figures"));
    const script = document.createElement("script");
    script.textContent = await unpacked("plotly");
    document.head.append(script);
    if (!window.Plotly) throw new Error("Plotly did not start");
    return [window.Plotly, figures];
  };
  const draw = async (box) => {
    try {
      library = library || load();
      const [Plotly, figures] = await library;
      const figure = figures[box.id];
      const height = Number(box.dataset.height);
      const layout = { ...themed(figure.layout), height, autosize: true, dragmode: touch ? false : "zoom" };
      await Plotly.react(box, themed(figure.data), layout, {
        responsive: true,
        displaylogo: false,
        // Plotly 4 has a button that uploads the figure: no such button, and nowhere to upload to. What buttons there
        // are is listed, so that a later version adds none of its own.
        showSendToCloud: false,
        plotlyServerURL: "",
        modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
        displayModeBar: touch ? false : "hover", // under a finger it would lie on data and labels
      });
      drawn.add(box);
      const legend = box.querySelector(".legend .bg");
      const rows = legend ? legend.getBoundingClientRect().height : 0;
      if (rows > 40) await Plotly.relayout(box, { height: height + rows - 24 });
    } catch (error) {
      box.remove(); // the table says the same
      for (const fold of document.querySelectorAll(".figure details[data-fold]")) fold.open = true;
      live.textContent = `The plots could not be drawn (${error.message}); their tables are open.`;
    }
  };
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "400px" });
  for (const box of document.querySelectorAll(".plot")) near.observe(box);

  // Theme: the system's, until the button is pressed.
  const button = document.querySelector(".theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} theme`);
    for (const box of drawn) draw(box);
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);
  show();

  // On paper everything is open.
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
});
