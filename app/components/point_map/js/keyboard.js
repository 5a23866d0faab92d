/* The map without a pointer: what each key does, and what is spoken. */

const KEYS =
  "Arrow keys move between points, Enter opens one, plus and minus zoom, 0 shows everything, Escape clears the selection.";

/**
 * What the map does.
 * @typedef {Object} Acts
 * @property {(dx: number, dy: number) => void} step to the next point in a direction
 * @property {() => void} open the point with the focus
 * @property {() => void} clear the selection
 * @property {(factor: number) => void} zoom
 * @property {() => void} showAll
 */

/** @type {Object<string, (acts: Acts) => void>} */
const ACTIONS = {
  ArrowLeft: (acts) => acts.step(-1, 0),
  ArrowRight: (acts) => acts.step(1, 0),
  ArrowUp: (acts) => acts.step(0, -1),
  ArrowDown: (acts) => acts.step(0, 1),
  Enter: (acts) => acts.open(),
  " ": (acts) => acts.open(),
  Escape: (acts) => acts.clear(),
  "+": (acts) => acts.zoom(1.4),
  "=": (acts) => acts.zoom(1.4), // the key of the plus without Shift
  "-": (acts) => acts.zoom(1 / 1.4),
  0: (acts) => acts.showAll(),
};

/**
 * Do what a key asks for, unless it belongs to the browser or the page.
 * @param {KeyboardEvent} event
 * @param {Acts} acts
 */
export function press(event, acts) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget) return;
  if (!Object.hasOwn(ACTIONS, event.key)) return;
  ACTIONS[event.key](acts);
  event.preventDefault();
}

/** The map's label for a screen reader. @param {import("./data.js").Header} header */
export const label = ({ title, n, noun }) => `${title}: a map of ${n} ${noun}. ${KEYS}`;

/**
 * A point in words.
 * @param {import("./data.js").Points} points
 * @param {number} frame
 * @param {number} i
 */
export function spoken(points, frame, i) {
  const lines = points.lines(frame, i).map(({ title, text }) => `${title} ${text}`.trim());
  return [...lines, `number ${points.id(i)}`].join(", ");
}
