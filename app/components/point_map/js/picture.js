/* The map as a PNG file to keep: both canvases with title, caption and legend. */

import { colourOf } from "./theme.js";

/**
 * Draw the map as it is on screen, with its title, a caption and the legend.
 * @param {import("./drawing.js").Scene} scene
 * @param {HTMLCanvasElement[]} layers
 * @param {string} caption
 */
export function picture(scene, layers, caption) {
  const { size, theme, header } = scene;
  const [edge, top, side] = [16, 60, 190];
  const canvas = document.createElement("canvas");
  canvas.width = (size.width + side + 3 * edge) * size.ratio;
  canvas.height = (size.height + top + edge) * size.ratio;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.scale(size.ratio, size.ratio);
  pen.fillStyle = `rgb(${theme.ground})`;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = theme.ink;
  pen.font = `600 18px ${theme.font}`;
  pen.fillText(header.title, edge, 28);
  pen.font = `13px ${theme.font}`;
  pen.fillText(caption, edge, 48);
  for (const layer of layers) pen.drawImage(layer, edge, top, size.width, size.height);
  drawLegend(pen, scene, size.width + 2 * edge, top, side);
  return canvas;
}

/** Let the browser keep a canvas as a file named after `title`. @param {HTMLCanvasElement} canvas @param {string} title */
export function download(canvas, title) {
  canvas.toBlob((blob) => {
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = fileName(title);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

/** @param {string} title */
export const fileName = (title) => `${title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "map"}.png`;

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {import("./drawing.js").Scene} scene
 * @param {number} left
 * @param {number} top
 * @param {number} width
 */
function drawLegend(pen, { header, points, theme, highlight, size }, left, top, width) {
  const room = Math.max(1, Math.floor(size.height / 22) - 2);
  legendRows(header, theme.palette, highlight, Boolean(points.arrays.rings), room).forEach(({ name, colour }, row) => {
    const y = top + 12 + 22 * row;
    pen.beginPath();
    pen.arc(left + 6, y, colour ? 5.5 : 5, 0, 2 * Math.PI);
    Object.assign(pen, { fillStyle: colour ?? theme.ink, strokeStyle: theme.ink, lineWidth: 1.5 });
    if (colour) pen.fill();
    else pen.stroke();
    pen.fillStyle = theme.ink;
    pen.fillText(shorten(name, width - 20, (text) => pen.measureText(text).width), left + 18, y + 4.5);
  });
}

/**
 * The rows of the legend in the picture: what is highlighted against all others, or as many names as there is room for.
 * A row without a colour is the ring.
 * @param {import("./data.js").Header} header
 * @param {import("./data.js").Palette} palette
 * @param {?number} highlight
 * @param {boolean} rings
 * @param {number} room rows for names
 * @returns {{name: string, colour: ?string}[]}
 */
export function legendRows(header, palette, highlight, rings, room) {
  /** @type {{name: string, colour: ?string}[]} */
  const all = header.names.map((name, category) => ({ name, colour: colourOf(category, highlight, palette) }));
  const rows = highlight === null ? all.slice(0, room) : [all[highlight], { name: "others", colour: palette.grey }];
  if (highlight === null && all.length > room) rows.push({ name: `and ${all.length - room} more`, colour: palette.grey });
  if (rings) rows.push({ name: header.ring_name, colour: null });
  return rows;
}

/**
 * The text, or as much of it as is at most `width` wide.
 * @param {string} text
 * @param {number} width
 * @param {(text: string) => number} measure
 */
export function shorten(text, width, measure) {
  if (measure(text) <= width) return text;
  let end = text.length;
  while (end > 1 && measure(`${text.slice(0, end)}…`) > width) end--;
  return `${text.slice(0, end)}…`;
}
