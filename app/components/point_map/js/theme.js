/* Colours of the page around the map, and of the categories on it. */

/**
 * @typedef {Object} Theme
 * @property {number[]} ground [r, g, b] behind everything
 * @property {string} ink of text and rings
 * @property {string} primary of what has the focus
 * @property {string} font
 * @property {import("./data.js").Palette} palette
 */

/**
 * The theme of an element inside a Streamlit page.
 * @param {Element} element
 * @param {import("./data.js").Header["palette"]} palettes
 * @returns {Theme}
 */
export function readTheme(element, palettes) {
  const style = getComputedStyle(element);
  /** @param {string} name @param {string} fallback */
  const variable = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  const ground = rgb(variable("--st-background-color", "#fff"));
  return {
    ground,
    ink: variable("--st-text-color", "#222"),
    primary: variable("--st-primary-color", "#0072b2"),
    font: style.fontFamily,
    palette: palettes[isDark(ground) ? "dark" : "light"],
  };
}

/**
 * The colour of a category, as CSS.
 * @param {number} category
 * @param {?number} highlight the category in colour while all others are grey; null for none
 * @param {import("./data.js").Palette} palette
 */
export function colourOf(category, highlight, { colours, grey, accent }) {
  if (highlight === null) return colours[category];
  return category === highlight ? accent ?? colours[category] : grey;
}

/** @type {OffscreenCanvasRenderingContext2D | undefined} a pixel to try colours on */
let probe;

/** [r, g, b] of any CSS colour; grey where it is none. @param {string} colour */
export function rgb(colour) {
  probe ??= /** @type {OffscreenCanvasRenderingContext2D} */ (
    new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
  );
  probe.fillStyle = "#888";
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  return [...probe.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}

/** @param {number[]} colour [r, g, b] */
const isDark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 128;
