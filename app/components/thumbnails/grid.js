/*
 * A grid of thumbnails: each is a window on a sprite sheet. Names and captions reach the page as text, never as HTML.
 *
 * A link is a real one (it can be copied, and opened in a new tab); a plain click is answered by Streamlit without
 * loading the app again.
 */

import { make } from "../browser/make.js";
import { fitted, showThumbnail } from "../browser/thumbnail.js";

/**
 * @typedef {Object} Item
 * @property {number} number of the thumbnail
 * @property {string} title
 * @property {string} caption below it; may be empty
 * @property {string} link that it opens; may be empty
 * @property {string} aside another link, below; may be empty
 */

/**
 * @typedef {{sheets: import("../browser/thumbnail.js").Sheets, items: Item[], columns: number, size: number,
 *   aside: string}} Data `aside` is what the other links say
 */

/**
 * @param {Object} call Streamlit's
 * @param {Data} call.data
 * @param {HTMLElement} call.parentElement
 * @param {(name: string, value: unknown) => void} call.setTriggerValue
 */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {?HTMLElement} */
  let root = parentElement.querySelector(".thumbnails");
  if (!root) parentElement.append((root = make("div", "thumbnails")));
  root.style.setProperty("--size", `${fitted(data.size, data.sheets.side).size}px`);
  root.style.setProperty("--columns", String(data.columns));
  root.replaceChildren(
    ...data.items.map((item, index) => {
      const shown = thumbnail(item, data, () => setTriggerValue("follow", index));
      if (!item.aside) return shown;
      const both = make("div", "entry");
      both.append(shown, aside(item, data.aside, () => setTriggerValue("aside", index)));
      return both;
    }),
  );
}

/** @param {Item} item @param {string} words @param {() => void} follow */
function aside(item, words, follow) {
  const element = make("a", "aside", words);
  element.setAttribute("aria-label", `${words}: ${item.title}`);
  return followed(element, item.aside, follow);
}

/** @param {HTMLAnchorElement} element @param {string} link @param {() => void} follow */
function followed(element, link, follow) {
  element.href = link;
  element.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    follow();
  });
  return element;
}

/** @param {Item} item @param {Data} data @param {() => void} follow */
function thumbnail(item, { sheets, size }, follow) {
  const element = make(item.link ? "a" : "span", "item");
  element.title = item.title;
  const picture = make("span", "picture");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", item.title);
  showThumbnail(picture, sheets, item.number, size);
  element.append(picture);
  if (item.caption) element.append(make("span", "caption", item.caption));
  return element instanceof HTMLAnchorElement ? followed(element, item.link, follow) : element;
}
