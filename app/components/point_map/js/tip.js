/* The thumbnail and the text of a point, beside it. */

import { make } from "../../browser/make.js";
import { showThumbnail } from "../../browser/thumbnail.js";
import { clamp } from "./geometry.js";

const WIDE = 112; // pixels of the thumbnail

export class Tip {
  /** @param {HTMLElement} box the `.tip` */
  constructor(box) {
    this.box = box;
    this.thumbnail = /** @type {HTMLElement} */ (box.querySelector(".thumbnail"));
    this.lines = /** @type {HTMLElement} */ (box.querySelector(".lines"));
  }

  /**
   * Fill it. A sheet of thumbnails is fetched when one of its points is first shown; names are text, never HTML.
   * @param {import("./data.js").Points} points
   * @param {number} frame
   * @param {number} i
   */
  fill(points, frame, i) {
    const { sprites } = points.header;
    this.thumbnail.hidden = !sprites;
    if (sprites) showThumbnail(this.thumbnail, sprites, points.sprite(i), WIDE);
    this.lines.replaceChildren(...points.lines(frame, i).map(({ title, text, ringed }) => {
      const line = make("div", ringed ? "ringed" : "", title && `${title} `);
      line.append(make("b", "", text));
      return line;
    }));
  }

  hide() {
    this.box.hidden = true;
  }

  /**
   * Show it beside the place (x, y), inside the stage.
   * @param {number} x
   * @param {number} y
   * @param {{width: number, height: number}} stage
   */
  place(x, y, stage) {
    this.box.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const left = x + 16 + width < stage.width ? x + 16 : x - 16 - width;
    const top = clamp(y + 16, 4, Math.max(4, stage.height - height - 4));
    this.box.style.transform = `translate(${Math.max(4, left)}px, ${top}px)`;
  }
}
