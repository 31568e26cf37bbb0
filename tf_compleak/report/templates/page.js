
"use strict";
// Sorts, filters and highlights what the page holds. Nothing of a report's text becomes markup, a
// selector or code here: versions and attacks go by their numbers.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const form = document.getElementById("controls");
  const control = (name) => form.elements.namedItem(name);
  const SIZE = /^(?:at least )?([+\u2212-]?[\d,]*\.?\d+)/;

  // Tables: a button in every head sorts, first falling where a column holds figures.

  function sortKey(cell) {
    const text = cell ? (cell.dataset.sort ?? cell.textContent.trim()) : "";
    const figure = SIZE.exec(text);
    return { text, figure: figure ? Number(figure[1].replaceAll(",", "")) : NaN };
  }

  function sort(table, head, column) {
    const body = table.tBodies[0], rows = [...body.rows];
    rows.forEach((row, place) => { row.dataset.place ??= place; });
    const keys = new Map(rows.map((row) => [row, sortKey(row.cells[column])]));
    const known = [...keys.values()].filter((key) => !["", "n/a", "-"].includes(key.text));
    const figures = known.length > 0 && known.every((key) => !Number.isNaN(key.figure));
    const orders = figures ? ["descending", "ascending", ""] : ["ascending", "descending", ""];
    const order = orders[(orders.indexOf(head.getAttribute("aria-sort") ?? "") + 1) % 3];
    all("th[aria-sort]", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    if (order) head.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    rows.sort((a, b) => {
      const first = keys.get(a), second = keys.get(b);
      let difference = 0;
      if (order && figures) {
        const unknown = Number.isNaN(first.figure) - Number.isNaN(second.figure);
        difference = unknown || sign * (first.figure - second.figure) || 0;
      } else if (order) {
        difference = sign * first.text.localeCompare(second.text, "en", { numeric: true });
      }
      return difference || a.dataset.place - b.dataset.place;
    });
    body.append(...rows);
  }

  for (const table of all("table")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.title = `Sort by ${head.textContent.trim()}`;
      button.setAttribute("aria-label", button.title);
      button.addEventListener("click", () => sort(table, head, column));
      head.append(button);
    });
  }

  // Filters and the highlight; tiers and "best" are hidden by style, without a script.

  const has = (numbers, number) => (numbers ?? "").split(" ").includes(number);

  function stands(element, mark) {
    const number = mark.slice(1);
    return mark[0] === "v" ? has(element.dataset.v, number) : element.dataset.a === number;
  }

  function show() {
    const version = control("version").value, attack = control("attack").value;
    const mark = control("mark").value;
    for (const row of all("tr[data-tier]")) {
      const apart = (version && !has(row.dataset.v, version)) ||
        (attack && row.dataset.a !== attack);
      row.hidden = Boolean(apart);
    }
    document.documentElement.classList.toggle("marking", Boolean(mark));
    for (const element of all("[data-v], [data-a]")) {
      element.classList.toggle("marked", Boolean(mark) && stands(element, mark));
    }
    for (const link of all("a.pick")) {
      if (link.dataset.pick === mark) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    const rows = all("#leakage tbody tr");
    const shown = rows.filter((row) => row.getClientRects().length > 0).length;
    document.getElementById("count").textContent = `${shown} of ${rows.length} rows`;
    step();
  }

  // The state is in the address: #tier=SR&version=int8-ptq&attack=lira&best=1&mark=version:NAME.

  const chosen = (select) => select.selectedOptions[0].textContent;

  function remember() {
    const state = new URLSearchParams();
    if (control("tier").value) state.set("tier", control("tier").value);
    for (const name of ["version", "attack"]) {
      if (control(name).value) state.set(name, chosen(control(name)));
    }
    if (control("best").checked) state.set("best", "1");
    const mark = control("mark").value;
    const kind = mark[0] === "v" ? "version" : "attack";
    if (mark) state.set("mark", `${kind}:${chosen(control("mark"))}`);
    const page = location.href.split("#")[0]; // in a notebook's frame links start elsewhere
    history.replaceState(null, "", `${page}#${state}`);
  }

  function choose(select, name, kind = "") {
    const option = [...select.options].find(
      (each) => each.value.startsWith(kind) && each.value && each.textContent === name);
    select.value = option ? option.value : "";
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return follow(hash);
    const state = new URLSearchParams(hash);
    form.reset();
    const tier = document.getElementById(`only-${state.get("tier")}`);
    if (tier) tier.checked = true;
    control("best").checked = state.has("best");
    choose(control("version"), state.get("version"));
    choose(control("attack"), state.get("attack"));
    const [kind, ...name] = (state.get("mark") ?? "").split(":");
    choose(control("mark"), name.join(":"), kind[0]);
    show();
  }

  // A link to a row or a section opens what it is in, and shows it whatever is filtered.

  function follow(id) {
    const target = document.getElementById(id);
    show();
    if (!target) return;
    for (let up = target; up; up = up.parentElement) if (up.matches("details")) up.open = true;
    if (!target.getClientRects().length) { form.reset(); show(); }
    target.scrollIntoView({ block: "center" });
    if (target.matches("tr")) target.querySelector("a")?.focus({ preventScroll: true });
  }

  function pick(mark) {
    control("mark").value = control("mark").value === mark ? "" : mark;
    show();
    remember();
  }

  form.addEventListener("change", () => { show(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    form.reset();
    show();
    remember();
  });
  window.addEventListener("hashchange", recall);

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.pick");
    if (link) {
      event.preventDefault();
      return pick(link.dataset.pick);
    }
    const place = event.target.closest("a[href^='#']");
    if (place && location.protocol === "about:") {
      event.preventDefault();
      return follow(place.hash.slice(1));
    }
    const drawn = event.target.closest("svg [data-v]");
    if (drawn) {
      const versions = drawn.dataset.v.split(" ");
      if (versions.length <= 2 || !drawn.dataset.a) pick(`v${versions.at(-1)}`);
      else pick(`a${drawn.dataset.a}`);
    }
  });

  // Keys: one stop for each table, arrows from link to link in it; Escape highlights nothing.

  function step() {
    for (const body of all("tbody")) {
      const links = all("a", body);
      links.forEach((link) => { link.tabIndex = -1; });
      const first = links.find((link) => link.getClientRects().length > 0);
      if (first) first.tabIndex = 0;
    }
  }

  const MOVES = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && control("mark").value) return pick(control("mark").value);
    const move = MOVES[event.key], link = event.target.closest("tbody a");
    if (!move || !link) return;
    event.preventDefault();
    const visible = (each) => each.getClientRects().length > 0;
    const rows = [...link.closest("tbody").rows].filter((row) => all("a", row).some(visible));
    const row = link.closest("tr"), links = all("a", row).filter(visible);
    const place = links.indexOf(link);
    const beside = rows[rows.indexOf(row) + move[0]];
    if (!beside) return;
    const to = move[0]
      ? all("a", beside).filter(visible)
      : links.slice(place + move[1]);
    const next = move[0] ? to[Math.min(place, to.length - 1)] : place + move[1] >= 0 && to[0];
    if (!next) return;
    link.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  // The search among slices.

  const search = document.getElementById("search");
  search?.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let rows = 0;
    for (const part of all("[data-find]")) {
      const found = part.dataset.find.toLowerCase().includes(wanted);
      part.classList.toggle("apart", !found);
      rows += found && part.matches("tr");
    }
    document.getElementById("matches").textContent = wanted ? `${rows} slices match` : "";
  });

  document.getElementById("theme").addEventListener("click", () => {
    const style = document.documentElement.style;
    const now = style.colorScheme ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    style.colorScheme = now === "dark" ? "light" : "dark";
  });

  document.documentElement.classList.add("scripts");
  recall();
  // A browser goes to the place of an address by itself once all is loaded, and takes the focus.
  window.addEventListener("load", () => setTimeout(() => {
    if (document.activeElement === document.body && !location.hash.includes("=")) recall();
  }));
})();
