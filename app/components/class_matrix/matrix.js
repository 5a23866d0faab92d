/*
 * Rows are true classes, columns answered ones, both in the order that the server chose. Off the diagonal a cell is as
 * strong as its share of the largest mistake, on it as the share of the row. Names reach the page as text.
 *
 * A Matrix belongs to its element, so zoom and focus outlive the reruns of the script. The canvas draws only the cells
 * in view: a thousand classes are no slower than ten.
 */

import { make } from "../browser/make.js";
import { escaped, saveButtons, svgDocument } from "../browser/saving.js";

const MOST = 56; // pixels of a cell at the largest zoom
const READABLE = 13; // pixels of a cell from which on its row has a name
const NUMBERED = 24; // … and its number is written into it
const EDGE = 10; // pixels beside a matrix without names
const NAMES = 130; // most pixels that names take beside it
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const matrices = new WeakMap(); // element → its Matrix

export default function ({ data, parentElement, setTriggerValue }) {
  let root = parentElement.querySelector(".class-matrix");
  if (!root) {
    root = make("div", "class-matrix");
    parentElement.append(root);
    matrices.set(root, new Matrix(root));
  }
  const matrix = matrices.get(root);
  matrix.pick = (cell) => setTriggerValue("pick", cell);
  matrix.update(data);
  return () => matrix.stop();
}

class Matrix {
  constructor(root) {
    this.root = root;
    this.view = null; // { cell: pixels a cell, column, row: the first ones in view }
    this.focus = null; // [row, column] under the keyboard, in places
    this.hover = null;
    this.pointers = new Map();
    this.build();
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(root);
  }

  stop() {
    this.watcher.disconnect();
  }

  build() {
    const bar = make("div", "bar");
    this.search = make("input");
    this.search.type = "search";
    this.search.placeholder = "Find a class";
    this.search.setAttribute("aria-label", "Find a class");
    this.search.addEventListener("input", () => this.find(this.search.value));
    const button = (text, label, act) => {
      const element = make("button");
      element.type = "button";
      element.textContent = text;
      element.setAttribute("aria-label", label);
      element.addEventListener("click", act);
      return element;
    };
    bar.append(
      this.search,
      button("+", "Zoom in", () => this.zoom(1.6)),
      button("−", "Zoom out", () => this.zoom(1 / 1.6)),
      button("Whole", "Show the whole matrix", () => this.whole()),
      saveButtons("confusion-of-classes", async () => this.figure()),
    );
    this.canvas = make("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute(
      "aria-label",
      "Matrix of classes. Arrow keys move between cells with images, Enter opens one, plus and minus zoom.",
    );
    this.tip = make("div", "tip");
    this.tip.hidden = true;
    this.said = make("div", "said");
    this.said.setAttribute("aria-live", "polite");
    this.root.append(bar, this.canvas, this.tip, this.said);
    this.listen();
  }

  update({ names, order, cells, chosen, height }) {
    this.names = names;
    this.order = order;
    this.height = height;
    this.n = order.length;
    this.longest = Math.max(...names.map((name) => name.length)); // characters
    this.place = new Array(this.n);
    order.forEach((label, place) => (this.place[label] = place));
    this.chosen = chosen && [this.place[chosen[0]], this.place[chosen[1]]];
    this.totals = new Array(this.n).fill(0);
    this.rows = new Map(); // row → Map of column → images
    this.worst = 1;
    for (const [label, predicted, count] of cells) {
      const [row, column] = [this.place[label], this.place[predicted]];
      if (!this.rows.has(row)) this.rows.set(row, new Map());
      this.rows.get(row).set(column, count);
      this.totals[row] += count;
      if (row !== column) this.worst = Math.max(this.worst, count);
    }
    this.draw();
  }

  count(row, column) {
    return this.rows.get(row)?.get(column) ?? 0;
  }

  // -------------------------------------------------------------------------------------------------------- geometry

  /** Pixels left of and above the cells: names stand there once they can be read. */
  get margin() {
    return (this.view?.cell ?? 0) >= READABLE ? this.room() : EDGE;
  }

