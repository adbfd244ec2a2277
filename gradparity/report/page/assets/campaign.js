"use strict";
// Many models: a search and three choices hide what does not fit; the address has them, for who is sent the link.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector(".filter");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const items = all("[data-of]").map((item) => ({ item, model: item.dataset.m, of: item.dataset.of.split(" ").map((each) => each.split(".")) }));
  const titles = new Map(all("select[name=cause] option", form).map((option) => [option.value, option.textContent]));
  // A model is found by what its row says, and by the words of its causes.
  const texts = new Map(all("tr[data-of]").map((row) => {
    const causes = row.dataset.of.match(/\bc\d+\b/g) || [];
    return [row.dataset.m, [row.textContent, ...causes.map((key) => titles.get(key))].join(" ").toLowerCase()];
  }));
  const folds = all("details.causes, .causes details, #models details");
  const fields = ["q", "verdict", "backend", "cause"];
  const said = form.querySelector("output");

  const apply = () => {
    const asked = fields.map((name) => form.elements[name].value.trim());
    const words = asked[0].toLowerCase().split(/\s+/);
    const keys = asked.slice(1).filter(Boolean);
    const active = asked.some(Boolean);
    const found = new Set();
    for (const { item, model, of } of items) {
      const fits = of.some((each) => keys.every((key) => each.includes(key))) && words.every((word) => texts.get(model).includes(word));
      item.hidden = !fits;
      if (fits) found.add(model);
    }
    for (const cause of all(".causes > .note")) {
      const rows = all("li", cause);
      const left = rows.filter((row) => !row.hidden).length;
      cause.hidden = !left;
      cause.querySelector(".count").textContent = left === rows.length ? left : `${left} of ${rows.length}`;
    }
    if (active !== form.classList.contains("active")) for (const fold of folds) fold.open = active;
    form.classList.toggle("active", active);
    said.textContent = active ? `${found.size} of ${texts.size} models` : "";
    return active;
  };
  const fromAddress = () => {
    if (!location.hash.startsWith("#filter?")) return;
    const asked = new URLSearchParams(location.hash.slice(8));
    for (const name of fields) form.elements[name].value = asked.get(name) || "";
    apply();
  };
  const toAddress = () => {
    const asked = new URLSearchParams(fields.map((name) => [name, form.elements[name].value.trim()]).filter(([, value]) => value));
    history.replaceState(null, "", apply() ? `#filter?${asked}` : location.pathname + location.search);
  };
  form.hidden = false;
  form.addEventListener("input", toAddress);
  form.addEventListener("reset", () => setTimeout(toAddress));
  form.addEventListener("submit", (event) => event.preventDefault());
  // A link to a model shows it, whatever is filtered.
  addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target) target.hidden = false;
    fromAddress();
  });
  fromAddress();
});
