/*
 * Stories to choose from, the sentences of one, and its figures. Every link is a real one (it can be copied, and opened
 * in a new tab); a plain click is answered by Streamlit without loading the app again. All texts are plain text.
 */

import { make } from "../browser/make.js";
import { showThumbnail } from "../browser/thumbnail.js";

const WIDE = 28; // pixels of a thumbnail on a tile

/** @typedef {{text: string, link: string}} Part */
/**
 * @typedef {Object} Tile
 * @property {string} title
 * @property {string} text
 * @property {string} link
 * @property {boolean} chosen
 * @property {?import("../browser/thumbnail.js").Sheets} sheets
 * @property {number[]} pictures
 */
/** @typedef {{text: string, label: string, more: string, meaning: string, link: string}} Figure */

/**
 * @param {Object} call Streamlit's
 * @param {{tiles: Tile[], paragraphs: Part[][], figures: Figure[]}} call.data
 * @param {HTMLElement} call.parentElement
 * @param {(name: string, value: unknown) => void} call.setTriggerValue
 */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {?HTMLElement} */
  let root = parentElement.querySelector(".story");
  if (!root) parentElement.append((root = make("div", "story")));
  const follow = (link) => setTriggerValue("follow", link);
  const tiles = make("nav", "tiles");
  tiles.setAttribute("aria-label", "Stories");
  tiles.append(...data.tiles.map((each) => tile(each, follow)));
  const figures = make("div", "figures");
  figures.append(...data.figures.map((each) => figure(each, follow)));
  root.replaceChildren(tiles, ...data.paragraphs.map((parts) => paragraph(parts, follow)), figures);
}

/** @param {Tile} each @param {(link: string) => void} follow */
function tile({ title, text, link, chosen, sheets, pictures }, follow) {
  const element = anchor("tile", link, follow);
  if (chosen) element.setAttribute("aria-current", "true");
  element.append(make("b", "", title), make("span", "text", text));
  if (sheets) {
    const strip = make("span", "strip");
    strip.setAttribute("aria-hidden", "true");
    for (const number of pictures) {
      const picture = make("span", "picture");
      showThumbnail(picture, sheets, number, WIDE);
      strip.append(picture);
    }
    element.append(strip);
  }
  return element;
}

/** @param {Part[]} parts @param {(link: string) => void} follow */
function paragraph(parts, follow) {
  const element = make("p");
  for (const { text, link } of parts) {
    if (!link) {
      element.append(text);
      continue;
    }
    const number = anchor("number", link, follow);
    number.textContent = text;
    element.append(number);
  }
  return element;
}

/** @param {Figure} each @param {(link: string) => void} follow */
function figure({ text, label, more, meaning, link }, follow) {
  const element = anchor("figure", link, follow);
  element.title = meaning;
  const words = make("span", "words");
  words.append(make("span", "label", label), make("span", "more", more));
  element.append(make("b", "", text), words);
  return element;
}

/** @param {string} name of the class @param {string} link @param {(link: string) => void} follow */
function anchor(name, link, follow) {
  const element = make("a", name);
  element.href = link;
  element.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    follow(link);
  });
  return element;
}
