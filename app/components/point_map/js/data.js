/*
 * What Python sends: a JSON header and typed arrays in one block of bytes, as `pack` in `data.py` writes them.
 */

/** A coordinate that says: this point is not on the map. */
export const HIDDEN = 65535;

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };

/**
 * @typedef {Object} Palette
 * @property {string[]} colours CSS colours, one per category
 * @property {string} grey of what is not highlighted
 * @property {?string} accent of the one highlighted category where there are too many for a colour each
 */

/**
 * @typedef {Object} Header
 * @property {number} n points
 * @property {number} frames moments in task time
 * @property {string} place says which coordinates these are: with others, the view starts anew
 * @property {number[]} extent width and height of the map in its own units
 * @property {number} frame to show
 * @property {string[]} frame_names
 * @property {string[]} names of the categories
 * @property {?number} highlight the category in colour while all others are grey
 * @property {{light: Palette, dark: Palette}} palette
 * @property {string} ring_name what a ring around a point means
 * @property {{title: string, names: string[]}[]} columns lines of hover text; a point's code is a place in `names`
 * @property {?import("../../browser/thumbnail.js").Sheets} sprites the thumbnails, where there are any
 * @property {number[][][]} ellipses per frame: [cx, cy, rx, ry, angle, category, weight]
 * @property {string} title
 * @property {string} noun what the points are
 * @property {{name: string, type: "uint8" | "uint16" | "uint32", offset: number, length: number}[]} arrays
 * @property {string} key of the component
 * @property {number} height of the stage in pixels
 * @property {boolean} selectable whether a click and a lasso are reported
 * @property {boolean} report_frame whether the frame is reported
 */

/** @typedef {Uint8Array | Uint16Array | Uint32Array} Column one value per point, or one per point and frame */

/**
 * @param {Uint8Array} bytes
 * @returns {{header: Header, points: Points}}
 */
export function readPayload(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  /** @type {Header} */
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const body = bytes.slice(4 + length).buffer;
  /** @type {Object<string, Column>} */
  const arrays = {};
  for (const { name, type, offset, length } of header.arrays) arrays[name] = new ARRAYS[type](body, offset, length);
  return { header, points: new Points(header, arrays) };
}

/** What is known of each point; `frame` is a whole number, `i` the row of a point. */
export class Points {
  /**
   * @param {Header} header
   * @param {Object<string, Column>} arrays
   */
  constructor(header, arrays) {
    this.header = header;
    this.n = header.n;
    this.arrays = arrays;
    this.ringBytes = Math.ceil(this.n / 8);
  }

  /**
   * Where a column's values for this frame begin: it has either one value per point or one per point and frame.
   * @param {Column} values
   * @param {number} frame
   */
  start(values, frame) {
    return values.length > this.n ? frame * this.n : 0;
  }

  /** @param {number} frame @param {number} i */
  shown(frame, i) {
    return this.arrays.xy[2 * (frame * this.n + i)] !== HIDDEN;
  }

  /** @param {number} frame @param {number} i */
  ringed(frame, i) {
    const { rings } = this.arrays;
    return rings !== undefined && ((rings[frame * this.ringBytes + (i >> 3)] >> (i & 7)) & 1) === 1;
  }

  /** The number by which Python knows a point. @param {number} i */
  id(i) {
    return this.arrays.ids ? this.arrays.ids[i] : i;
  }

  /** The row of the point with this number; −1 where there is none. @param {number} id */
  row(id) {
    for (let i = 0; i < this.n; i++) if (this.id(i) === id) return i;
    return -1;
  }

  /** Which thumbnail, counted through all sheets. @param {number} i */
  sprite(i) {
    return this.arrays.sprite ? this.arrays.sprite[i] : i;
  }

  /**
   * Lines of hover text.
   * @param {number} frame
   * @param {number} i
   * @returns {{title: string, text: string, ringed: boolean}[]}
   */
  lines(frame, i) {
    const lines = this.header.columns.map(({ title, names }, c) => {
      const codes = this.arrays[`column${c}`];
      return { title, text: names[codes[this.start(codes, frame) + i]], ringed: false };
    });
    if (this.ringed(frame, i)) lines.push({ title: "", text: `○ ${this.header.ring_name}`, ringed: true });
    return lines;
  }

  /** How many points are on the map, and how many of them have a ring. @param {number} frame */
  count(frame) {
    let shown = 0;
    let ringed = 0;
    for (let i = 0; i < this.n; i++) {
      if (!this.shown(frame, i)) continue;
      shown++;
      if (this.ringed(frame, i)) ringed++;
    }
    return { shown, ringed };
  }
}
