/* The view of the map: a place (u, v) on it is at (x + k·u, y − k·v) on screen, in CSS pixels. */

import { clamp } from "./geometry.js";

const EDGE = 24; // pixels kept free around the whole map
const MAX_ZOOM = 200;

export class Camera {
  constructor() {
    this.k = 1;
    this.x = 0;
    this.y = 0;
    this.fit = 1; // k when the whole map is shown
    this.moved = false; // by the person: then a resized stage keeps the view
  }

  /**
   * Show the whole map.
   * @param {number[]} extent width and height of the map
   * @param {number} width of the stage that is free
   * @param {number} height of the stage
   */
  showAll([across, up], width, height) {
    this.k = Math.min((width - 2 * EDGE) / Math.max(across, 1), (height - 2 * EDGE) / Math.max(up, 1));
    this.fit = this.k;
    this.x = (width - this.k * across) / 2;
    this.y = (height + this.k * up) / 2;
    this.moved = false;
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.moved = true;
  }

  /**
   * Zoom so that the place (x, y) on screen stays where it is.
   * @param {number} factor
   * @param {number} x
   * @param {number} y
   */
  zoom(factor, x, y) {
    const k = clamp(this.k * factor, this.fit / 2, this.fit * MAX_ZOOM);
    this.x = x - ((x - this.x) * k) / this.k;
    this.y = y - ((y - this.y) * k) / this.k;
    this.k = k;
    this.moved = true;
  }
}
