/* Mouse, pen and fingers on the stage: from presses and movements to hover, pan, zoom, click and lasso. */

import { clamp } from "./geometry.js";

const STILL = { mouse: 4, touch: 10 }; // pixels that a press may move and still be a click; fingers tremble
const HOLD_MS = 450; // a finger that rests so long begins a lasso

/**
 * What the map does; places are CSS pixels on the stage.
 * @typedef {Object} Acts
 * @property {(x: number, y: number) => void} hover the pointer is over a place
 * @property {() => void} leave it is over none
 * @property {() => void} press a button or finger goes down
 * @property {(dx: number, dy: number) => void} pan
 * @property {(factor: number, x: number, y: number) => void} zoom about a place
 * @property {(x: number, y: number) => void} click
 * @property {(x: number, y: number) => void} tap a click with a finger
 * @property {(x: number, y: number) => boolean} hold a finger rests; whether a lasso may begin there
 * @property {(x: number, y: number) => void} pickOut a finger that rested is lifted where it was
 * @property {() => void} outline the lasso has changed: draw it
 * @property {(corners: number[][]) => void} lasso it is closed
 */

/**
 * A button or finger that is down, and where it was last seen.
 * @typedef {{x: number, y: number, moved: boolean, touch: boolean}} Held
 */

export class Pointers {
  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    /** @type {Map<number, Held>} by the browser's number of the pointer */
    this.held = new Map();
    /** @type {?number[][]} corners of the lasso that is being drawn */
    this.corners = null;
    this.panning = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} until a resting finger begins a lasso */
    this.resting = undefined;
  }

  /**
   * @param {number} id
   * @param {number} x
   * @param {number} y
   * @param {{lasso?: boolean, touch?: boolean}} how whether it begins a lasso, and whether it is a finger
   */
  press(id, x, y, { lasso = false, touch = false } = {}) {
    this.held.set(id, { x, y, moved: false, touch });
    this.acts.press();
    clearTimeout(this.resting);
    if (this.held.size > 1) {
      this.dropLasso();
      for (const held of this.held.values()) held.moved = true; // neither finger of a pinch is a tap
    } else if (lasso) {
      this.corners = [[x, y]];
    } else if (touch) {
      this.resting = setTimeout(() => this.hold(x, y), HOLD_MS);
    }
  }

  /** @param {number} x @param {number} y */
  hold(x, y) {
    if (!this.acts.hold(x, y)) return;
    this.corners = [[x, y]];
    this.acts.outline();
  }

  /** @param {number} id @param {number} x @param {number} y */
  move(id, x, y) {
    const held = this.held.get(id);
    if (!held) return this.acts.hover(x, y);
    const [dx, dy] = [x - held.x, y - held.y];
    if (!held.moved && Math.hypot(dx, dy) < STILL[held.touch ? "touch" : "mouse"]) return;
    clearTimeout(this.resting);
    if (this.corners) {
      this.corners.push([x, y]);
      this.acts.outline();
    } else if (this.held.size === 2) {
      this.pinch(id, held, x, y);
    } else {
      this.panning = true;
      this.acts.pan(dx, dy);
    }
    Object.assign(held, { x, y, moved: true });
  }

  /** What lies between the fingers stays between them. @param {number} id @param {Held} held @param {number} x @param {number} y */
  pinch(id, held, x, y) {
    const [[, other]] = [...this.held].filter(([key]) => key !== id);
    /** @param {{x: number, y: number}} at */
    const spread = (at) => Math.max(1, Math.hypot(at.x - other.x, at.y - other.y));
    this.acts.pan((x - held.x) / 2, (y - held.y) / 2);
    this.acts.zoom(spread({ x, y }) / spread(held), (x + other.x) / 2, (y + other.y) / 2);
  }

  /** @param {number} id @param {number} x @param {number} y */
  release(id, x, y) {
    const held = this.held.get(id);
    const { corners } = this;
    this.cancel(id);
    if (!held) return;
    if (corners && held.touch && !held.moved) this.acts.pickOut(x, y);
    else if (corners) this.acts.lasso(corners);
    else if (!held.moved) this.acts[held.touch ? "tap" : "click"](x, y);
  }

  /** The browser has taken the pointer away. @param {number} id */
  cancel(id) {
    clearTimeout(this.resting);
    this.held.delete(id);
    this.panning = false;
    this.dropLasso();
  }

  dropLasso() {
    this.corners = null;
    this.acts.outline();
  }
}

/**
 * Tell `pointers` what happens on the stage, until `signal` aborts.
 * @param {HTMLElement} stage
 * @param {Pointers} pointers
 * @param {(event: PointerEvent) => boolean} beginsLasso
 * @param {AbortSignal} signal
 */
export function listenToPointers(stage, pointers, beginsLasso, signal) {
  const { acts } = pointers;
  /** @param {MouseEvent} event @returns {[number, number]} */
  const placeOf = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };
  /** @param {string} type @param {(event: PointerEvent, x: number, y: number) => void} act */
  const on = (type, act) =>
    stage.addEventListener(type, (event) => {
      const pointer = /** @type {PointerEvent} */ (event);
      // the tools lie on the stage, but are no part of the map
      if (/** @type {Element} */ (event.target).closest(".tools")) return acts.leave();
      act(pointer, ...placeOf(pointer));
      stage.classList.toggle("dragging", pointers.panning);
    }, { signal });
  on("pointerdown", (event, x, y) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.press(event.pointerId, x, y, { lasso: beginsLasso(event), touch: event.pointerType === "touch" });
  });
  on("pointermove", (event, x, y) => pointers.move(event.pointerId, x, y));
  on("pointerup", (event, x, y) => pointers.release(event.pointerId, x, y));
  on("pointercancel", (event) => pointers.cancel(event.pointerId));
  stage.addEventListener("contextmenu", (event) => {
    if (pointers.held.size) event.preventDefault(); // a finger that rests asks for a lasso, not for the browser's menu
  }, { signal });
  stage.addEventListener("pointerleave", () => acts.leave(), { signal });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    acts.leave();
    acts.zoom(Math.exp(-clamp(pixels, -400, 400) * 0.002), ...placeOf(event));
  }, { signal, passive: false });
}
