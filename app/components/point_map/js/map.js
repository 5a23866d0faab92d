/*
 * A map of images as points, drawn on a canvas: the parts in the other modules, put together.
 *
 * Streamlit calls the default export at every rerun with the same element. A PointMap belongs to the element, so view,
 * selection, highlight and play state outlive reruns; only the data and the way to answer are replaced. Names that come
 * with the data reach the page as text, never as HTML.
 */

import { Camera } from "./camera.js";
import { GREY, summary } from "./caption.js";
import { readPayload } from "./data.js";
import { drawMarks, drawPoints, radius } from "./drawing.js";
import { clamp, inside } from "./geometry.js";
import { label, press, spoken } from "./keyboard.js";
import { Legend } from "./legend.js";
import { download, picture } from "./picture.js";
import { Player } from "./player.js";
import { listenToPointers, Pointers } from "./pointers.js";
import { Raster } from "./raster.js";
import { Screen } from "./screen.js";
import { readTheme } from "./theme.js";
import { Tip } from "./tip.js";

const REACH = 12; // pixels from a point that still count as on it
const FINGER = 24; // the same for a finger
const NARROW = 600; // pixels: on a stage below this width nothing is placed under the tools
const TOOLS = 48; // pixels that they take
const MAX_PIXELS = 6e6;
const NO_SIZE = { width: 0, height: 0, ratio: 1 }; // before the first layout

/** Points that are followed by their ids when the data change. @type {("clicked" | "focused" | "hovered" | "tipped")[]} */
const MARKED = ["clicked", "focused", "hovered", "tipped"];

/** @type {WeakMap<Element, PointMap>} */
const maps = new WeakMap();

/**
 * What to take up again when the person comes back to the page, by the component's key.
 * @type {Map<string, {camera: Camera, frame: number, highlight: ?number, place: string}>}
 */
const remembered = new Map();

/**
 * @param {Object} call Streamlit's
 * @param {Uint8Array} call.data
 * @param {ParentNode} call.parentElement
 * @param {(name: string, value: unknown) => void} call.setStateValue
 * @param {(name: string, value: unknown) => void} call.setTriggerValue
 */
export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".point-map"));
  const payload = readPayload(data);
  const known = maps.get(root);
  const map = known ?? new PointMap(root, payload);
  map.report = setStateValue;
  map.trigger = setTriggerValue;
  known?.update(payload);
  maps.set(root, map);
  return () => {
    map.destroy();
    maps.delete(root);
  };
}

/** @typedef {{header: import("./data.js").Header, points: import("./data.js").Points}} Payload */

class PointMap {
  /** @param {HTMLElement} root the `.point-map` @param {Payload} payload */
  constructor(root, { header, points }) {
    /** @param {string} selector @returns {any} */
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    /** @type {HTMLElement} */
    this.stage = find(".stage");
    /** @type {CanvasRenderingContext2D} */
    this.marks = find(".marks").getContext("2d");
    this.raster = new Raster(find(".points"));
    this.tip = new Tip(find(".tip"));
    this.legend = new Legend(find(".legend"), (category) => this.toggleHighlight(category));
    this.parts = { time: find(".time"), play: find(".play"), slider: find(".slider"), frame: find(".frame") };
    this.parts = { ...this.parts, caption: find(".caption"), spoken: find(".spoken"), lasso: find("[data-tool=lasso]") };
    this.parts = { ...this.parts, clear: find(".clear") };

    /** @type {(name: string, value: unknown) => void} state that Python sees */
    this.report = () => {};
    /** @type {(name: string, value: unknown) => void} events that Python sees once */
    this.trigger = () => {};
    this.header = header;
    this.points = points;
    this.screen = new Screen(points.n);
    this.theme = readTheme(root, header.palette);
    this.camera = new Camera();
    this.player = new Player({
      changed: () => this.showMove(),
      rested: () => this.reportFrame(),
      still: () => window.matchMedia("(prefers-reduced-motion: reduce)").matches,
    });
    /** @type {?number} */
    this.highlight = null;
    /** @type {?Uint8Array} one per point */
    this.selected = null;
    this.hovered = this.focused = this.clicked = -1;
    this.tipped = -1; // whose thumbnail and text are shown
    this.lassoMode = false;
    /** @type {?number} the frame that Python was last told */
    this.reported = null;
    this.size = NO_SIZE;
    this.stale = { points: true, marks: true };
    /** @type {number | undefined} the next drawing, as the browser numbers it */
    this.waiting = undefined;

    this.pointers = new Pointers({
      hover: (x, y) => this.hover(this.pick(x, y)),
      leave: () => this.hover(-1),
      press: () => {
        this.hovered = -1;
        this.showTip(-1);
      },
      pan: (dx, dy) => this.pan(dx, dy),
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      click: (x, y) => this.click(this.pick(x, y)),
      tap: (x, y) => this.tap(x, y),
      hold: (x, y) => this.hold(x, y),
      pickOut: (x, y) => this.pickOut(x, y),
      outline: () => this.redraw("marks"),
      lasso: (corners) => this.closeLasso(corners),
    });

    this.listening = new AbortController();
    this.resizing = new ResizeObserver(() => this.resize());
    this.resizing.observe(this.stage);
    this.listen();
    this.start();
    this.showData();
  }

