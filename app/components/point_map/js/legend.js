/* The names of the categories beside the map: a click puts one in colour and all others in grey. */

import { make, makeButton } from "../../browser/make.js";
import { colourOf } from "./theme.js";

export class Legend {
  /**
   * @param {HTMLElement} box the `.legend`
   * @param {(category: number) => void} onChoose
   */
  constructor(box, onChoose) {
    this.box = box;
    this.onChoose = onChoose;
  }

  /**
   * Write the names; the focus stays where it was. Names are text, never HTML.
   * @param {string[]} names
   * @param {?string} ringName what a ring means; null where there are none
   */
  build(names, ringName) {
    const items = names.map((name, category) => {
      const item = makeButton();
      item.title = name;
      item.append(make("span", "swatch"), make("span", "name", name));
      item.addEventListener("click", () => this.onChoose(category));
      return item;
    });
    const root = /** @type {Document | ShadowRoot} */ (this.box.getRootNode());
    const focus = [...this.box.children].findIndex((item) => item === root.activeElement);
    this.box.replaceChildren(...items);
    if (ringName !== null) {
      const ring = make("div", "ring");
      ring.append(make("span", "swatch"), make("span", "text", ringName));
      this.box.append(ring);
    }
    items[focus]?.focus();
  }

  /**
   * Colour the names as the points are coloured.
   * @param {?number} highlight
   * @param {import("./data.js").Palette} palette
   */
  show(highlight, palette) {
    this.box.querySelectorAll("button").forEach((item, category) => {
      /** @type {HTMLElement} */ (item.firstElementChild).style.background = colourOf(category, highlight, palette);
      item.setAttribute("aria-pressed", String(highlight === category));
    });
  }
}