  /** What the longest name takes, within reason. */
  room() {
    return Math.min(12 + 6.5 * this.longest, NAMES, this.canvas.clientWidth * 0.3);
  }

  /** The cell size at which everything is in view. */
  fitting() {
    const side = (margin) => Math.min(this.canvas.clientWidth, this.height) - margin;
    const [small, named] = [side(EDGE) / this.n, side(this.room()) / this.n];
    return Math.min(MOST, named >= READABLE ? named : Math.min(small, READABLE - 0.01));
  }

  whole() {
    this.view = null;
    this.draw();
  }

  zoom(factor, x = null, y = null) {
    const before = this.view;
    const [px, py] = [x ?? this.canvas.clientWidth / 2, y ?? this.canvas.clientHeight / 2];
    const column = before.column + (px - this.margin) / before.cell;
    const row = before.row + (py - this.margin) / before.cell;
    this.view = { ...before, cell: Math.max(this.fitting(), Math.min(MOST, before.cell * factor)) };
    this.view.column = column - (px - this.margin) / this.view.cell;
    this.view.row = row - (py - this.margin) / this.view.cell;
    this.draw();
  }

  /** Keep the matrix in view. */
  clamp() {
    const { view, canvas, margin, n } = this;
    const across = (canvas.clientWidth - margin) / view.cell;
    const down = (canvas.clientHeight - margin) / view.cell;
    view.column = Math.max(0, Math.min(view.column, n - across));
    view.row = Math.max(0, Math.min(view.row, n - down));
  }

  show(row, column) {
    const { view, canvas, margin } = this;
    const across = (canvas.clientWidth - margin) / view.cell - 1;
    const down = (canvas.clientHeight - margin) / view.cell - 1;
    view.column = Math.max(Math.min(view.column, column), column - across);
    view.row = Math.max(Math.min(view.row, row), row - down);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(this.view.column + (event.clientX - box.left - this.margin) / this.view.cell);
    const row = Math.floor(this.view.row + (event.clientY - box.top - this.margin) / this.view.cell);
    const inside = row >= 0 && column >= 0 && row < this.n && column < this.n;
    return inside && event.clientX - box.left >= this.margin && event.clientY - box.top >= this.margin ? [row, column] : null;
  }

  // --------------------------------------------------------------------------------------------------------- drawing

  draw() {
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    if (!width || !this.n) return;
    const fit = this.fitting();
    this.view ??= { cell: fit, column: 0, row: 0 };
    this.view.cell = Math.max(fit, this.view.cell);
    const zoomed = this.view.cell > fit * 1.01;
    const height = zoomed ? this.height : Math.min(this.height, fit * this.n + this.margin);
    canvas.style.height = `${height}px`;
    canvas.classList.toggle("zoomed", zoomed);
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.clamp();
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(this.root);
    this.ink = style.color;
    this.cells(context, width, height);
    if (this.view.cell >= READABLE) this.labels(context, width, height);
  }