  destroy() {
    const { camera, player, highlight, header } = this;
    remembered.set(header.key, { camera, frame: player.frame, highlight, place: header.place });
    this.listening.abort();
    this.resizing.disconnect();
    if (this.waiting !== undefined) cancelAnimationFrame(this.waiting);
    this.player.stop();
  }

  // ---- data in

  /** Show other data; what the person has chosen and where the person looks stays. @param {Payload} payload */
  update({ header, points }) {
    const before = this.header;
    const chosen = this.selected && new Set(this.selectedIds());
    const marked = MARKED.map((name) => (this[name] >= 0 ? this.points.id(this[name]) : null));
    this.header = header;
    this.points = points;
    this.screen = new Screen(points.n);
    this.theme = readTheme(this.root, header.palette);
    this.follow(before);
    this.select(chosen && ((i) => chosen.has(points.id(i))));
    marked.forEach((id, k) => (this[MARKED[k]] = id === null ? -1 : points.row(id)));
    if (before.place !== header.place) [this.size, this.camera.moved] = [NO_SIZE, false];
    this.showData();
  }

  showData() {
    const { header, points } = this;
    this.root.style.setProperty("--height", `${header.height}px`);
    this.stage.setAttribute("aria-label", label(header));
    this.parts.lasso.hidden = !header.selectable;
    this.legend.build(header.names, points.arrays.rings ? header.ring_name : null);
    this.legend.show(this.highlight, this.theme.palette);
    this.showTime();
    this.showTip(this.tipped);
    this.resize();
    this.redraw();
  }

  /** Begin with what Python asks for, or where the person was before leaving the page. */
  start() {
    const { header, player } = this;
    const memory = remembered.get(header.key);
    player.limit(header.frames);
    player.jump(header.frame);
    this.highlight = header.highlight;
    if (!memory || memory.place !== header.place) return;
    this.camera = memory.camera;
    player.jump(memory.frame);
    if (memory.highlight === null || memory.highlight < header.names.length) this.highlight = memory.highlight;
  }

  /**
   * Take the frame and the highlight that Python asks for, but only where it asks for something new.
   * @param {import("./data.js").Header} before
   */
  follow(before) {
    const { header, player } = this;
    if (before.highlight !== header.highlight || before.names.join("\n") !== header.names.join("\n")) {
      this.highlight = header.highlight;
    }
    player.limit(header.frames);
    if (before.frame !== header.frame && header.frame !== this.reported) player.goTo(header.frame);
  }

  // ---- view

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const ratio = Math.min(window.devicePixelRatio || 1, Math.sqrt(MAX_PIXELS / (width * height)));
    const { size, camera } = this;
    if (size.width === width && size.height === height && size.ratio === ratio) return;
    if (size.width && camera.moved) camera.pan((width - size.width) / 2, (height - size.height) / 2);
    this.size = { width, height, ratio };
    this.raster.resize(Math.round(width * ratio), Math.round(height * ratio));
    Object.assign(this.marks.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    if (!camera.moved) this.showAll();
    this.stale.points = true;
    this.draw(); // at once: a resized canvas is empty until it is drawn
  }

