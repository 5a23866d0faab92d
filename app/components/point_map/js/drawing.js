/*
 * What is on the two canvases that lie on each other: `points` is written pixel by pixel and only when points have
 * moved or changed; `marks` carries the few things that follow the pointer.
 */

import { clamp } from "./geometry.js";
import { packed } from "./raster.js";
import { colourOf, rgb } from "./theme.js";

/**
 * @typedef {Object} Size
 * @property {number} width CSS pixels
 * @property {number} height CSS pixels
 * @property {number} ratio screen pixels per CSS pixel
 */

/**
 * What is to be drawn. The map itself is one.
 * @typedef {Object} Scene
 * @property {import("./data.js").Header} header
 * @property {import("./data.js").Points} points
 * @property {import("./screen.js").Screen} screen
 * @property {import("./camera.js").Camera} camera
 * @property {import("./player.js").Player} player
 * @property {import("./theme.js").Theme} theme
 * @property {Size} size
 * @property {?number} highlight
 * @property {?Uint8Array} selected one per point; null for no selection
 */

/**
 * Radius of a point in CSS pixels: less with more points, a little more when zoomed in.
 * @param {number} n points
 * @param {import("./camera.js").Camera} camera
 */
export function radius(n, camera) {
  const base = n < 3000 ? 3.4 : n < 20000 ? 2.6 : n < 60000 ? 2 : 1.6;
  return base * clamp((camera.k / camera.fit) ** 0.3, 1, 3);
}

/**
 * All points, where `scene.screen` has them: those that are not highlighted or selected faint and behind.
 * @param {import("./raster.js").Raster} raster
 * @param {Scene} scene
 */
export function drawPoints(raster, scene) {
  const { header, points, screen, camera, player, theme, size, highlight, selected } = scene;
  const { x, y, alpha } = screen;
  const frame = Math.round(player.clock);
  const wide = radius(points.n, camera) * size.ratio;
  const disc = raster.stamps(wide);
  const { category } = points.arrays;
  const start = points.start(category, frame);
  const colours = header.names.map((_, c) => packed(rgb(colourOf(c, highlight, theme.palette))));
  const grey = packed(rgb(theme.palette.grey));
  const [right, bottom] = [size.width + 12, size.height + 12];
  /** @param {boolean} behind @param {number} strength */
  const layer = (behind, strength) => {
    for (let i = 0; i < points.n; i++) {
      if (alpha[i] === 0 || x[i] < -12 || y[i] < -12 || x[i] > right || y[i] > bottom) continue;
      const own = category[start + i];
      if (isBehind(scene, i, own) !== behind) continue;
      const colour = behind && selected ? grey : colours[own];
      raster.stamp(disc, x[i] * size.ratio, y[i] * size.ratio, colour, (alpha[i] * strength) >> 8);
    }
  };
  raster.clear(theme.ground);
  if (selected || highlight !== null) layer(true, 110);
  layer(false, points.n < 20000 ? 225 : 190);
  if (points.arrays.rings) drawRings(raster, scene, frame, wide);
  raster.show();
}

/** @param {Scene} scene @param {number} i @param {number} category of the point */
const isBehind = ({ highlight, selected }, i, category) =>
  selected ? !selected[i] : highlight !== null && category !== highlight;

/**
 * Rings around the points in front; the more there are on screen, the fainter, so that colours stay visible.
 * @param {import("./raster.js").Raster} raster
 * @param {Scene} scene
 * @param {number} frame
 * @param {number} wide radius of a point in screen pixels
 */
function drawRings(raster, scene, frame, wide) {
  const { points, screen, theme, size } = scene;
  const { x, y, alpha } = screen;
  const { category } = points.arrays;
  const start = points.start(category, frame);
  const ringed = [];
  for (let i = 0; i < points.n; i++) {
    if (alpha[i] === 0 || !points.ringed(frame, i) || isBehind(scene, i, category[start + i])) continue;
    if (x[i] >= 0 && y[i] >= 0 && x[i] <= size.width && y[i] <= size.height) ringed.push(i);
  }
  const line = Math.max(1, 0.9 * size.ratio);
  const ring = raster.stamps(Math.min(wide + size.ratio + line, 20), line);
  const strength = 210 * clamp(Math.sqrt(400 / ringed.length), 0.3, 1);
  const ink = packed(rgb(theme.ink));
  for (const i of ringed) {
    raster.stamp(ring, x[i] * size.ratio, y[i] * size.ratio, ink, (alpha[i] * strength) >> 8);
  }
}

/**
 * @typedef {Object} Marks points by row, −1 for none
 * @property {number} clicked
 * @property {number} hovered
 * @property {number} focused
 */

/**
 * Components, halos and the lasso that is being drawn.
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {Marks} marks
 * @param {?number[][]} lasso corners [x, y]
 */
export function drawMarks(pen, scene, { clicked, hovered, focused }, lasso) {
  const { size, theme } = scene;
  pen.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
  pen.clearRect(0, 0, size.width, size.height);
  drawEllipses(pen, scene);
  drawHalo(pen, scene, clicked, 5, theme.ink, 2.5);
  drawHalo(pen, scene, hovered, 4, theme.ink, 1.5);
  drawHalo(pen, scene, focused, 7, theme.primary, 3);
  if (lasso) drawLasso(pen, lasso, theme.primary);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 * @param {number} i
 * @param {number} extra pixels between point and halo
 * @param {string} colour
 * @param {number} width
 */
function drawHalo(pen, { screen, points, camera }, i, extra, colour, width) {
  if (!screen.shows(i)) return;
  pen.beginPath();
  pen.arc(screen.x[i], screen.y[i], radius(points.n, camera) + extra, 0, 2 * Math.PI);
  Object.assign(pen, { strokeStyle: colour, lineWidth: width });
  pen.stroke();
}

/**
 * Ellipses of the two frames that the clock is between, the one fading into the other.
 * @param {CanvasRenderingContext2D} pen
 * @param {Scene} scene
 */
function drawEllipses(pen, { header, camera, player, theme, highlight }) {
  if (!header.ellipses.length) return;
  const { clock } = player;
  const before = Math.floor(clock);
  for (const [frame, share] of [[before, 1 - (clock - before)], [Math.ceil(clock), clock - before]]) {
    if (share === 0) continue;
    for (const [cx, cy, rx, ry, angle, category, weight] of header.ellipses[frame]) {
      const front = highlight === null || category === highlight;
      const { k, x, y } = camera;
      pen.beginPath();
      pen.ellipse(x + k * cx, y - k * cy, k * rx, k * ry, -angle, 0, 2 * Math.PI);
      pen.strokeStyle = pen.fillStyle = colourOf(category, highlight, theme.palette);
      pen.lineWidth = 1 + 2 * Math.sqrt(weight);
      pen.globalAlpha = share * (front ? 0.9 : 0.25);
      pen.stroke();
      pen.globalAlpha = share * (front ? 0.08 : 0.02);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} pen @param {number[][]} lasso @param {string} colour */
function drawLasso(pen, lasso, colour) {
  pen.beginPath();
  for (const [x, y] of lasso) pen.lineTo(x, y);
  pen.closePath();
  Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.5, globalAlpha: 0.12 });
  pen.fill("evenodd");
  pen.globalAlpha = 1;
  pen.setLineDash([5, 3]);
  pen.stroke();
  pen.setLineDash([]);
}
