/*
 * One image's way through a run: a strip of stages under a camera. Moving along it changes one transform of the strip
 * and the opacity and transforms of parts that come in, so a step costs no layout. Texts are plain text.
 *
 * A Picture belongs to its element, so the stage in view outlives the reruns of the script.
 */

import { make, makeButton } from "../browser/make.js";
import { readTheme } from "../point_map/js/theme.js";
import { drawing } from "./stages.js";

const STAY = 6000; // milliseconds that Play rests on a stage
const SETTLE = 1200; // … after the last step until the address has it: the page is drawn anew then, which would stutter
const SWIPE = 40; // pixels that a finger moves at least, or that are scrolled sideways
const PAUSE = 600; // milliseconds in which a scroll that runs on moves no further

/** @typedef {{key: string, name: string, title: string, text: string, missing: boolean}} Stage */
/**
 * What `picture_of` in `component.py` says.
 * @typedef {Object} Way
 * @property {number} step
 * @property {Stage[]} stages
 * @property {Record<string, string>} meanings of emphasised words, in small letters
 * @property {string[]} pictures the image, and those near it
 * @property {number} patches along a side
 * @property {number[][]} units strength from 0 to 1 by row and block
 * @property {number} depth
 * @property {number} lit the row that answers
 * @property {boolean} own whether each task has a row of its own
 * @property {number[]} vector from -100 to 100
 * @property {?{points: number[][], centres: any[][], image: ?number[]}} space
 * @property {{task: number, name: string, length: number, value: string, retrieved: boolean, true: boolean}[]} bars
 * @property {string} near
 * @property {?{site: string, rank: number, width: number, out: number, down: string, up: string, delta: string}} update
 * @property {{name: string, score: string, share: number, chosen: boolean}[]} head
 * @property {{says: string, is: string, right: boolean, task: number, taskName: string}} answer
 * @property {import("../point_map/js/data.js").Header["palette"]} palettes
 */

/** @type {WeakMap<Element, Picture>} */
const pictures = new WeakMap();

/**
 * @param {Object} call Streamlit's
 * @param {Way} call.data
 * @param {HTMLElement} call.parentElement
 * @param {(name: string, value: unknown) => void} call.setTriggerValue
 */
export default function ({ data, parentElement, setTriggerValue }) {
  /** @type {?HTMLElement} */
  let root = parentElement.querySelector(".way");
  if (!root) parentElement.append((root = make("section", "way")));
  const picture = pictures.get(root) ?? new Picture(root);
  pictures.set(root, picture);
  picture.send = (step) => setTriggerValue("step", step);
  picture.update(data);
  return () => {
    picture.destroy();
    pictures.delete(root);
    root.remove();
  };
}

