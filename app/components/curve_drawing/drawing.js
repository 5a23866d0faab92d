/*
 * A chart of a few points that a reader moves: each by itself, or all in one stroke across. With a run's own curve the
 * points stand still, and that curve draws itself over them.
 *
 * Every point is a slider for the keyboard and for screen readers. A Drawing belongs to its element, so a point that is
 * being dragged outlives the reruns of the script.
 */

import { make } from "../browser/make.js";
import { line, shape } from "../browser/svg.js";
import { readTheme } from "../point_map/js/theme.js";

const SMALL = { height: 320, left: 58, right: 20, top: 32, bottom: 50 };
const LARGE = { height: 460, left: 92, right: 30, top: 46, bottom: 78 };
const REST = 150; // milliseconds after the last key until the page is told
const HINT = "Drag the points, or draw the whole curve in one stroke.";
const KEYS = " With keys: Tab to a point, then arrows.";

/**
 * What `curve_drawing` in `component.py` says; points in percent.
 * @typedef {Object} Data
 * @property {?number[]} drawn null before anything was drawn
 * @property {number} count
 * @property {boolean} fixed whether nothing can be moved
 * @property {boolean} large whether it is looked at from the back of a room
 * @property {?(?number)[]} told the run's own curve
 * @property {string} across name of the axis
 * @property {string} upwards … and of the other
 * @property {import("../point_map/js/data.js").Header["palette"]} palettes
 */
/** @typedef {{x: number, value: number}} Place where a pointer is: in pixels across, and in percent upwards */

/** @type {WeakMap<Element, Drawing>} */
const drawings = new WeakMap();

/**
 * @param {Object} call Streamlit's
 * @param {Data} call.data
 * @param {HTMLElement} call.parentElement
 * @param {(name: string, value: unknown) => void} call.setTriggerValue
 */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {?HTMLElement} */
  let root = parentElement.querySelector(".drawing");
  if (!root) parentElement.append((root = make("section", "drawing")));
  const drawing = drawings.get(root) ?? new Drawing(root);
  drawings.set(root, drawing);
  drawing.send = (points) => setTriggerValue("drawn", points);
  drawing.update(data);
  return () => {
    drawing.destroy();
    drawings.delete(root);
    root.remove();
  };
}

