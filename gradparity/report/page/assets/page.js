"use strict";
// Sorting, folding, cards, search, the theme and the plots. Without this script every table is there and open.
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", () => {
  const root = document.documentElement;
  const live = document.getElementById("live");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // What is folded away has a size all the same, for who asks: and asking lays all of it out.
  const unfolded = (each) => !each.closest("details:not([open])");

  // Folds stand open for who has no scripts.
  for (const fold of all("details[data-fold]")) {
    fold.open = false;
    fold.dataset.folded = "";
  }
  // A link to a problem opens it.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let each = target.querySelector(":scope > details.whole") || target.closest("details"); each; each = each.parentElement.closest("details")) {
      each.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);

  // The list of problems: closed by Escape, by a click elsewhere and by a choice; searched by what is typed.
  const menu = document.querySelector(".menu");
  if (menu) {
    const close = (focus) => {
      menu.open = false;
      if (focus) menu.querySelector("summary").focus();
    };
    menu.addEventListener("keydown", (event) => event.key === "Escape" && close(true));
    document.addEventListener("click", (event) => {
      if (!menu.contains(event.target) || event.target.closest("a")) close(false);
      if (event.target.closest(".menu a")) setTimeout(reveal);
    });
    const search = menu.querySelector("input");
    if (search) {
      search.hidden = false;
      const items = all("li", menu);
      search.addEventListener("input", () => {
        const words = search.value.trim().toLowerCase().split(/\s+/);
        for (const item of items) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
        live.textContent = `${items.filter((item) => !item.hidden).length} of ${items.length}`;
      });
      search.addEventListener("keydown", (event) => {
        const first = items.find((item) => !item.hidden);
        if (event.key === "Enter" && first) first.querySelector("a").click();
      });
      menu.addEventListener("toggle", () => menu.open && search.focus());
    }
  }

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
  const tables = all("table.data");
  for (const table of tables) {
    const heads = [...table.tHead.rows[0].cells];
    // As cards a row is no row to a browser any more: the roles stay, and each cell has the name of its column.
    table.setAttribute("role", "table");
    for (const row of table.tBodies[0].rows) {
      row.setAttribute("role", "row");
      for (const cell of row.cells) {
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
        cell.dataset.label = heads[cell.cellIndex].textContent;
      }
    }
    if (table.classList.contains("fixed") || table.tBodies[0].rows.length < 2) continue;
    for (const head of heads) {
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
  // A table that is wider than its place becomes cards, a row each: no cell is ever cut.
  const fit = (within = document) => {
    const seen = all(".scroll", within).filter(unfolded);
    for (const box of seen) box.classList.remove("cards");
    const wide = seen.filter((box) => box.scrollWidth > box.clientWidth + 1);
    for (const box of wide) box.classList.add("cards");
    for (const box of seen) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0; // only what scrolls takes the focus
      else box.removeAttribute("tabindex");
    }
  };

  // Lines of two listings that belong together, joined.
  const join = (within = document) => {
    for (const svg of all(".joins", within).filter(unfolded)) {
      const top = svg.getBoundingClientRect().top;
      const [one, two] = all("pre", svg.parentElement).map((pre) => all("code", pre).map((line) => {
        const box = line.getBoundingClientRect();
        return (box.top + box.bottom) / 2 - top;
      }));
      svg.replaceChildren(...svg.dataset.joins.split(",").filter(Boolean).map((pair) => {
        const [a, b] = pair.split(" ");
        const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        for (const [name, value] of [["x1", 0], ["x2", "100%"], ["y1", one[a]], ["y2", two[b]]]) line.setAttribute(name, value);
        return line;
      }));
    }
  };

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

  // Plots: all that are not folded away are drawn at once, the others when they are unfolded or printed.
  const touch = matchMedia("(pointer: coarse)").matches;
  const drawn = new Set();
  let figures = {};
  const unpacked = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const draw = (box) => {
    try {
      const figure = figures[box.id];
      const width = box.clientWidth;
      drawn.add(box);
      const height = Number(box.dataset.height);
      const layout = { ...themed(figure.layout), width, height, dragmode: touch ? false : "zoom" };
      window.Plotly.react(box, themed(figure.data), layout, {
        displaylogo: false,
        // Plotly 4 has a button that uploads the figure: no such button, and nowhere to upload to. What buttons there
        // are is listed, so that a later version adds none of its own.
        showSendToCloud: false,
        plotlyServerURL: "",
        modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
        displayModeBar: touch ? false : "hover", // under a finger it would lie on data and labels
      });
      // Words over a line that would leave the plot stand at its left end: none is clipped.
      const edge = box.getBoundingClientRect();
      const out = all(".annotation-text", box).some((text) => {
        const { left, right } = text.getBoundingClientRect();
        return left < edge.left || right > edge.right;
      });
      if (out) {
        const annotations = box.layout.annotations.map((each) => ({ ...each, xref: "paper", x: 0, xanchor: "left" }));
        window.Plotly.relayout(box, { annotations });
      }
      const legend = box.querySelector(".legend .bg");
      const rows = legend ? legend.getBoundingClientRect().height : 0;
      const whole = rows > 40 ? height + rows - 24 : height;
      if (whole !== height) window.Plotly.relayout(box, { height: whole });
      box.style.height = `${whole}px`;
    } catch (error) {
      failed(error);
    }
  };
  const failed = (error) => {
    for (const box of all(".plot")) box.remove(); // the tables say the same
    for (const fold of all(".figure details[data-fold]")) fold.open = true;
    live.textContent = `The plots could not be drawn (${error.message}); their tables are open.`;
  };
  const show = (within = document) => {
    fit(within);
    join(within);
    if (!window.Plotly) return;
    for (const box of all(".plot", within)) if (unfolded(box) && !drawn.has(box)) draw(box);
  };
  const again = () => {
    drawn.clear();
    show();
  };
  const start = async () => {
    if (!document.getElementById("plotly")) return;
    try {
      figures = JSON.parse(await unpacked("figures"));
      const script = document.createElement("script");
      script.textContent = await unpacked("plotly");
      document.head.append(script);
      if (!window.Plotly) throw new Error("Plotly did not start");
      again();
    } catch (error) {
      failed(error);
    }
  };
  document.addEventListener("toggle", (event) => event.target.open && show(event.target), true);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a telephone's bar that comes and goes changes the height
    width = innerWidth;
    again();
  });

  // Theme: the system's, until the button is pressed.
  const button = document.querySelector(".theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const paint = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `${button.textContent} theme`);
    again();
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    paint();
  });
  dark.addEventListener("change", paint);

  // On paper everything is open, dark on white, and as wide as the paper.
  let before = null;
  const toPaper = () => {
    if (before) return;
    before = { theme: root.dataset.theme, closed: all("main details:not([open])").filter((each) => !each.matches(".figure *, .figures-of")) };
    root.dataset.theme = "light";
    root.classList.add("paper");
    for (const each of before.closed) each.open = true;
    again();
  };
  const fromPaper = () => {
    if (!before) return;
    root.classList.remove("paper");
    if (before.theme) root.dataset.theme = before.theme;
    else delete root.dataset.theme;
    for (const each of before.closed) each.open = false;
    before = null;
    again();
  };
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", fromPaper);
  const paper = matchMedia("print");
  paper.addEventListener("change", () => (paper.matches ? toPaper() : fromPaper()));

  paint();
  reveal();
  start();
});
