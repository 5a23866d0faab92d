/*
 * A map of images as points, drawn on a canvas.
 *
 * Streamlit calls the default export at every rerun with the same element. A PointMap belongs to the element, so view,
 * selection, highlight and play state outlive reruns; only the data and the way to answer are replaced.
 *
 * Two canvases lie on each other. `points` is written pixel by pixel (in software that is several times faster than
 * paths, and 50,000 points stay fluid without a GPU); `marks` carries the few things that change with the pointer.
 * Both are drawn only when something has changed. Names that come with the data reach the page as text, never as HTML.
 */

const HIDDEN = 65535; // a coordinate that says: not on the map
const FULL = 256; // opaque
const MOVE_MS = 600; // from one frame to the next
const HOLD_MS = 700; // rest at a frame while playing
const REACH = 12; // pixels from a point that still count as on it
const SHEET = { cells: 1024, row: 32, side: 64 };
const MAX_ZOOM = 200;
const MAX_PIXELS = 6e6;

const MARKED = ["clicked", "focused", "hovered", "tipped"]; // points that are followed by id when the data change
const EDGE = 24; // pixels kept free around the whole map
const KEYS =
  "Arrow keys move between points, Enter opens one, plus and minus zoom, 0 shows everything, Escape clears the selection.";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const maps = new WeakMap(); // element → its PointMap
const remembered = new Map(); // key → what to take up again when the person comes back to the page

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".point-map");
  let map = maps.get(root);
  if (!map) maps.set(root, (map = new PointMap(root)));
  map.report = setStateValue;
  map.trigger = setTriggerValue;
  map.update(readPayload(data));
  return () => {
    map.destroy();
    maps.delete(root);
  };
}

// ------------------------------------------------------------------------------------------------------------- data

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };

/** The header and the points in the bytes that `data.pack` wrote. */
function readPayload(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const body = bytes.slice(4 + length).buffer;
  const arrays = {};
  for (const { name, type, offset, length } of header.arrays) arrays[name] = new ARRAYS[type](body, offset, length);
  return { header, points: new Points(header, arrays) };
}

/** What is known of each point; `frame` is a whole number. */
class Points {
  constructor(header, arrays) {
    this.header = header;
    this.n = header.n;
    this.arrays = arrays;
    this.ringBytes = Math.ceil(this.n / 8);
  }

  /** Where a column's values for this frame begin: it has either one value a point or one a point and frame. */
  start(values, frame) {
    return values.length > this.n ? frame * this.n : 0;
  }

  shown(frame, i) {
    return this.arrays.xy[2 * (frame * this.n + i)] !== HIDDEN;
  }

  ringed(frame, i) {
    const { rings } = this.arrays;
    return rings !== undefined && ((rings[frame * this.ringBytes + (i >> 3)] >> (i & 7)) & 1) === 1;
  }

  id(i) {
    return this.arrays.ids ? this.arrays.ids[i] : i;
  }

  sprite(i) {
    return this.arrays.sprite ? this.arrays.sprite[i] : i;
  }

  /** Lines of hover text: [title, value]. */
  lines(frame, i) {
    return this.header.columns.map(({ title, names }, c) => {
      const codes = this.arrays[`column${c}`];
      return [title, names[codes[this.start(codes, frame) + i]]];
    });
  }

  /** How many points are on the map, and how many of them have a ring. */
  count(frame) {
    let shown = 0;
    let ringed = 0;
    for (let i = 0; i < this.n; i++) {
      if (!this.shown(frame, i)) continue;
      shown++;
      if (this.ringed(frame, i)) ringed++;
    }
    return { shown, ringed };
  }
}

// ----------------------------------------------------------------------------------------------------------- drawing

