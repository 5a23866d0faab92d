/* Where the points are on screen, and which one is near a place or next in a direction. */

import { HIDDEN } from "./data.js";
import { clamp } from "./geometry.js";

/** The alpha of a point that is wholly there. */
export const FULL = 256;

export class Screen {
  /** @param {number} n points */
  constructor(n) {
    this.x = new Float32Array(n); // CSS pixels on the stage
    this.y = new Float32Array(n);
    this.alpha = new Uint16Array(n); // how much of the point is there: 0 to FULL
    /** @type {?Grid} made when a place is asked for */
    this.grid = null;
  }

  /**
   * Place all points; between two frames they are on their way, or fade in and out.
   * @param {import("./data.js").Points} points
   * @param {import("./camera.js").Camera} camera
   * @param {number} clock in frames
   */
  project(points, camera, clock) {
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
      this.x[i] = camera.x + camera.k * u;
      this.y[i] = camera.y - camera.k * v;
      this.alpha[i] = FULL * (there ? (here ? 1 : 1 - share) : here ? share : 0);
    }
    this.grid = null;
  }

  /** Whether a point is on the map; −1 is none. @param {number} i */
  shows(i) {
    return i >= 0 && this.alpha[i] > 0;
  }

  /**
   * The point nearest to a place, at most `reach` pixels from it; −1 where there is none.
   * @param {number} x
   * @param {number} y
   * @param {number} reach
   * @param {{width: number, height: number}} stage points outside it are not found
   */
  nearest(x, y, reach, stage) {
    this.grid ??= new Grid(stage, this);
    return this.grid.nearest(x, y, reach);
  }

  /**
   * The point closest to a place, however far; −1 on an empty map.
   * @param {number} x
   * @param {number} y
   */
  closest(x, y) {
    return this.least((i) => Math.hypot(this.x[i] - x, this.y[i] - y));
  }

  /**
   * The next point in the direction (dx, dy), at least `step` pixels on; −1 where there is none. Points that lie off
   * the direction count as further away.
   * @param {number} from
   * @param {number} dx
   * @param {number} dy
   * @param {number} step
   */
  neighbour(from, dx, dy, step) {
    return this.least((i) => {
      const [right, down] = [this.x[i] - this.x[from], this.y[i] - this.y[from]];
      const along = right * dx + down * dy;
      const aside = Math.abs(right * dy - down * dx);
      return along < step || aside > along ? Infinity : along + 2 * aside;
    });
  }

  /** The shown point with the least cost; −1 where every cost is infinite. @param {(i: number) => number} cost */
  least(cost) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.x.length; i++) {
      if (this.alpha[i] === 0) continue;
      const own = cost(i);
      if (own < least) [best, least] = [i, own];
    }
    return best;
  }
}

/** The points on the stage by square cells: with 50,000 of them a search through all is too slow for a hover. */
class Grid {
  /**
   * @param {{width: number, height: number}} stage
   * @param {{x: Float32Array, y: Float32Array, alpha: Uint16Array}} screen
   */
  constructor({ width, height }, { x, y, alpha }) {
    this.cell = 16;
    this.columns = Math.ceil(width / this.cell) + 1;
    this.rows = Math.ceil(height / this.cell) + 1;
    this.first = new Int32Array(this.columns * this.rows).fill(-1); // in each cell; the others are chained by `next`
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

  /** @param {number} x @param {number} y @param {number} reach */
  nearest(x, y, reach) {
    /** @param {number} value @param {number} limit */
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