  cells(context, width, height) {
    const { view, margin } = this;
    const [cell, gap] = [view.cell, view.cell > 6 ? 1 : 0];
    context.save();
    context.beginPath();
    context.rect(margin, margin, width - margin, height - margin);
    context.clip();
    context.translate(margin - view.column * cell, margin - view.row * cell);
    const lastRow = Math.min(this.n - 1, Math.floor(view.row + (height - margin) / cell));
    const [first, last] = [Math.floor(view.column), view.column + (width - margin) / cell];
    context.fillStyle = this.ink;
    context.globalAlpha = 0.05;
    const side = this.n * cell;
    context.fillRect(0, 0, side, side);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `${Math.min(14, cell * 0.45)}px sans-serif`;
    for (let row = Math.floor(view.row); row <= lastRow; row++) {
      for (const [column, count] of this.rows.get(row) ?? []) {
        if (column < first || column > last) continue;
        const right = row === column;
        [context.fillStyle, context.globalAlpha] = this.shade(row, column, count);
        const size = Math.max(1, cell - gap);
        context.fillRect(column * cell, row * cell, size, size);
        if (cell < NUMBERED) continue;
        context.globalAlpha = 1;
        context.fillStyle = !right && count / this.worst > 0.6 ? "#fff" : this.ink;
        context.fillText(String(count), (column + 0.5) * cell, (row + 0.5) * cell);
      }
    }
    context.globalAlpha = 1;
    for (const [place, colour, line] of [
      [this.chosen, this.ink, 3],
      [this.focus, "#0072b2", 3],
      [this.hover, this.ink, 1.5],
    ]) {
      if (!place) continue;
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.strokeRect(place[1] * cell, place[0] * cell, Math.max(4, cell - gap), Math.max(4, cell - gap));
    }
    if (this.found !== undefined) {
      context.fillStyle = "#0072b2";
      context.globalAlpha = 0.25;
      context.fillRect(0, this.found * cell, side, Math.max(1, cell));
      context.fillRect(this.found * cell, 0, Math.max(1, cell), side);
    }
    context.restore();
  }

  labels(context, width, height) {
    const { view, margin, order, names } = this;
    context.fillStyle = this.ink;
    context.font = `${Math.min(13, view.cell * 0.8)}px sans-serif`;
    context.textBaseline = "middle";
    const shorten = (text) => {
      if (context.measureText(text).width <= margin - 10) return text;
      while (text.length > 1 && context.measureText(`${text}…`).width > margin - 10) text = text.slice(0, -1);
      return `${text}…`;
    };
    context.textAlign = "right";
    for (let row = Math.ceil(view.row - 0.5); row < this.n; row++) {
      const y = margin + (row + 0.5 - view.row) * view.cell;
      if (y > height) break;
      if (y >= margin) context.fillText(shorten(names[order[row]]), margin - 6, y);
    }
    context.textAlign = "left";
    for (let column = Math.ceil(view.column - 0.5); column < this.n; column++) {
      const x = margin + (column + 0.5 - view.column) * view.cell;
      if (x > width) break;
      if (x < margin) continue;
      context.save();
      context.translate(x, margin - 6);
      context.rotate(-Math.PI / 2);
      context.fillText(shorten(names[order[column]]), 0, 0);
      context.restore();
    }
  }

  /** The whole matrix as an SVG, with every name. */
  figure() {
    const cell = Math.max(4, Math.min(28, 1600 / this.n));
    const margin = 20 + 7 * Math.min(this.longest, 30);
    const side = margin + this.n * cell + 10;
    const font = Math.min(12, cell * 0.8);
    const parts = [`<g font-size="${font}" fill="#222">`];
    this.order.forEach((label, place) => {
      const name = escaped(this.names[label].slice(0, 30));
      const middle = margin + (place + 0.5) * cell;
      parts.push(
        `<text x="${margin - 6}" y="${middle}" text-anchor="end" dominant-baseline="central">${name}</text>`,
        `<text transform="translate(${middle},${margin - 6}) rotate(-90)" dominant-baseline="central">${name}</text>`,
      );
    });
    for (const [row, columns] of this.rows) {
      for (const [column, count] of columns) {
        const [x, y] = [margin + column * cell, margin + row * cell];
        const [colour, share] = this.shade(row, column, count);
        parts.push(`<rect x="${x}" y="${y}" width="${cell - 1}" height="${cell - 1}" fill="${colour}" opacity="${share}"/>`);
        if (cell >= NUMBERED - 4)
          parts.push(
            `<text x="${x + cell / 2}" y="${y + cell / 2}" text-anchor="middle" dominant-baseline="central">${count}</text>`,
          );
      }
    }
    return svgDocument(side, side, `${parts.join("")}</g>`);
  }

  /** Colour and opacity of a cell. */
  shade(row, column, count) {
    return row === column
      ? ["#8a8f98", 0.6 * (count / this.totals[row])]
      : ["#d55e00", 0.2 + 0.8 * (count / this.worst)];
  }