/** A canvas that is filled pixel by pixel with small stamps (discs, rings) which blend into each other. */
class Raster {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.margin = 24; // pixels around the canvas, so that a stamp at the edge needs no clipping
  }

  resize(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.stride = width + 2 * this.margin;
    this.image = new ImageData(this.stride, height + 2 * this.margin);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  clear([r, g, b]) {
    this.pixels.fill((0xff000000 | (b << 16) | (g << 8) | r) >>> 0);
  }

  show() {
    this.context.putImageData(this.image, -this.margin, -this.margin);
  }

  /** A round stamp for each of 4 × 4 positions inside a pixel; `line` hollows it out to a ring of that width. */
  stamps(radius, line = radius + 1) {
    const reach = Math.ceil(radius + 1);
    const inside = (distance, edge) => Math.min(1, Math.max(0, edge + 0.5 - distance));
    return Array.from({ length: 16 }, (_, place) => {
      const offsets = [];
      const cover = [];
      for (let y = -reach; y <= reach; y++) {
        for (let x = -reach; x <= reach; x++) {
          const distance = Math.hypot(x + 0.375 - (place & 3) / 4, y + 0.375 - (place >> 2) / 4);
          const share = inside(distance, radius) - (line > radius ? 0 : inside(distance, radius - line));
          if (share < 0.02) continue;
          offsets.push(y * this.stride + x);
          cover.push(Math.round(share * FULL));
        }
      }
      return { offsets: Int32Array.from(offsets), cover: Uint16Array.from(cover) };
    });
  }

  /** Blend a stamp in at (x, y); `redBlue` and `green` are the colour's packed channels, `alpha` 0 to FULL. */
  stamp(stamps, x, y, redBlue, green, alpha) {
    const left = Math.floor(x);
    const top = Math.floor(y);
    const { offsets, cover } = stamps[(((y - top) * 4) << 2) | ((x - left) * 4)];
    const centre = (top + this.margin) * this.stride + left + this.margin;
    const { pixels } = this;
    for (let k = 0; k < offsets.length; k++) {
      const at = centre + offsets[k];
      const over = (cover[k] * alpha) >> 8;
      const under = FULL - over;
      const old = pixels[at];
      // two channels in one product: the sum stays below 2³², so the wrap-around of imul does no harm
      const rb = ((Math.imul(redBlue, over) + Math.imul(old & 0xff00ff, under)) >>> 8) & 0xff00ff;
      const g = ((Math.imul(green, over) + Math.imul(old & 0x00ff00, under)) >>> 8) & 0x00ff00;
      pixels[at] = 0xff000000 | rb | g;
    }
  }
}

const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

