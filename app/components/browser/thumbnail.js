/* Thumbnails lie on sheets, 32 side by side and 1,024 a sheet; each is shown through a window on its sheet. */

const ROW = 32;
const SHEET = 1024;

/**
 * Where a run's thumbnails are, as `sheets` in `sheets.py` says it.
 * @typedef {Object} Sheets
 * @property {string} address of a sheet, with `{sheet}` for its number
 * @property {number} side pixels that a thumbnail is wide as it is kept
 */

/**
 * How wide a thumbnail is drawn that shall be about `size` CSS pixels wide. What is magnified more than twice is drawn
 * as sharp squares, all of one width: a blurred garment or digit is harder to recognise.
 * @param {number} size
 * @param {number} side
 */
export function fitted(size, side) {
  const sharp = size > 2 * side;
  return { size: sharp ? side * Math.round(size / side) : size, sharp };
}

/**
 * Show a thumbnail as the background of an element, which becomes as wide and as high as it.
 * @param {HTMLElement} element
 * @param {Sheets} sheets
 * @param {number} number counted through all sheets
 * @param {number} wanted CSS pixels
 */
export function showThumbnail(element, { address, side }, number, wanted) {
  const { size, sharp } = fitted(wanted, side);
  const cell = number % SHEET;
  const sheet = String(Math.floor(number / SHEET)).padStart(3, "0");
  const url = new URL(address.replace("{sheet}", sheet), document.baseURI).href;
  Object.assign(element.style, {
    width: `${size}px`,
    height: `${size}px`,
    backgroundImage: `url("${url}")`,
    backgroundSize: `${ROW * size}px auto`,
    backgroundPosition: `${-(cell % ROW) * size}px ${-Math.floor(cell / ROW) * size}px`,
    backgroundRepeat: "no-repeat",
    imageRendering: sharp ? "pixelated" : "auto",
  });
}