  /** Show the whole map. */
  showAll() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.camera.showAll(this.header.extent, width < NARROW ? width - TOOLS : width, height);
    this.redraw();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.camera.pan(dx, dy);
    this.redraw();
  }

  /** @param {number} factor @param {number} x @param {number} y */
  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    this.camera.zoom(factor, x, y);
    this.redraw();
  }

  // ---- task time

  showMove() {
    this.hover(-1);
    this.showTime();
    this.redraw();
  }

  reportFrame() {
    const { header, player } = this;
    if (!header.report_frame || player.frame === (this.reported ?? header.frame)) return;
    this.reported = player.frame;
    this.report("frame", player.frame);
  }

  showTime() {
    const { header, player } = this;
    const { time, play, slider, frame } = this.parts;
    const name = header.frame_names[player.frame];
    time.hidden = header.frames < 2;
    slider.max = header.frames - 1;
    slider.value = player.frame;
    slider.setAttribute("aria-valuetext", name);
    frame.textContent = name;
    play.classList.toggle("playing", player.playing);
    play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
    play.lastElementChild.textContent = player.playing ? "Pause" : "Play";
    this.showCaption();
  }

  // ---- drawing

  /** Draw at the next frame of the screen. @param {"points" | "marks"} what has changed */
  redraw(what = "points") {
    this.stale[what] = true;
    this.waiting ??= requestAnimationFrame((now) => {
      this.waiting = undefined;
      if (this.player.tick(now)) this.redraw();
      this.draw();
    });
  }

  draw() {
    if (!this.size.width) return;
    if (this.stale.points) {
      this.screen.project(this.points, this.camera, this.player.clock);
      drawPoints(this.raster, this);
    }
    const { clicked, hovered } = this;
    const focused = this.stage.matches(":focus") ? this.focused : -1;
    drawMarks(this.marks, this, { clicked, hovered, focused }, this.pointers.corners);
    this.placeTip();
    this.stale = { points: this.player.moving, marks: false };
  }

  // ---- finding and choosing points

  /** The point at a place; −1 where there is none. @param {number} x @param {number} y @param {number} reach */
  pick(x, y, reach = REACH) {
    return this.player.moving || !this.size.width ? -1 : this.screen.nearest(x, y, reach, this.size);
  }

  /** @param {number} i */
  hover(i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.stage.classList.toggle("over", i >= 0);
    this.showTip(i);
  }

  /** @param {number} i */
  showTip(i) {
    this.tipped = i;
    if (i >= 0) this.tip.fill(this.points, this.player.frame, i);
    this.redraw("marks");
  }

  placeTip() {
    const { screen, tipped } = this;
    if (this.player.moving || !screen.shows(tipped)) this.tip.hide();
    else this.tip.place(screen.x[tipped], screen.y[tipped], this.size);
  }

  /** Move the keyboard's mark to a point, bring it into view and speak it. @param {number} i */
  focus(i) {
    this.focused = i;
    if (i < 0) return;
    const { x, y } = this.screen;
    /** @param {number} value @param {number} limit */
    const inward = (value, limit) => clamp(value, 40, limit - 40) - value;
    const [dx, dy] = [inward(x[i], this.size.width), inward(y[i], this.size.height)];
    if (dx || dy) {
      this.pan(dx, dy);
      this.screen.project(this.points, this.camera, this.player.clock);
    }
    this.showTip(i);
    this.parts.spoken.textContent = spoken(this.points, this.player.frame, i);
  }

  /** The point nearest the middle of the stage. */
  central() {
    return this.screen.closest(this.size.width / 2, this.size.height / 2);
  }

  /** Move the focus in a direction. @param {number} dx @param {number} dy */
  step(dx, dy) {
    if (this.player.moving) return;
    const { screen, focused } = this;
    const far = Math.max(8, 2 * radius(this.points.n, this.camera));
    const next = screen.shows(focused) ? screen.neighbour(focused, dx, dy, far) : this.central();
    if (next >= 0) this.focus(next);
  }

  /** @param {number} factor */
  zoomAtFocus(factor) {
    const { screen, focused } = this;
    if (screen.shows(focused)) this.zoom(factor, screen.x[focused], screen.y[focused]);
    else this.zoom(factor);
  }

  /** @param {number} i */
  click(i) {
    if (i < 0 || !this.header.selectable) return;
    this.clicked = this.focused = i;
    this.redraw("marks");
    this.trigger("click", this.points.id(i));
  }

  /** A finger cannot hover, so a tap shows what a point is, and opens it. @param {number} x @param {number} y */
  tap(x, y) {
    const i = this.pick(x, y, FINGER);
    this.showTip(i);
    this.click(i);
  }

  /** Show the point under a finger that rests; whether it may select. @param {number} x @param {number} y */
  hold(x, y) {
    this.showTip(this.pick(x, y, FINGER));
    if (this.header.selectable) navigator.vibrate?.(10);
    return this.header.selectable;
  }

  /** Add a point to the selection, or take it out. @param {number} x @param {number} y */
  pickOut(x, y) {
    const i = this.pick(x, y, FINGER);
    if (i < 0) return;
    const chosen = this.selected ?? new Uint8Array(this.points.n);
    this.select((k) => (k === i ? !chosen[k] : chosen[k] === 1));
    this.report("selection", this.selectedIds());
  }

  /** Select the points that `wanted` says yes to; null clears. @param {?(i: number) => boolean} wanted */
  select(wanted) {
    const chosen = wanted && Uint8Array.from({ length: this.points.n }, (_, i) => (wanted(i) ? 1 : 0));
    this.selected = chosen?.includes(1) ? chosen : null;
    this.showCaption();
    this.redraw();
  }

  selectedIds() {
    const ids = [];
    if (this.selected) for (let i = 0; i < this.points.n; i++) if (this.selected[i]) ids.push(this.points.id(i));
    return ids;
  }

  /** @param {number[][]} corners */
  closeLasso(corners) {
    const { x, y } = this.screen;
    this.select(corners.length > 2 ? (i) => this.screen.shows(i) && inside(corners, x[i], y[i]) : null);
    this.report("selection", this.selectedIds());
  }

  clear() {
    const selected = this.selected !== null;
    this.pointers.dropLasso();
    this.clicked = -1;
    this.setLassoMode(false);
    this.select(null);
    if (selected) this.report("selection", []);
  }

  /** @param {boolean} on */
  setLassoMode(on) {
    this.lassoMode = on && this.header.selectable;
    this.stage.classList.toggle("lasso", this.lassoMode);
    this.parts.lasso.setAttribute("aria-pressed", String(this.lassoMode));
  }

  /** @param {number} category */
  toggleHighlight(category) {
    this.highlight = this.highlight === category ? null : category;
    this.legend.show(this.highlight, this.theme.palette);
    this.showCaption();
    this.redraw();
  }

  // ---- words

  summary() {
    return summary(this.points, this.player.frame, this.selectedIds().length);
  }

  showCaption() {
    const grey = this.theme.palette.accent !== null && this.highlight === null;
    this.parts.caption.textContent = grey ? `${this.summary()} · ${GREY}` : this.summary();
    this.parts.clear.hidden = this.selected === null;
  }

  // ---- events

  listen() {
    const { stage, parts } = this;
    const { signal } = this.listening;
    const beginsLasso = (/** @type {PointerEvent} */ event) =>
      this.header.selectable && (this.lassoMode || event.shiftKey);
    listenToPointers(stage, this.pointers, beginsLasso, signal);
    const keys = {
      step: (/** @type {number} */ dx, /** @type {number} */ dy) => this.step(dx, dy),
      open: () => this.click(this.focused),
      clear: () => this.clear(),
      zoom: (/** @type {number} */ factor) => this.zoomAtFocus(factor),
      showAll: () => this.showAll(),
    };
    stage.addEventListener("keydown", (event) => press(event, keys), { signal });
    stage.addEventListener("focus", () => {
      if (!stage.matches(":focus-visible")) return;
      this.focus(this.screen.shows(this.focused) ? this.focused : this.central());
    }, { signal });
    stage.addEventListener("blur", () => this.showTip(this.hovered), { signal });
    const tools = /** @type {HTMLElement} */ (stage.querySelector(".tools"));
    tools.addEventListener("click", (event) => {
      const button = /** @type {Element} */ (event.target).closest("button");
      if (button) this.tool(button.dataset.tool);
    }, { signal });
    parts.clear.addEventListener("click", () => this.clear(), { signal });
    parts.play.addEventListener("click", () => this.player.play(!this.player.playing), { signal });
    parts.slider.addEventListener("input", () => this.player.choose(Number(parts.slider.value)), { signal });
  }

  /** @param {string | undefined} name */
  tool(name) {
    if (name === "lasso") this.setLassoMode(!this.lassoMode);
    else if (name === "in") this.zoom(1.5);
    else if (name === "out") this.zoom(1 / 1.5);
    else if (name === "reset") this.showAll();
    else if (name === "full") this.fullScreen();
    else if (name === "image") this.save();
  }

  fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen?.().catch(() => {}); // refused: the map simply stays as it is
  }

  save() {
    download(picture(this, [this.raster.canvas, this.marks.canvas], this.summary()), this.header.title);
  }
}