/** [r, g, b] of any CSS colour. */
function rgb(colour) {
  probe.fillStyle = "#888";
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

const packed = ([r, g, b]) => [(b << 16) | r, g << 8];
const isDark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 128;
const ease = (share) => (share < 0.5 ? 4 * share ** 3 : 1 - (2 - 2 * share) ** 3 / 2);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Points on screen in a grid of square cells, to find the ones near a place. */
class Grid {
  constructor(width, height, x, y, alpha) {
    this.cell = 16;
    this.columns = Math.ceil(width / this.cell) + 1;
    this.rows = Math.ceil(height / this.cell) + 1;
    this.first = new Int32Array(this.columns * this.rows).fill(-1);
    this.next = new Int32Array(x.length);
    this.x = x;
    this.y = y;
    for (let i = 0; i < x.length; i++) {
      if (alpha[i] === 0 || x[i] < 0 || y[i] < 0 || x[i] > width || y[i] > height) continue;
      const cell = Math.floor(y[i] / this.cell) * this.columns + Math.floor(x[i] / this.cell);
      this.next[i] = this.first[cell];
      this.first[cell] = i;
    }
  }

  nearest(x, y, reach) {
    const across = (value, limit) => clamp(Math.floor(value / this.cell), 0, limit - 1);
    let best = -1;
    let least = reach * reach;
    for (let row = across(y - reach, this.rows); row <= across(y + reach, this.rows); row++) {
      for (let column = across(x - reach, this.columns); column <= across(x + reach, this.columns); column++) {
        for (let i = this.first[row * this.columns + column]; i >= 0; i = this.next[i]) {
          const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
          if (distance < least) [best, least] = [i, distance];
        }
      }
    }
    return best;
  }
}

// --------------------------------------------------------------------------------------------------------------- map

class PointMap {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.stage = find(".stage");
    this.marks = find(".marks").getContext("2d");
    this.raster = new Raster(find(".points"));
    this.parts = { tip: find(".tip"), thumbnail: find(".thumbnail"), lines: find(".lines"), legend: find(".legend") };
    this.parts = { ...this.parts, time: find(".time"), play: find(".play"), slider: find(".slider") };
    this.parts = { ...this.parts, frame: find(".frame"), caption: find(".caption"), spoken: find(".spoken") };

    this.header = null;
    this.view = { k: 1, x: 0, y: 0, fit: 1, moved: false }; // screen = (x + k·u, y − k·v)
    this.clock = 0; // where in task time the picture is; between whole numbers while points move
    this.frame = 0; // where it is going
    this.playing = false;
    this.highlight = null;
    this.selected = null; // Uint8Array, one a point, or null for no selection
    this.hovered = -1;
    this.focused = -1;
    this.clicked = -1;
    this.tipped = -1; // whose thumbnail and text are shown
    this.lasso = null; // the outline being drawn
    this.lassoMode = false;
    this.stale = { points: true, marks: true };

    this.listening = new AbortController();
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.stage);
    this.listen();
  }

  destroy() {
    if (this.header) {
      const { view, frame, highlight, header } = this;
      remembered.set(header.key, { view, frame, highlight, place: header.place });
    }
    this.listening.abort();
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
    clearTimeout(this.holding);
  }

  // ---- data in

  update({ header, points }) {
    const before = this.header;
    const chosen = before && this.selected ? new Set(this.selectedIds()) : null;
    const marked = MARKED.map((name) => (this[name] >= 0 ? this.points.id(this[name]) : null));
    this.header = header;
    this.points = points;
    this.screen = { x: new Float32Array(points.n), y: new Float32Array(points.n), alpha: new Uint16Array(points.n) };
    this.stage.style.setProperty("--height", `${header.height}px`);
    this.parts.legend.style.setProperty("--height", `${header.height}px`);
    this.stage.setAttribute("aria-label", `${header.title}: a map of ${header.n} ${header.noun}. ${KEYS}`);
    this.stage.querySelector("[data-tool=lasso]").hidden = !header.selectable;
    this.readTheme();
    this.restore(before);
    this.select(chosen && ((i) => chosen.has(points.id(i))));
    MARKED.forEach((name, k) => (this[name] = marked[k] === null ? -1 : this.rowOf(marked[k])));
    this.buildLegend();
    this.showTime();
    this.showTip(this.tipped);
    if (before && before.place !== header.place) [this.size, this.view.moved] = [null, false];
    this.resize();
    this.redraw();
  }

  /** Take the frame and the highlight that Python asks for, but only where it asks for something new. */
  restore(before) {
    const { header } = this;
    const memory = before ? null : remembered.get(header.key);
    if (!before) {
      this.frame = this.clock = header.frame;
      this.highlight = header.highlight;
      if (memory && memory.place === header.place) {
        this.view = memory.view;
        this.frame = this.clock = Math.min(memory.frame, header.frames - 1);
        if (memory.highlight < header.names.length) this.highlight = memory.highlight;
      }
      return;
    }
    if (before.highlight !== header.highlight || before.names.join("\n") !== header.names.join("\n")) {
      this.highlight = header.highlight;
    }
    const last = header.frames - 1;
    [this.clock, this.frame] = [Math.min(this.clock, last), Math.min(this.frame, last)];
    if (before.frame !== header.frame && header.frame !== this.reported) this.goTo(header.frame);
  }

  rowOf(id) {
    for (let i = 0; i < this.points.n; i++) if (this.points.id(i) === id) return i;
    return -1;
  }

  readTheme() {
    const style = getComputedStyle(this.root);
    const variable = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    const ground = rgb(variable("--st-background-color", "#fff"));
    const palette = this.header.palette[isDark(ground) ? "dark" : "light"];
    const ink = variable("--st-text-color", "#222");
    this.theme = { ground, ink, palette, primary: variable("--st-primary-color", "#0072b2"), font: style.fontFamily };
  }

  /** The colour of a category as it is now, as CSS. */
  colour(category) {
    const { colours, grey, accent } = this.theme.palette;
    if (this.highlight === null) return colours[category];
    return category === this.highlight ? accent ?? colours[category] : grey;
  }

  // ---- view

  get width() {
    return this.stage.clientWidth;
  }

  get height() {
    return this.stage.clientHeight;
  }

  resize() {
    const { width, height } = this;
    if (!this.header || !width || !height) return;
    const ratio = Math.min(window.devicePixelRatio || 1, Math.sqrt(MAX_PIXELS / (width * height)));
    if (this.size && this.size.width === width && this.size.height === height && this.size.ratio === ratio) return;
    if (this.size && this.view.moved) {
      this.view.x += (width - this.size.width) / 2;
      this.view.y += (height - this.size.height) / 2;
    }
    this.size = { width, height, ratio };
    this.raster.resize(Math.round(width * ratio), Math.round(height * ratio));
    Object.assign(this.marks.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    if (!this.view.moved) this.fit();
    this.draw(); // at once: a resized canvas is empty until it is drawn
  }

  /** Show the whole map. */
  fit() {
    const [across, up] = this.header.extent;
    const { width, height } = this;
    const k = Math.min((width - 2 * EDGE) / Math.max(across, 1), (height - 2 * EDGE) / Math.max(up, 1));
    this.view = { k, fit: k, x: (width - k * across) / 2, y: (height + k * up) / 2, moved: false };
    this.redraw();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.view.moved = true;
    this.redraw();
  }

  /** Zoom by `factor` so that the place (x, y) stays where it is. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const { view } = this;
    const k = clamp(view.k * factor, view.fit / 2, view.fit * MAX_ZOOM);
    view.x = x - ((x - view.x) * k) / view.k;
    view.y = y - ((y - view.y) * k) / view.k;
    view.k = k;
    view.moved = true;
    this.redraw();
  }

  // ---- task time

  goTo(frame) {
    this.frame = clamp(frame, 0, this.header.frames - 1);
    const [from, to] = [this.clock, this.frame];
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const length = still || from === to ? 0 : MOVE_MS * Math.sqrt(Math.abs(to - from));
    this.move = { from, to, start: performance.now(), length };
    this.hover(-1);
    this.showTime();
    this.redraw();
  }

  /** Advance the clock to `now`; true while points are on their way. */
  tick(now) {
    if (!this.move) return false;
    const { from, to, start, length } = this.move;
    const share = length ? clamp((now - start) / length, 0, 1) : 1;
    this.clock = share < 1 ? from + (to - from) * ease(share) : to;
    if (share < 1) return true;
    this.move = null;
    this.arrive();
    return false;
  }

  arrive() {
    if (!this.playing) return this.reportFrame();
    clearTimeout(this.holding);
    this.holding = setTimeout(() => {
      if (this.frame + 1 < this.header.frames) this.goTo(this.frame + 1);
      else this.play(false);
    }, HOLD_MS);
  }

  play(on) {
    this.playing = on;
    clearTimeout(this.holding);
    if (on) this.goTo(this.frame + 1 < this.header.frames ? this.frame + 1 : 0);
    else this.reportFrame();
    this.showTime();
  }

  reportFrame() {
    if (!this.header.report_frame || this.frame === (this.reported ?? this.header.frame)) return;
    this.reported = this.frame;
    this.report("frame", this.frame);
  }

  showTime() {
    const { time, play, slider, frame } = this.parts;
    const name = this.header.frame_names[this.frame];
    time.hidden = this.header.frames < 2;
    slider.max = this.header.frames - 1;
    slider.value = this.frame;
    slider.setAttribute("aria-valuetext", name);
    frame.textContent = name;
    play.classList.toggle("playing", this.playing);
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    play.lastElementChild.textContent = this.playing ? "Pause" : "Play";
    this.showCaption();
  }

  /** What is on the map, in words. */
  summary() {
    const { header, points, selected } = this;
    const { shown, ringed } = points.count(this.frame);
    const number = (value) => value.toLocaleString("en");
    const when = header.frames > 1 ? ` ${header.frame_names[this.frame]}` : "";
    const parts = [`${number(shown)} of ${number(points.n)} ${header.noun} on the map${when}`];
    if (points.arrays.rings) parts.push(`${number(ringed)} ringed: ${header.ring_name}`);
    if (selected) parts.push(`${number(this.selectedIds().length)} selected`);
    return parts.join(" · ");
  }

  showCaption() {
    const hints = [];
    if (this.selected) hints.push("Esc clears the selection");
    if (this.theme.palette.accent && this.highlight === null) hints.push("choose a name in the legend to colour it");
    this.parts.caption.textContent = [this.summary(), ...hints].join(" · ");
  }

  // ---- drawing

  /** Draw at the next frame of the screen. */
  redraw(what = "points") {
    this.stale[what] = true;
    this.waiting ??= requestAnimationFrame((now) => {
      this.waiting = undefined;
      if (this.tick(now)) this.redraw();
      this.draw();
    });
  }

  draw() {
    if (!this.size) return;
    if (this.stale.points) this.drawPoints();
    this.drawMarks();
    this.placeTip();
    this.stale = { points: Boolean(this.move), marks: false };
  }

  /** Where each point is on screen (CSS pixels) and how much of it is there, between two frames. */
  project() {
    const { points, view, screen, clock } = this;
    const { xy } = points.arrays;
    const [a, b] = [Math.floor(clock), Math.ceil(clock)];
    const share = clock - a;
    let [p, q] = [2 * a * points.n, 2 * b * points.n];
    for (let i = 0; i < points.n; i++, p += 2, q += 2) {
      const there = xy[p] !== HIDDEN;
      const here = xy[q] !== HIDDEN;
      let u = there ? xy[p] : xy[q];
      let v = there ? xy[p + 1] : xy[q + 1];
      if (there && here) {
        u += (xy[q] - u) * share;
        v += (xy[q + 1] - v) * share;
      }
      screen.x[i] = view.x + view.k * u;
      screen.y[i] = view.y - view.k * v;
      screen.alpha[i] = FULL * (there ? (here ? 1 : 1 - share) : here ? share : 0);
    }
    this.grid = null; // made again when the pointer asks
  }

  /** Radius of a point in CSS pixels: less with more points, a little more when zoomed in. */
  radius() {
    const { n } = this.points;
    const base = n < 3000 ? 3.4 : n < 20000 ? 2.6 : n < 60000 ? 2 : 1.6;
    return base * clamp((this.view.k / this.view.fit) ** 0.3, 1, 3);
  }

  drawPoints() {
    const { raster, theme, size, points, highlight, selected } = this;
    const { x, y, alpha } = this.screen;
    this.project();
    const radius = this.radius() * size.ratio;
    const disc = raster.stamps(radius);
    const frame = Math.round(this.clock);
    const { category } = points.arrays;
    const start = points.start(category, frame);
    const colours = this.header.names.map((_, c) => packed(rgb(this.colour(c))));
    const grey = packed(rgb(theme.palette.grey));
    const [right, bottom] = [size.width + 12, size.height + 12];
    const layer = (wanted) => {
      for (let i = 0; i < points.n; i++) {
        if (alpha[i] === 0 || x[i] < -12 || y[i] < -12 || x[i] > right || y[i] > bottom) continue;
        const own = category[start + i];
        const back = selected ? !selected[i] : highlight !== null && own !== highlight;
        if (back !== wanted.back) continue;
        const [redBlue, green] = back && selected ? grey : colours[own];
        raster.stamp(disc, x[i] * size.ratio, y[i] * size.ratio, redBlue, green, (alpha[i] * wanted.alpha) >> 8);
      }
    };
    raster.clear(theme.ground);
    if (selected || highlight !== null) layer({ back: true, alpha: 110 });
    layer({ back: false, alpha: points.n < 20000 ? 225 : 190 });
    if (points.arrays.rings) this.drawRings(frame, radius);
    raster.show();
  }

  /** Rings around the points in front; the more there are on screen, the fainter, so that colours stay visible. */
  drawRings(frame, radius) {
    const { raster, size, points, selected, highlight } = this;
    const { x, y, alpha } = this.screen;
    const { category } = points.arrays;
    const start = points.start(category, frame);
    const ringed = [];
    for (let i = 0; i < points.n; i++) {
      if (alpha[i] === 0 || !points.ringed(frame, i)) continue;
      if (selected ? !selected[i] : highlight !== null && category[start + i] !== highlight) continue;
      if (x[i] >= 0 && y[i] >= 0 && x[i] <= size.width && y[i] <= size.height) ringed.push(i);
    }
    const line = Math.max(1, 0.9 * size.ratio);
    const ring = raster.stamps(Math.min(radius + size.ratio + line, 20), line);
    const strength = 210 * clamp(Math.sqrt(400 / ringed.length), 0.3, 1);
    const [redBlue, green] = packed(rgb(this.theme.ink));
    for (const i of ringed) {
      raster.stamp(ring, x[i] * size.ratio, y[i] * size.ratio, redBlue, green, (alpha[i] * strength) >> 8);
    }
  }

  drawMarks() {
    const { marks: pen, size, theme } = this;
    pen.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    this.drawEllipses(pen);
    this.drawHalo(pen, this.clicked, 5, theme.ink, 2.5);
    this.drawHalo(pen, this.hovered, 4, theme.ink, 1.5);
    if (this.stage.matches(":focus")) this.drawHalo(pen, this.focused, 7, theme.primary, 3);
    if (!this.lasso) return;
    pen.beginPath();
    for (const [x, y] of this.lasso) pen.lineTo(x, y);
    pen.closePath();
    Object.assign(pen, { strokeStyle: theme.primary, fillStyle: theme.primary, lineWidth: 1.5, globalAlpha: 0.12 });
    pen.fill("evenodd");
    pen.globalAlpha = 1;
    pen.setLineDash([5, 3]);
    pen.stroke();
    pen.setLineDash([]);
  }

  drawHalo(pen, i, extra, colour, width) {
    if (i < 0 || this.screen.alpha[i] === 0) return;
    pen.beginPath();
    pen.arc(this.screen.x[i], this.screen.y[i], this.radius() + extra, 0, 2 * Math.PI);
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.stroke();
  }

  /** Ellipses of the two frames that the clock is between, the one fading into the other. */
  drawEllipses(pen) {
    const { header, view, clock, highlight } = this;
    if (!header.ellipses.length) return;
    const before = Math.floor(clock);
    for (const [frame, share] of [[before, 1 - (clock - before)], [Math.ceil(clock), clock - before]]) {
      if (share === 0) continue;
      for (const [cx, cy, rx, ry, angle, category, weight] of header.ellipses[frame]) {
        const front = highlight === null || category === highlight;
        pen.beginPath();
        pen.ellipse(view.x + view.k * cx, view.y - view.k * cy, view.k * rx, view.k * ry, -angle, 0, 2 * Math.PI);
        pen.strokeStyle = this.colour(category);
        pen.lineWidth = 1 + 2 * Math.sqrt(weight);
        pen.globalAlpha = share * (front ? 0.9 : 0.25);
        pen.stroke();
        pen.globalAlpha = share * (front ? 0.08 : 0.02);
        pen.fillStyle = pen.strokeStyle;
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
  }

  // ---- finding and choosing points

  pick(x, y) {
    if (this.move || !this.size) return -1;
    const { size, screen } = this;
    this.grid ??= new Grid(size.width, size.height, screen.x, screen.y, screen.alpha);
    return this.grid.nearest(x, y, REACH);
  }

  hover(i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.stage.classList.toggle("over", i >= 0);
    this.showTip(i);
  }

  /** The thumbnail and the text of a point, beside it. A sheet is fetched when one of its points is first shown. */
  showTip(i) {
    const { thumbnail, lines } = this.parts;
    this.tipped = i;
    this.redraw("marks");
    if (i < 0) return;
    const { header, points } = this;
    const number = points.sprite(i);
    const cell = number % SHEET.cells;
    thumbnail.hidden = !header.sprites;
    if (header.sprites) {
      const name = String(Math.floor(number / SHEET.cells)).padStart(3, "0");
      const url = new URL(header.sprites.replace("{sheet}", name), document.baseURI).href;
      const [x, y] = [(cell % SHEET.row) * SHEET.side, Math.floor(cell / SHEET.row) * SHEET.side];
      thumbnail.style.backgroundImage = `url("${url}")`;
      thumbnail.style.backgroundPosition = `${-x}px ${-y}px`;
    }
    lines.replaceChildren(...this.describe(i).map(({ title, text, ringed }) => {
      const line = document.createElement("div");
      if (title) line.append(`${title} `);
      const value = document.createElement("b");
      value.textContent = text;
      line.append(value);
      line.classList.toggle("ringed", Boolean(ringed));
      return line;
    }));
  }

  placeTip() {
    const { parts: { tip }, screen, tipped } = this;
    tip.hidden = tipped < 0 || this.move || screen.alpha[tipped] === 0;
    if (tip.hidden) return;
    const [x, y] = [screen.x[tipped], screen.y[tipped]];
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const left = x + 16 + width < this.width ? x + 16 : x - 16 - width;
    const top = clamp(y + 16, 4, Math.max(4, this.height - height - 4));
    tip.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
  }

  describe(i) {
    const lines = this.points.lines(this.frame, i).map(([title, text]) => ({ title, text }));
    if (this.points.ringed(this.frame, i)) lines.push({ title: "", text: `○ ${this.header.ring_name}`, ringed: true });
    return lines;
  }

  /** Move the keyboard's mark to a point, bring it into view and speak it. */
  focus(i) {
    this.focused = i;
    if (i < 0) return;
    const { x, y } = this.screen;
    const inward = (value, limit) => clamp(value, 40, limit - 40) - value;
    const [dx, dy] = [inward(x[i], this.width), inward(y[i], this.height)];
    if (dx || dy) {
      this.pan(dx, dy);
      this.project();
    }
    this.showTip(i);
    const text = this.describe(i).map(({ title, text }) => `${title} ${text}`.trim());
    this.parts.spoken.textContent = [...text, `number ${this.points.id(i)}`].join(", ");
  }

  /** The nearest point in the direction (dx, dy), far enough away to be seen to move; −1 where there is none. */
  neighbour(from, dx, dy) {
    const { x, y, alpha } = this.screen;
    const step = Math.max(8, 2 * this.radius());
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.points.n; i++) {
      if (alpha[i] === 0) continue;
      const along = (x[i] - x[from]) * dx + (y[i] - y[from]) * dy;
      const aside = Math.abs((x[i] - x[from]) * dy - (y[i] - y[from]) * dx);
      if (along < step || aside > along) continue;
      const cost = along + 2 * aside;
      if (cost < least) [best, least] = [i, cost];
    }
    return best;
  }

  /** The point nearest the middle of the stage. */
  central() {
    const { x, y, alpha } = this.screen;
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.points.n; i++) {
      if (alpha[i] === 0) continue;
      const distance = Math.hypot(x[i] - this.width / 2, y[i] - this.height / 2);
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  click(i) {
    if (i < 0 || !this.header.selectable) return;
    this.clicked = this.focused = i;
    this.redraw("marks");
    this.trigger("click", this.points.id(i));
  }

  /** Select the points that `wanted` says yes to; null clears. */
  select(wanted) {
    const chosen = wanted && Uint8Array.from({ length: this.points.n }, (_, i) => (wanted(i) ? 1 : 0));
    this.selected = chosen && chosen.includes(1) ? chosen : null;
    this.showCaption();
    this.redraw();
  }

  selectedIds() {
    const ids = [];
    if (this.selected) for (let i = 0; i < this.points.n; i++) if (this.selected[i]) ids.push(this.points.id(i));
    return ids;
  }

  closeLasso() {
    const outline = this.lasso;
    this.lasso = null;
    const { x, y, alpha } = this.screen;
    this.select(outline.length > 2 ? (i) => alpha[i] > 0 && inside(outline, x[i], y[i]) : null);
    this.report("selection", this.selectedIds());
  }

  clear() {
    const selected = this.selected !== null;
    this.lasso = null;
    this.clicked = -1;
    this.setLassoMode(false);
    this.select(null);
    if (selected) this.report("selection", []);
  }

  setLassoMode(on) {
    this.lassoMode = on && this.header.selectable;
    this.stage.classList.toggle("lasso", this.lassoMode);
    this.stage.querySelector("[data-tool=lasso]").setAttribute("aria-pressed", String(this.lassoMode));
  }

  // ---- legend

  buildLegend() {
    const items = this.header.names.map((name, category) => {
      const item = document.createElement("button");
      item.type = "button";
      item.title = name;
      item.append(span("swatch"), span("name", name));
      item.addEventListener("click", () => {
        this.highlight = this.highlight === category ? null : category;
        this.showLegend();
        this.showCaption();
        this.redraw();
      });
      return item;
    });
    if (this.points.arrays.rings) {
      const ring = document.createElement("div");
      ring.className = "ring";
      ring.append(span("swatch"), span("text", this.header.ring_name));
      items.push(ring);
    }
    const focus = [...this.parts.legend.children].indexOf(this.root.getRootNode().activeElement);
    this.parts.legend.replaceChildren(...items);
    if (focus >= 0) items[focus]?.focus();
    this.showLegend();
  }

  showLegend() {
    this.parts.legend.querySelectorAll("button").forEach((item, category) => {
      item.firstElementChild.style.background = this.colour(category);
      item.setAttribute("aria-pressed", String(this.highlight === category));
    });
  }

  // ---- events

  listen() {
    const { stage, parts } = this;
    const on = (target, type, act, options = {}) =>
      target.addEventListener(type, act, { signal: this.listening.signal, ...options });
    const own = (act) => (event) => {
      if (event.target.closest(".tools")) this.hover(-1); // the tools lie on the stage, but are no part of the map
      else act(event, ...this.placeOf(event));
    };
    this.pointers = new Map();
    on(stage, "pointerdown", own((event, x, y) => this.press(event, x, y)));
    on(stage, "pointermove", own((event, x, y) => this.drag(event, x, y)));
    on(stage, "pointerup", own((event, x, y) => this.release(event, x, y)));
    on(stage, "pointercancel", (event) => this.abandon(event));
    on(stage, "pointerleave", () => this.hover(-1));
    on(stage, "wheel", (event) => {
      event.preventDefault();
      const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
      this.hover(-1);
      this.zoom(Math.exp(-clamp(pixels, -400, 400) * 0.002), ...this.placeOf(event));
    }, { passive: false });
    on(stage, "keydown", (event) => this.key(event));
    on(stage, "focus", () => {
      if (!stage.matches(":focus-visible")) return;
      this.focus(this.focused >= 0 && this.screen.alpha[this.focused] ? this.focused : this.central());
    });
    on(stage, "blur", () => this.showTip(this.hovered));
    on(stage.querySelector(".tools"), "click", (event) => this.tool(event.target.closest("button")?.dataset.tool));
    on(parts.play, "click", () => this.play(!this.playing));
    on(parts.slider, "input", () => {
      this.playing = false;
      clearTimeout(this.holding);
      this.goTo(Number(parts.slider.value));
    });
  }

  placeOf(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left - this.stage.clientLeft, event.clientY - box.top - this.stage.clientTop];
  }

  press(event, x, y) {
    if (event.button !== 0) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x, y, moved: false });
    this.showTip(-1);
    this.hovered = -1;
    if (this.header.selectable && (this.lassoMode || event.shiftKey)) this.lasso = [[x, y]];
  }

  drag(event, x, y) {
    const held = this.pointers.get(event.pointerId);
    if (!held) {
      this.hover(this.pick(x, y));
      return;
    }
    const [dx, dy] = [x - held.x, y - held.y];
    if (!held.moved && Math.hypot(dx, dy) < 4) return;
    if (this.lasso) {
      this.lasso.push([x, y]);
      this.redraw("marks");
    } else if (this.pointers.size === 2) {
      this.pinch(event.pointerId, held, x, y);
    } else {
      this.stage.classList.add("dragging");
      this.pan(dx, dy);
    }
    Object.assign(held, { x, y, moved: true });
  }

  pinch(id, held, x, y) {
    const [[, other]] = [...this.pointers].filter(([key]) => key !== id);
    const spread = (at) => Math.max(1, Math.hypot(at.x - other.x, at.y - other.y));
    this.zoom(spread({ x, y }) / spread(held), (x + other.x) / 2, (y + other.y) / 2);
  }

  release(event, x, y) {
    const held = this.pointers.get(event.pointerId);
    this.abandon(event, this.lasso);
    if (!held) return;
    if (this.lasso) this.closeLasso();
    else if (!held.moved) this.click(this.pick(x, y));
  }

  abandon(event, lasso = null) {
    this.pointers.delete(event.pointerId);
    this.stage.classList.remove("dragging");
    this.lasso = lasso;
    this.redraw("marks");
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.stage) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.step(...arrow);
    else if (event.key === "Enter" || event.key === " ") this.click(this.focused);
    else if (event.key === "Escape") this.clear();
    else if (event.key === "+" || event.key === "=") this.zoomAtFocus(1.4);
    else if (event.key === "-") this.zoomAtFocus(1 / 1.4);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  step(dx, dy) {
    if (this.move) return;
    const from = this.focused >= 0 && this.screen.alpha[this.focused] ? this.focused : -1;
    const next = from < 0 ? this.central() : this.neighbour(from, dx, dy);
    if (next >= 0) this.focus(next);
  }

  zoomAtFocus(factor) {
    const i = this.focused;
    if (i >= 0 && this.screen.alpha[i]) this.zoom(factor, this.screen.x[i], this.screen.y[i]);
    else this.zoom(factor);
  }

  tool(name) {
    if (name === "lasso") this.setLassoMode(!this.lassoMode);
    else if (name === "in") this.zoom(1.5);
    else if (name === "out") this.zoom(1 / 1.5);
    else if (name === "reset") this.fit();
    else if (name === "full") this.fullScreen();
    else if (name === "image") this.save();
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen?.().catch(() => {}); // refused: the map simply stays as it is
  }

  // ---- picture to keep

  save() {
    const canvas = this.picture();
    canvas.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.header.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "map"}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  }

  /** The map as it is on screen, with title, caption and legend. */
  picture() {
    const { size, theme, header } = this;
    const [edge, top, side] = [16, 60, 190];
    const canvas = document.createElement("canvas");
    canvas.width = (size.width + side + 3 * edge) * size.ratio;
    canvas.height = (size.height + top + edge) * size.ratio;
    const pen = canvas.getContext("2d");
    pen.scale(size.ratio, size.ratio);
    pen.fillStyle = `rgb(${theme.ground})`;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = theme.ink;
    pen.font = `600 18px ${theme.font}`;
    pen.fillText(header.title, edge, 28);
    pen.font = `13px ${theme.font}`;
    pen.fillText(this.summary(), edge, 48);
    for (const layer of [this.raster.canvas, this.marks.canvas]) {
      pen.drawImage(layer, edge, top, size.width, size.height);
    }
    this.drawLegend(pen, size.width + 2 * edge, top, side);
    return canvas;
  }

  drawLegend(pen, left, top, width) {
    const { header, theme, highlight } = this;
    const room = Math.max(1, Math.floor(this.size.height / 22) - 2);
    const all = header.names.map((name, category) => ({ name, colour: this.colour(category) }));
    const one = highlight !== null && [all[highlight], { name: "others", colour: theme.palette.grey }];
    const items = one || all.slice(0, room);
    if (!one && all.length > room) items.push({ name: `and ${all.length - room} more`, colour: theme.palette.grey });
    if (this.points.arrays.rings) items.push({ name: header.ring_name, ring: true });
    items.forEach(({ name, colour, ring }, row) => {
      const y = top + 12 + 22 * row;
      pen.beginPath();
      pen.arc(left + 6, y, ring ? 5 : 5.5, 0, 2 * Math.PI);
      Object.assign(pen, { fillStyle: colour ?? theme.ink, strokeStyle: theme.ink, lineWidth: 1.5 });
      if (ring) pen.stroke();
      else pen.fill();
      pen.fillStyle = theme.ink;
      pen.fillText(shorten(pen, name, width - 20), left + 18, y + 4.5);
    });
  }
}

function span(name, text = "") {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  return element;
}

function shorten(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end)}…`;
}

/** Whether (x, y) lies inside the closed outline: an odd number of its sides cross the ray to the right. */
function inside(outline, x, y) {
  let odd = false;
  for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [outline[i], outline[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}
