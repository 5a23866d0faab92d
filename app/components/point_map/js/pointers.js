/* Mouse, pen and fingers on the stage: from presses and movements to hover, pan, zoom, click and lasso. */

import { clamp } from "./geometry.js";

const STILL = 4; // pixels that a press may move and still be a click

/**
 * What the map does; places are CSS pixels on the stage.
 * @typedef {Object} Acts
 * @property {(x: number, y: number) => void} hover the pointer is over a place
 * @property {() => void} leave it is over none
 * @property {() => void} press a button or finger goes down
 * @property {(dx: number, dy: number) => void} pan
 * @property {(factor: number, x: number, y: number) => void} zoom about a place
 * @property {(x: number, y: number) => void} click
 * @property {() => void} outline the lasso has changed: draw it
 * @property {(corners: number[][]) => void} lasso it is closed
 */

/** @typedef {{x: number, y: number, moved: boolean}} Held where a button or finger that is down was last seen */

export class Pointers {
  /** @param {Acts} acts */
  constructor(acts) {
    this.acts = acts;
    /** @type {Map<number, Held>} by the browser's number of the pointer */
    this.held = new Map();
    /** @type {?number[][]} corners of the lasso that is being drawn */
    this.corners = null;
    this.panning = false;
  }

  /** @param {number} id @param {number} x @param {number} y @param {boolean} lasso whether it begins a lasso */
  press(id, x, y, lasso) {
    this.held.set(id, { x, y, moved: false });
    this.acts.press();
    if (lasso) this.corners = [[x, y]];
  }

  /** @param {number} id @param {number} x @param {number} y */
  move(id, x, y) {
    const held = this.held.get(id);
    if (!held) return this.acts.hover(x, y);
    const [dx, dy] = [x - held.x, y - held.y];
    if (!held.moved && Math.hypot(dx, dy) < STILL) return;
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

  /** @param {number} id @param {Held} held @param {number} x @param {number} y */
  pinch(id, held, x, y) {
    const [[, other]] = [...this.held].filter(([key]) => key !== id);
    /** @param {{x: number, y: number}} at */
    const spread = (at) => Math.max(1, Math.hypot(at.x - other.x, at.y - other.y));
    this.acts.zoom(spread({ x, y }) / spread(held), (x + other.x) / 2, (y + other.y) / 2);
  }

  /** @param {number} id @param {number} x @param {number} y */
  release(id, x, y) {
    const held = this.held.get(id);
    const { corners } = this;
    this.cancel(id);
    if (!held) return;
    if (corners) this.acts.lasso(corners);
    else if (!held.moved) this.acts.click(x, y);
  }

  /** The browser has taken the pointer away. @param {number} id */
  cancel(id) {
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
    pointers.press(event.pointerId, x, y, beginsLasso(event));
  });
  on("pointermove", (event, x, y) => pointers.move(event.pointerId, x, y));
  on("pointerup", (event, x, y) => pointers.release(event.pointerId, x, y));
  on("pointercancel", (event) => pointers.cancel(event.pointerId));
  stage.addEventListener("pointerleave", () => acts.leave(), { signal });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode];
    acts.leave();
    acts.zoom(Math.exp(-clamp(pixels, -400, 400) * 0.002), ...placeOf(event));
  }, { signal, passive: false });
}
