"use strict";
(() => {
  const SHOWN = 100;
  const table = document.getElementById("trials");
  const body = table && table.tBodies[0];
  const heads = table ? [...table.tHead.rows[0].cells] : [];
  const rows = new Map(body ? [...body.rows].map((row) => [row.dataset.row, row]) : []);

  // What stands in a cell, as a number where the column has numbers; empty cells come last.
  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.value ?? cell.textContent;
    return heads[column].classList.contains("text") ? value : value === "" ? NaN : Number(value);
  };
  let all = false;
  const filter = document.getElementById("filter");
  const more = document.getElementById("more");
  const count = document.getElementById("count");
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const row of body.rows) {
      const text = words.length ? row.textContent.toLowerCase() : "";
      const fits = words.every((word) => text.includes(word));
      found += fits;
      row.hidden = !fits || (!all && found > SHOWN);
    }
    more.hidden = all || found <= SHOWN;
    more.textContent = `Show all ${found}`;
    count.textContent = words.length ? `${found} of ${rows.size} trials` : `${rows.size} trials`;
  };
  const sort = (column) => {
    const head = heads[column];
    const rising = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const sign = rising ? 1 : -1;
    const compare = (a, b) => {
      const [x, y] = [a[0], b[0]];
      if (typeof x === "string") return sign * x.localeCompare(y, "en", { numeric: true });
      return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y) || 0;
    };
    body.append(...[...body.rows].map((row) => [key(row, column), row]).sort(compare).map((pair) => pair[1]));
    show();
  };
  if (table) {
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
    filter.addEventListener("input", show);
    more.addEventListener("click", () => { all = true; show(); });
    document.querySelectorAll(".controls").forEach((one) => { one.hidden = false; });
    show();
    addEventListener("beforeprint", () => [...body.rows].forEach((row, i) => { row.hidden = i >= SHOWN; }));
    addEventListener("afterprint", show);
  }

  // What a mark stands for: the row of its trial.
  const tip = document.getElementById("tip");
  const words = (mark) => {
    if (mark.dataset.label) return mark.dataset.label;
    const row = rows.get(mark.dataset.trial);
    if (!row) return `trial ${mark.dataset.trial}`;
    const lines = heads.map((head, i) => [head.textContent, row.cells[i].textContent.trim()]);
    return lines.filter((pair) => pair[1]).map((pair) => pair.join(": ").slice(0, 400)).join("\n");
  };
  const target = (event) => event.target.closest && event.target.closest("[data-trial], [data-label]");
  addEventListener("pointerover", (event) => {
    const mark = target(event);
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = words(mark);
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4))}px`;
    const below = event.clientY + 14;
    tip.style.top = `${Math.max(4, below + box.height > innerHeight ? event.clientY - box.height - 10 : below)}px`;
  });
  addEventListener("click", (event) => {
    const mark = target(event);
    const row = mark && rows.get(mark.dataset.trial);
    if (!row) return;
    rows.forEach((one) => one.classList.remove("chosen"));
    row.classList.add("chosen");
    row.hidden = false;
    row.scrollIntoView({ block: "center" });
  });
})();
