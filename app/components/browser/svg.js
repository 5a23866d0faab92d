/* New elements of an SVG. Texts that come with a run reach the page as text. */

const SPACE = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
export function shape(tag, attributes, ...children) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * A line of text, cut off after `most` characters; the whole of it is its tooltip.
 * @param {number} x @param {number} y @param {string} text @param {string} name of the class @param {number} most
 */
export function line(x, y, text, name = "", most = 40) {
  const short = text.length > most ? `${text.slice(0, most - 1)}…` : text;
  return shape("text", { x, y, class: name }, short, ...(short === text ? [] : [shape("title", {}, text)]));
}

/**
 * A part that comes in when its stage is reached, `turn` steps after the first. It moves by transform and opacity
 * alone, which the browser does without a new layout.
 * @param {number} turn @param {...Node} children
 */
export function entering(turn, ...children) {
  return shape("g", { class: "enter", style: `--turn: ${turn}` }, ...children);
}
