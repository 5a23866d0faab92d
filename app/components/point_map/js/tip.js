/* The thumbnail and the text of a point, beside it. */

import { clamp } from "./geometry.js";

const SHEET = { cells: 1024, row: 32, side: 64 };

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
    if (sprites) {
      const number = points.sprite(i);
      const cell = number % SHEET.cells;
      const name = String(Math.floor(number / SHEET.cells)).padStart(3, "0");
      const url = new URL(sprites.replace("{sheet}", name), document.baseURI).href;
      const [x, y] = [(cell % SHEET.row) * SHEET.side, Math.floor(cell / SHEET.row) * SHEET.side];
      this.thumbnail.style.backgroundImage = `url("${url}")`;
      this.thumbnail.style.backgroundPosition = `${-x}px ${-y}px`;
    }
    this.lines.replaceChildren(...points.lines(frame, i).map(({ title, text, ringed }) => {
      const line = document.createElement("div");
      if (title) line.append(`${title} `);
      const value = document.createElement("b");
      value.textContent = text;
      line.append(value);
      line.classList.toggle("ringed", ringed);
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