  // ----------------------------------------------------------------------------------------------------------- people

  words(row, column) {
    const [label, predicted] = [this.names[this.order[row]], this.names[this.order[column]]];
    const [count, total] = [this.count(row, column), this.totals[row]];
    const share = total ? ` (${Math.round((100 * count) / total)}%)` : "";
    return row === column
      ? `${count} of ${total} “${label}” answered rightly${share}`
      : `${count} of ${total} “${label}” answered “${predicted}”${share}`;
  }

  point(place, x, y) {
    this.hover = place;
    this.tip.hidden = !place;
    if (place) {
      this.tip.textContent = this.words(...place);
      const left = Math.max(0, Math.min(x + 12, this.root.clientWidth - 264));
      this.tip.style.transform = `translate(${left}px, ${this.canvas.offsetTop + y + 16}px)`;
      this.tip.style.top = this.tip.style.left = "0";
    }
    this.draw();
  }

  open(place) {
    if (place && this.count(...place)) this.pick([this.order[place[0]], this.order[place[1]]]);
  }

  find(text) {
    const wanted = text.trim().toLowerCase();
    const places = wanted ? this.order.map((label, place) => [this.names[label].toLowerCase(), place]) : [];
    const hit = places.find(([name]) => name.startsWith(wanted)) ?? places.find(([name]) => name.includes(wanted));
    this.found = hit?.[1];
    if (this.found !== undefined && this.view) {
      if (this.view.cell < READABLE) this.view.cell = READABLE + 7;
      this.clamp();
      this.show(this.found, this.found);
    }
    this.said.textContent = wanted && !hit ? "No class of that name" : hit ? this.names[this.order[hit[1]]] : "";
    this.draw();
  }

  /** From the focused cell to the next one with images in a direction. */
  step([across, down]) {
    let [row, column] = this.focus ?? this.chosen ?? [0, 0];
    if (!this.focus) return this.settle([row, column]);
    for (let i = 0; i < this.n; i++) {
      [row, column] = [row + down, column + across];
      if (row < 0 || column < 0 || row >= this.n || column >= this.n) return;
      if (this.count(row, column)) return this.settle([row, column]);
    }
  }

  settle(place) {
    this.focus = place;
    this.show(...place);
    this.said.textContent = this.words(...place);
    const x = this.margin + (place[1] + 1 - this.view.column) * this.view.cell;
    const y = this.margin + (place[0] - this.view.row) * this.view.cell;
    this.point(place, x, y);
  }

  listen() {
    const { canvas } = this;
    const local = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && this.view.cell >= MOST && event.deltaY < 0) return;
      if (this.view.cell <= this.fitting() * 1.01 && event.deltaY > 0) return; // the page scrolls on
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), ...local(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, local(event));
      this.moved = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return this.point(this.at(event), ...local(event));
      const now = local(event);
      this.drag(event.pointerId, before, now);
      this.pointers.set(event.pointerId, now);
    });
    const lift = (event) => {
      const known = this.pointers.delete(event.pointerId);
      if (known && event.type === "pointerup" && this.moved < 6 && !this.pointers.size) this.open(this.at(event));
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("blur", () => {
      this.focus = null;
      this.point(null);
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.key in ARROWS) this.step(ARROWS[event.key]);
      else if (event.key === "Enter" || event.key === " ") this.open(this.focus);
      else if (event.key === "+" || event.key === "=") this.zoom(1.6);
      else if (event.key === "-") this.zoom(1 / 1.6);
      else if (event.key === "0") this.whole();
      else return;
      event.preventDefault();
    });
  }

  drag(pointer, before, now) {
    this.moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    const other = [...this.pointers].find(([id]) => id !== pointer)?.[1];
    if (other) {
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      this.zoom(spread(now) / Math.max(1, spread(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      return;
    }
    this.view.column -= (now[0] - before[0]) / this.view.cell;
    this.view.row -= (now[1] - before[1]) / this.view.cell;
    this.draw();
  }
}