class Drawing {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.dragged = null; // the last Place of a pointer that draws
    this.later = 0; // the timer after a key; 0 while none runs
    this.sent = ""; // what the page was told last and has not said back
    this.size = SMALL;
    this.chart = shape("svg", { class: "chart" });
    this.hint = make("p", "hint", HINT);
    this.hint.append(make("span", "keys", KEYS));
    root.append(this.chart, this.hint);
    this.chart.addEventListener("pointerdown", (event) => this.press(event));
    this.chart.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) this.chart.addEventListener(end, () => this.lift());
    this.chart.addEventListener("click", (event) => this.tap(event));
    this.watch = new ResizeObserver(() => this.data && this.root.clientWidth !== this.width && this.build());
    this.watch.observe(root);
  }

  destroy() {
    clearTimeout(this.later);
    this.watch.disconnect();
  }

  /** @param {Data} data */
  update(data) {
    const said = JSON.stringify(data.drawn);
    // What the page says while the reader goes on is older than what they see.
    const lags = this.dragged !== null || this.later > 0 || (this.sent && said !== this.sent);
    if (said === this.sent) this.sent = "";
    if (lags && this.points?.length === data.count) return;
    const { drawn, ...rest } = data;
    const anew = JSON.stringify(rest) !== this.known;
    this.known = JSON.stringify(rest);
    this.data = data;
    this.drawn = drawn !== null;
    this.points = drawn ? [...drawn] : Array(data.count).fill(50);
    const { palette } = readTheme(this.root, data.palettes);
    this.root.style.setProperty("--mine", palette.accent);
    this.root.style.setProperty("--told", palette.colours[0]);
    if (anew) this.build();
    else this.place();
  }

  /** Draw everything for the present width. */
  build() {
    const { fixed, large, told, across, upwards, count } = this.data;
    this.root.classList.toggle("large", large);
    this.size = large ? LARGE : SMALL;
    const { height, left, right, top, bottom } = this.size;
    this.width = this.root.clientWidth;
    this.chart.setAttribute("width", String(this.width));
    this.chart.setAttribute("height", String(height));
    this.hint.hidden = fixed;
    this.mine = shape("path", { class: "line mine" });
    this.handles = fixed ? [] : this.points.map((_, at) => this.handle(at));
    const ticks = [...Array(count).keys()].map((at) => line(this.x(at), height - bottom / 2, String(at + 1), "middle"));
    const middle = (top + height - bottom) / 2;
    this.chart.replaceChildren(
      ...[0, 25, 50, 75, 100].flatMap((value) => this.level(value)),
      ...ticks,
      line((left + this.width - right) / 2, height - 6, across, "middle"),
      shape("g", { transform: `rotate(-90 ${left / 5} ${middle})` }, line(left / 5, middle, upwards, "middle", 60)),
      ...(fixed && !this.drawn ? [] : [this.mine]),
      ...this.handles,
      ...(fixed && this.drawn ? this.points.map((value, at) => this.dot(at, value, "mine")) : []),
      ...(told ? this.run(told) : []),
    );
    if (fixed) {
      this.chart.setAttribute("role", "img");
      this.chart.setAttribute("aria-label", this.words());
    }
    this.place();
  }

  /** Move the points to where they are. */
  place() {
    this.root.classList.toggle("untouched", !this.drawn);
    this.mine.setAttribute("d", this.path(this.points));
    this.handles.forEach((handle, at) => {
      const value = this.points[at];
      handle.setAttribute("transform", `translate(${this.x(at)} ${this.y(value)})`);
      handle.setAttribute("aria-valuenow", String(value));
      handle.setAttribute("aria-valuetext", `${value}%`);
      handle.lastChild.textContent = `${value}%`;
    });
  }

  /** @param {number} value in percent */
  level(value) {
    const y = this.y(value);
    return [
      shape("path", { class: "grid", d: `M${this.size.left} ${y}H${this.width - this.size.right}` }),
      line(this.size.left - 8, y + 5, `${value}%`, "end"),
    ];
  }

  /** @param {number} at */
  handle(at) {
    const handle = shape(
      "g",
      {
        class: "handle", tabindex: 0, role: "slider", "aria-label": `${this.data.across} ${at + 1}`,
        "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical",
      },
      shape("circle", { class: "reach", r: 24 }),
      shape("circle", { class: "grip", r: 9 }),
      line(0, -this.size.top / 2, "", "middle value"),
    );
    handle.addEventListener("keydown", (event) => this.key(event, at));
    // Where `touch-action` is not known inside a drawing, this keeps the page from scrolling under the finger.
    handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    return handle;
  }

  /** The run's own curve, which comes in from the left. @param {(?number)[]} told */
  run(told) {
    const dots = told.flatMap((value, at) => {
      if (value === null) return [];
      return [
        shape(
          "g",
          { class: "arrives", style: `--turn: ${at / Math.max(1, told.length - 1)}` },
          this.dot(at, value, "told"),
          line(this.x(at), this.y(value) - this.size.top / 2.5, `${Math.round(value)}%`, "middle told"),
        ),
      ];
    });
    return [shape("path", { class: "line told", pathLength: 1, d: this.path(told) }), ...dots];
  }

  /** @param {number} at @param {number} value @param {string} name of the class */
  dot(at, value, name) {
    return shape("circle", { class: `dot ${name}`, cx: this.x(at), cy: this.y(value), r: 6 });
  }

  /** @param {(?number)[]} values */
  path(values) {
    let pen = "M";
    return values
      .map((value, at) => {
        if (value === null) return (pen = "M"), "";
        const part = `${pen}${this.x(at)} ${this.y(value)}`;
        pen = "L";
        return part;
      })
      .join("");
  }

  words() {
    const said = (values) => values.map((value) => (value === null ? "none" : `${Math.round(value)}%`)).join(", ");
    const mine = this.drawn ? `Your prediction: ${said(this.points)}. ` : "";
    return `${mine}The run: ${said(this.data.told ?? [])}.`;
  }

  /** Pixels across. @param {number} at */
  x(at) {
    const { left, right } = this.size;
    const inside = this.width - left - right - 48;
    return Math.round(left + 24 + (this.data.count > 1 ? (at * inside) / (this.data.count - 1) : inside / 2));
  }

  /** Pixels downwards. @param {number} value in percent */
  y(value) {
    const { height, top, bottom } = this.size;
    return Math.round(top + (1 - value / 100) * (height - top - bottom));
  }

  /** @param {PointerEvent} event @returns {Place} */
  where(event) {
    const box = this.chart.getBoundingClientRect();
    const { height, top, bottom } = this.size;
    const share = 1 - (event.clientY - box.top - top) / (height - top - bottom);
    return { x: event.clientX - box.left, value: Math.round(100 * Math.max(0, Math.min(1, share))) };
  }

  /** The point nearest to a place. @param {number} x */
  nearest(x) {
    const at = ((x - this.x(0)) / (this.x(this.data.count - 1) - this.x(0) || 1)) * (this.data.count - 1);
    return Math.max(0, Math.min(this.data.count - 1, Math.round(at)));
  }

  /** @param {PointerEvent} event */
  press(event) {
    const handle = event.target.closest(".handle");
    // A finger beside the points scrolls the page, or taps.
    this.tapped = !handle && event.pointerType === "touch";
    if (this.data.fixed || this.tapped || event.button !== 0) return;
    event.preventDefault();
    this.chart.setPointerCapture(event.pointerId);
    this.dragged = this.where(event);
    this.handles[this.nearest(this.dragged.x)].focus({ preventScroll: true });
    this.stroke(this.dragged, this.dragged);
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (!this.dragged) return;
    const to = this.where(event);
    this.stroke(this.dragged, to);
    this.dragged = to;
  }

  lift() {
    if (!this.dragged) return;
    this.dragged = null;
    this.tell();
  }

  /** @param {PointerEvent} event */
  tap(event) {
    if (!this.tapped || this.data.fixed) return;
    this.tapped = false;
    const place = this.where(event);
    this.stroke(place, place);
    this.tell();
  }

  /** Put the points that a pointer passes where it passes them. @param {Place} from @param {Place} to */
  stroke(from, to) {
    const [first, last] = [this.nearest(from.x), this.nearest(to.x)];
    const way = Math.sign(last - first);
    for (let at = first + way; way && at !== last; at += way) {
      const share = Math.max(0, Math.min(1, (this.x(at) - from.x) / (to.x - from.x)));
      this.points[at] = Math.round(from.value + share * (to.value - from.value));
    }
    this.points[last] = to.value;
    this.drawn = true;
    this.place();
  }

  /** @param {KeyboardEvent} event @param {number} at */
  key(event, at) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const now = Math.round(this.points[at]);
    const to = {
      ArrowUp: now + step, ArrowRight: now + step, ArrowDown: now - step, ArrowLeft: now - step,
      PageUp: now + 10, PageDown: now - 10, Home: 0, End: 100,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // in a presenter's view arrows turn the page
    this.points[at] = Math.max(0, Math.min(100, to));
    this.drawn = true;
    this.place();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.tell(), REST);
  }

  tell() {
    clearTimeout(this.later);
    this.later = 0;
    const points = this.points.map(Math.round);
    this.sent = JSON.stringify(points);
    this.send(points);
  }
}
