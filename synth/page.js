"use strict";
{
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const data = JSON.parse(document.getElementById("data").textContent);
  for (const img of all("img[data-image]")) img.src = data.images[img.dataset.image];

  const cards = all("[data-card]");
  const search = document.querySelector("input[type=search]");
  const chosen = {};
  const rows = all("[data-row]");
  const words = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
  for (const row of rows)
    words.set(row, words.get(document.getElementById(row.dataset.row)) ?? row.textContent.toLowerCase());
  // A field may hold several values, as a|b.
  const holds = (held, value) => held === value || (held ?? "").split("|").includes(value);

  function passes(card) {
    const wanted = (search?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const fields = Object.entries(chosen).every(([field, value]) => !value || holds(card.dataset[field], value));
    return fields && wanted.every(word => words.get(card).includes(word));
  }
  function refresh() {
    let shown = 0;
    for (const card of cards) shown += !(card.hidden = !passes(card));
    for (const row of rows) row.hidden = !passes(row);
    for (const out of all("[data-count]")) out.textContent = `${shown} of ${cards.length} shown`;
    for (const note of all("[data-none-left]")) note.hidden = shown > 0;
    for (const button of all("button[data-filter]"))
      button.setAttribute("aria-pressed", (chosen[button.dataset.filter] ?? "") === button.value);
  }
  function choose(field, value) { chosen[field] = value; refresh(); }

  search?.addEventListener("input", refresh);
  for (const select of all("select[data-filter]"))
    select.addEventListener("change", () => choose(select.dataset.filter, select.value));
  for (const button of all("button[data-filter]"))
    button.addEventListener("click", () => choose(button.dataset.filter, button.value));
  for (const box of all("input[data-layer]")) {
    const show = () => document.body.classList.toggle(`no-${box.dataset.layer}`, !box.checked);
    box.addEventListener("change", show);
    show();
  }

  function walk(step) {
    const open = cards.filter(card => !card.hidden);
    const here = open.indexOf(document.activeElement.closest("[data-card]"));
    const next = open[Math.min(Math.max(here + step, 0), open.length - 1)];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  }
  function toggleProof() {
    const proof = document.activeElement.closest("[data-card]")?.querySelector("details");
    if (proof) proof.open = !proof.open;
  }
  function switchTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }
  const keys = { j: () => walk(1), k: () => walk(-1), p: toggleProof, t: switchTheme, "/": () => search?.focus() };
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input[type=search], select");
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of all("button[data-theme-switch]")) button.addEventListener("click", switchTheme);
  refresh();
}
