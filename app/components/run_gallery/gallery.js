/*
 * All runs, by stream. Typing leaves those that hold every word; the arrow keys walk through what is left, and Enter
 * opens. Each run is a real link (it can be copied, and opened in a new tab); a plain click is answered by Streamlit
 * without loading the app again.
 */

import { make } from "../browser/make.js";
import { showThumbnail } from "../browser/thumbnail.js";

const WIDE = 34; // pixels of a thumbnail

/**
 * @typedef {Object} Run
 * @property {string} name
 * @property {string} title
 * @property {string} when
 * @property {string} mark recorded, training …; may be empty
 * @property {boolean} recorded
 * @property {string} method
 * @property {{label: string, text: string}[]} figures
 * @property {?number} accuracy 0 to 1
 */

/**
 * @typedef {Object} Group the runs of a stream
 * @property {string} title
 * @property {string} summary
 * @property {?import("../browser/thumbnail.js").Sheets} sheets
 * @property {number[]} pictures numbers of thumbnails
 * @property {Run[]} runs
 */

/**
 * @param {Object} call Streamlit's
 * @param {{groups: Group[], shown: string}} call.data
 * @param {HTMLElement} call.parentElement
 * @param {(name: string, value: unknown) => void} call.setTriggerValue
 */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {?HTMLElement} */
  let root = parentElement.querySelector(".gallery");
  if (!root) {
    root = make("div", "gallery");
    root.append(field(), count(), make("div", "groups"));
    parentElement.append(root);
    root.addEventListener("keydown", (event) => walk(event, root));
    // Only where there is a mouse: on a phone the keyboard would cover the list.
    if (matchMedia("(hover: hover)").matches) root.querySelector("input").focus();
  }
  const input = root.querySelector("input");
  const choose = (name) => setTriggerValue("choose", name);
  root.querySelector(".groups").replaceChildren(...data.groups.map((group) => section(group, data.shown, choose)));
  input.oninput = () => filter(root, input.value);
  filter(root, input.value);
}

function field() {
  const input = make("input");
  input.type = "search";
  input.placeholder = "Type a method, stream, date or name";
  input.setAttribute("aria-label", "Filter the runs");
  return input;
}

function count() {
  const line = make("p", "count");
  line.setAttribute("aria-live", "polite");
  return line;
}

/** @param {Group} group @param {string} shown @param {(name: string) => void} choose */
function section(group, shown, choose) {
  const element = make("section");
  const head = make("header");
  const words = make("div");
  words.append(make("h3", "", group.title), make("p", "", group.summary));
  head.append(words);
  if (group.sheets) {
    const strip = make("div", "strip");
    strip.setAttribute("aria-hidden", "true");
    for (const number of group.pictures) {
      const picture = make("span", "picture");
      showThumbnail(picture, group.sheets, number, WIDE);
      strip.append(picture);
    }
    head.append(strip);
  }
  element.append(head, ...group.runs.map((run) => row(run, group, shown, choose)));
  return element;
}

/** @param {Run} run @param {Group} group @param {string} shown @param {(name: string) => void} choose */
function row(run, group, shown, choose) {
  const element = make("a", "run");
  element.href = `?run=${encodeURIComponent(run.name)}`;
  element.title = run.name;
  element.dataset.words = [run.title, run.method, group.title, run.when, run.mark, run.name].join(" ").toLowerCase();
  if (run.name === shown) element.setAttribute("aria-current", "true");
  const about = make("span", "about");
  const title = make("span", "title");
  title.append(make("b", "", run.title));
  if (run.mark) title.append(make("span", run.recorded ? "mark recorded" : "mark", run.mark));
  about.append(title, make("span", "when", run.when || run.name));
  element.append(about, ...run.figures.map((figure, place) => number(figure, place ? null : run.accuracy)));
  element.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    choose(run.name);
  });
  return element;
}

/** @param {{label: string, text: string}} figure @param {?number} share drawn as a bar below the number */
function number({ label, text }, share) {
  const element = make("span", "figure");
  element.append(make("b", "", text), make("span", "label", label));
  if (share !== null) {
    const bar = make("i");
    bar.style.setProperty("--share", `${100 * share}%`);
    element.append(bar);
  }
  return element;
}

/** Leave the runs that hold every word of `text`. @param {HTMLElement} root @param {string} text */
function filter(root, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const group of root.querySelectorAll("section")) {
    let here = 0;
    for (const run of group.querySelectorAll(".run")) {
      run.hidden = !words.every((word) => run.dataset.words.includes(word));
      if (!run.hidden) here += 1;
    }
    group.hidden = here === 0;
    left += here;
  }
  const all = root.querySelectorAll(".run").length;
  const line = root.querySelector(".count");
  if (left === 0) line.textContent = "No run holds all these words: take one away.";
  else line.textContent = left === all ? `${all} ${all === 1 ? "run" : "runs"}` : `${left} of ${all} runs`;
}

/** @param {KeyboardEvent} event @param {HTMLElement} root */
function walk(event, root) {
  const runs = [...root.querySelectorAll(".run:not([hidden])")];
  const at = runs.indexOf(root.getRootNode().activeElement);
  const field = root.querySelector("input");
  if (event.key === "ArrowDown") runs[Math.min(at + 1, runs.length - 1)]?.focus();
  else if (event.key === "ArrowUp") (at > 0 ? runs[at - 1] : field).focus();
  else if (event.key === "Enter" && at < 0) runs[0]?.click();
  else return;
  event.preventDefault();
}