class Picture {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.step = -1;
    this.asked = -1; // the stage that the address last had
    this.sent = -1; // … that it is about to have; -1 for none
    this.drawn = "";
    this.started = 0; // when Play came to this stage; 0 while it rests
    this.steps = make("nav", "steps");
    this.steps.setAttribute("aria-label", "Stages");
    this.window = make("div", "window");
    this.window.tabIndex = 0;
    this.window.setAttribute("role", "img");
    this.world = make("div", "world");
    this.window.append(this.world);
    this.back = this.tool("‹ Back", () => this.go(this.step - 1));
    this.player = this.tool("▶ Play", () => this.play());
    this.next = this.tool("Next ›", () => this.go(this.step + 1));
    this.progress = make("span", "progress");
    this.player.append(this.progress);
    const tools = make("div", "tools");
    tools.append(this.back, this.player, this.next);
    this.words = make("div", "words");
    this.words.setAttribute("aria-live", "polite");
    root.append(this.steps, this.window, tools, this.words);
    this.pressed = (event) => this.key(event);
    document.addEventListener("keydown", this.pressed);
    this.window.addEventListener("pointerdown", (event) => (this.touched = event.clientX));
    this.window.addEventListener("pointerup", (event) => this.swipe(event.clientX));
    this.scrolled = 0; // pixels sideways since the last step
    this.moved = 0; // when scrolling last made a step
    this.window.addEventListener("wheel", (event) => this.scroll(event), { passive: false });
  }

  destroy() {
    document.removeEventListener("keydown", this.pressed);
    clearTimeout(this.later);
    this.rest();
  }

  /** @param {string} text @param {() => void} act */
  tool(text, act) {
    const button = makeButton("tool");
    button.append(make("span", "", text));
    button.addEventListener("click", () => {
      if (button !== this.player) this.rest();
      act();
    });
    return button;
  }

  /** @param {Way} data */
  update(data) {
    const { step, ...rest } = data;
    const { palette } = readTheme(this.root, data.palettes);
    palette.colours.forEach((colour, task) => this.root.style.setProperty(`--task-${task}`, colour));
    this.root.classList.toggle("dark", palette === data.palettes.dark);
    const now = JSON.stringify(rest);
    const anew = now !== this.drawn;
    if (anew) this.draw(data);
    this.drawn = now;
    // An address that lags behind the reader's own steps moves nothing; one that changed by a link does.
    const lags = this.sent >= 0 || step === this.asked;
    const to = this.step >= 0 && lags ? this.step : step;
    if (anew || to !== this.step) this.show(to);
    if (step === this.sent) this.sent = -1;
    this.asked = step;
  }

  /** @param {Way} data */
  draw(data) {
    this.stages = data.stages;
    this.meanings = data.meanings;
    this.world.replaceChildren(
      ...data.stages.map(({ key, missing }) => {
        const stage = make("div", missing ? "stage missing" : "stage");
        stage.append(drawing(key, data, missing), ...pulses(key));
        return stage;
      }),
    );
    this.steps.replaceChildren(
      ...data.stages.map(({ name, missing }, place) => {
        const button = makeButton(missing ? "step missing" : "step");
        button.append(make("span", "number", String(place + 1)), make("span", "name", name));
        button.title = name;
        button.setAttribute("aria-label", `${place + 1}, ${name}`);
        button.addEventListener("click", () => {
          this.rest();
          this.go(place);
        });
        return button;
      }),
    );
    void this.world.offsetWidth; // parts come in from where they start
  }

  /** Go to a stage, and have the address say so. @param {number} step */
  go(step) {
    const to = Math.max(0, Math.min(step, this.stages.length - 1));
    if (to === this.step) return;
    this.show(to);
    clearTimeout(this.later);
    this.later = setTimeout(() => {
      this.sent = this.step;
      this.send(this.step);
    }, SETTLE);
  }

  /** @param {number} step */
  show(step) {
    this.step = step;
    const { title, text } = this.stages[step];
    this.world.style.setProperty("--at", String(step));
    [...this.world.children].forEach((stage, place) => {
      stage.classList.toggle("seen", place <= step);
      stage.classList.toggle("current", place === step);
    });
    [...this.steps.children].forEach((button, place) => {
      if (place === step) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    this.window.setAttribute("aria-label", `${step + 1} of ${this.stages.length}: ${title}. Arrow keys move along.`);
    this.words.replaceChildren(make("h3", "", `${step + 1}. ${title}`), paragraph(text, this.meanings));
    this.back.disabled = step === 0;
    this.next.disabled = step === this.stages.length - 1;
  }

  play() {
    if (this.started) return this.rest();
    if (this.step === this.stages.length - 1) this.go(0);
    this.started = performance.now();
    this.player.firstElementChild.textContent = "⏸ Pause";
    const tick = (now) => {
      if (!this.started) return;
      const share = (now - this.started) / STAY;
      if (share >= 1) {
        this.go(this.step + 1);
        this.started = now;
        if (this.step === this.stages.length - 1) return this.rest();
      }
      this.progress.style.transform = `scaleX(${Math.min(1, Math.max(0, share % 1)).toFixed(3)})`;
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  rest() {
    this.started = 0;
    this.player.firstElementChild.textContent = "▶ Play";
    this.progress.style.transform = "scaleX(0)";
  }

  /** Arrow keys move along wherever nothing else takes them. @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.defaultPrevented) return;
    const [target] = event.composedPath();
    const inside = event.composedPath().includes(this.root);
    if (!inside && target !== document.body && !(target instanceof Element && target.matches(".stMain, section"))) return;
    const to = { ArrowRight: this.step + 1, ArrowLeft: this.step - 1, Home: 0, End: this.stages.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.rest();
    this.go(to);
  }

  /** Scrolling sideways goes from stage to stage; up and down is the page's. @param {WheelEvent} event */
  scroll(event) {
    if (Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault(); // or a browser goes back to the last page
    if (event.timeStamp - this.moved < PAUSE) return;
    this.scrolled += event.deltaX;
    if (Math.abs(this.scrolled) < SWIPE) return;
    this.moved = event.timeStamp;
    this.rest();
    this.go(this.step + Math.sign(this.scrolled));
    this.scrolled = 0;
  }

  /** @param {number} x where a finger left */
  swipe(x) {
    const moved = x - this.touched;
    if (Math.abs(moved) < SWIPE) return;
    this.rest();
    this.go(this.step - Math.sign(moved));
  }
}

/**
 * What runs along the wire on both sides of a stage. These are elements beside the drawing: inside it, each frame of
 * theirs would paint the drawing anew.
 * @param {string} key of the stage
 */
function pulses(key) {
  const ends = ["in", "out"].filter((end) => !(key === "patches" && end === "in") && !(key === "answer" && end === "out"));
  return ends.map((end) => make("span", `pulse ${end}`));
}

/**
 * Text with **strong** and *emphasised* words; one that the glossary knows says what it means when it is pointed at.
 * @param {string} text @param {Record<string, string>} meanings
 */
function paragraph(text, meanings) {
  const element = make("p");
  text.split(/\*\*(.+?)\*\*/).forEach((part, place) => {
    if (place % 2) return element.append(make("b", "", part));
    part.split(/\*(.+?)\*/).forEach((inner, turn) => element.append(turn % 2 ? emphasised(inner, meanings) : inner));
  });
  return element;
}

/** @param {string} word @param {Record<string, string>} meanings */
function emphasised(word, meanings) {
  const means = Object.hasOwn(meanings, word.toLowerCase()) ? meanings[word.toLowerCase()] : "";
  const element = make("em", means ? "term" : "", word);
  if (means) {
    element.tabIndex = 0;
    element.setAttribute("aria-description", means);
  }
  return element;
}
