"use strict";
// Texts reach the page by textContent and attributes alone, so that nobody's words become markup.

// -- tables: sorted by a click on a header; the third click brings back the order of the report -----------------------

function sortable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 2) return;
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    if (!header.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      const next = now === null ? "ascending" : now === "ascending" ? "descending" : null;
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      if (next) header.setAttribute("aria-sort", next);
      table.tBodies[0].append(...(next ? sorted(rows, column, next === "ascending" ? 1 : -1) : rows));
    });
  });
}

function sorted(rows, column, direction) {
  const cells = rows.map((row) => row.cells[column]);
  const numeric = cells.some((cell) => "value" in cell.dataset);
  const key = (cell) => (numeric ? ("value" in cell.dataset ? Number(cell.dataset.value) : null) : cell.textContent.trim());
  const compare = numeric ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
  const keyed = rows.map((row, place) => [row, key(cells[place])]);
  // what has no number stands last in either direction; Array.sort keeps the order of equal ones
  keyed.sort(([, a], [, b]) => (a === null || b === null ? (a === null) - (b === null) : direction * compare(a, b)));
  return keyed.map(([row]) => row);
}

document.querySelectorAll("table").forEach(sortable);

// -- what is wider than the screen can be scrolled by keyboard too ------------------------------------------------------

function reachable() {
  document.querySelectorAll(".scroll").forEach((part) => {
    if (part.scrollWidth > part.clientWidth) {
      const name = part.querySelector("caption") ?? part.parentElement.querySelector("figcaption");
      part.tabIndex = 0;
      part.setAttribute("role", "region");
      part.setAttribute("aria-label", name ? name.textContent : "Table");
    } else {
      for (const attribute of ["tabindex", "role", "aria-label"]) part.removeAttribute(attribute);
    }
  });
}

reachable();
addEventListener("resize", reachable);

// -- learning curves of seed runs --------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const stored = document.getElementById("curves");
if (stored) curves(JSON.parse(stored.textContent));

function curves(data) {
  const box = document.createElement("div");
  box.id = "curve";
  box.hidden = true;
  box.setAttribute("role", "tooltip");
  document.body.append(box);
  let hiding = 0;
  let shownFor = null;

  const written = (value) => (value / 10 ** data.digits).toFixed(data.digits) + data.sign;
  const told = (key) => {
    const [best, values] = data.runs[key];
    const known = values.filter((value) => value !== null);
    if (!known.length) return "no finite value of " + data.metric;
    const selected = best && values[best - 1] !== null && values[best - 1] !== undefined
      ? `${written(values[best - 1])} at epoch ${best}, which was selected` : "no epoch was selected";
    return `${data.metric} from ${written(known[0])} to ${written(known[known.length - 1])} in ${values.length} ` +
      `${values.length === 1 ? "epoch" : "epochs"}; ${selected}`;
  };

  const buttons = [];
  const byKey = new Map();
  document.querySelectorAll("td[data-run]").forEach((cell) => {
    const key = cell.dataset.run;
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = buttons.length ? -1 : 0;
    button.append(...cell.childNodes);
    button.setAttribute("aria-label", `${button.textContent}, seed ${key.split("/")[1]}: ${told(key)}`);
    button.dataset.run = key;
    cell.append(button);
    buttons.push(button);
    byKey.set(key, button);
  });

  function show(key, target) {
    clearTimeout(hiding);
    shownFor = target;
    const button = byKey.get(key);
    const head = document.createElement("p");
    const name = document.createElement("strong");
    name.textContent = `${button ? button.closest("tr").cells[0].textContent : ""}, seed ${key.split("/")[1]}`;
    head.append(name);
    const words = document.createElement("p");
    words.textContent = told(key);
    box.replaceChildren(head, words, drawing(key));
    box.hidden = false;
    const place = target.getBoundingClientRect();
    const own = box.getBoundingClientRect();
    const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - own.width - 8));
    const below = place.bottom + 6 + own.height < innerHeight || place.top - own.height - 6 < 0;
    box.style.left = `${left + scrollX}px`;
    box.style.top = `${(below ? place.bottom + 6 : place.top - own.height - 6) + scrollY}px`;
  }

  function hide() {
    clearTimeout(hiding);
    box.hidden = true;
    shownFor = null;
  }

  function drawing(key) {
    const [width, height, left, right, top, bottom] = [300, 150, 52, 8, 8, 22];
    const trial = key.split("/")[0];
    const keys = Object.keys(data.runs).filter((other) => other.split("/")[0] === trial && other !== key).concat(key);
    const every = keys.flatMap((each) => data.runs[each][1]).filter((value) => value !== null);
    const epochs = Math.max(...keys.map((each) => data.runs[each][1].length));
    let [low, high] = every.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
    if (low === high) [low, high] = [low - 1, high + 1];
    const x = (epoch) => left + ((width - left - right) * (epoch - 1)) / Math.max(epochs - 1, 1);
    const y = (value) => top + ((height - top - bottom) * (high - value)) / (high - low);
    const root = element("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    if (!every.length) return root;
    for (const value of [low, high]) {
      root.append(element("line", { x1: left, x2: width - right, y1: y(value), y2: y(value) }));
      root.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, written(value)));
    }
    root.append(element("text", { x: left, y: height - 6 }, "epoch 1"));
    root.append(element("text", { x: width - right, y: height - 6, "text-anchor": "end" }, String(epochs)));
    for (const each of keys) {
      let path = "";
      let pen = "M";
      data.runs[each][1].forEach((value, place) => {
        if (value !== null) path += `${pen}${x(place + 1).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = value === null ? "M" : "L";
      });
      root.append(element("path", { d: path, class: each === key ? "own" : "other" }));
    }
    const [best, values] = data.runs[key];
    if (best && typeof values[best - 1] === "number") {
      root.append(element("circle", { cx: x(best), cy: y(values[best - 1]), r: 4 }));
    }
    return root;
  }

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function move(event, button) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [down, across] = steps[event.key];
    let cell = button.closest("td");
    let row = cell.parentElement;
    for (;;) {
      if (down) row = down > 0 ? row.nextElementSibling : row.previousElementSibling;
      cell = row && row.cells[cell.cellIndex + across];
      if (!cell || cell.tagName !== "TD") return;
      const next = cell.querySelector("button");
      if (next) {
        button.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
        return;
      }
    }
  }

  for (const button of buttons) {
    button.addEventListener("focus", () => show(button.dataset.run, button));
    button.addEventListener("blur", hide);
    button.addEventListener("click", () => (box.hidden ? show(button.dataset.run, button) : undefined));
    button.addEventListener("keydown", (event) => move(event, button));
  }
  const points = [...document.querySelectorAll("svg [data-run]")].filter((point) => point.dataset.run in data.runs);
  points.forEach((point) => point.addEventListener("click", () => show(point.dataset.run, point)));
  for (const target of [...buttons, ...points]) {
    target.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "touch") show(target.dataset.run, target);
    });
    target.addEventListener("pointerleave", () => {
      if (document.activeElement !== target) hiding = setTimeout(hide, 200);
    });
  }
  box.addEventListener("pointerenter", () => clearTimeout(hiding));
  box.addEventListener("pointerleave", () => {
    if (document.activeElement !== shownFor) hiding = setTimeout(hide, 200);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!box.hidden && !box.contains(event.target) && !event.target.closest("[data-run]")) hide();
  });
}

// -- plotly's drawings in place of pictures, when somebody asks ---------------------------------------------------------

let asked = null;

function plotly() {
  asked ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.plotly;
    script.addEventListener("load", done);
    script.addEventListener("error", () => {
      asked = null;
      failed(new Error(`${document.body.dataset.plotly} must lie beside this page; write the page again to have both.`));
    });
    document.head.append(script);
  });
  return asked;
}

document.querySelectorAll("button[data-chart]").forEach((button) => {
  const figure = button.closest("figure");
  const still = figure.querySelector(".scroll");
  const moving = document.createElement("div");
  moving.className = "moving";
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  button.after(" ", said);
  button.hidden = false;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", async () => {
    said.textContent = "";
    if (!moving.isConnected) {
      try {
        await plotly();
      } catch (error) {
        said.textContent = error.message;
        return;
      }
      const drawn = JSON.parse(document.getElementById(`chart-${button.dataset.chart}`).textContent);
      const colours = getComputedStyle(document.body);
      const clear = "rgba(0,0,0,0)";
      const line = colours.getPropertyValue("--line");
      Object.assign(drawn.layout, {
        paper_bgcolor: clear, plot_bgcolor: clear, font: { color: colours.color }, autosize: true,
        modebar: { bgcolor: clear, color: colours.getPropertyValue("--muted"), activecolor: colours.color },
      });
      for (const [name, part] of Object.entries(drawn.layout)) {
        if (/^[xy]axis/.test(name)) Object.assign(part, { gridcolor: line, zerolinecolor: line, linecolor: line });
      }
      still.after(moving);
      still.hidden = true;
      await globalThis.Plotly.newPlot(moving, drawn.data, drawn.layout, { displaylogo: false, responsive: true });
      button.setAttribute("aria-pressed", "true");
      return;
    }
    const back = still.hidden;
    still.hidden = !back;
    moving.hidden = back;
    button.setAttribute("aria-pressed", String(!back));
  });
});
