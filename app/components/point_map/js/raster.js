/*
 * A canvas that is filled pixel by pixel with small stamps (discs, rings) which blend into each other. In software this
 * is several times faster than drawing paths: 50,000 points stay fluid without a GPU.
 */

/** The opaque alpha. */
const FULL = 256;

/** @typedef {{offsets: Int32Array, cover: Uint16Array}} Stamp pixels from the centre, and how much of each is covered */

export class Raster {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.margin = 24; // pixels around the canvas, so that a stamp at the edge needs no clipping
    this.stride = 0; // pixels from a row to the next
    this.image = new ImageData(1, 1);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** @param {number} width @param {number} height pixels of the screen, not CSS pixels */
  resize(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
    this.stride = width + 2 * this.margin;
    this.image = new ImageData(this.stride, height + 2 * this.margin);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** @param {number[]} colour [r, g, b] */
  clear([r, g, b]) {
    this.pixels.fill((0xff000000 | (b << 16) | (g << 8) | r) >>> 0);
  }

  show() {
    this.context.putImageData(this.image, -this.margin, -this.margin);
  }

  /**
   * A round stamp for each of 4 × 4 positions inside a pixel.
   * @param {number} radius
   * @param {number} line hollows it out to a ring of that width
   * @returns {Stamp[]}
   */
  stamps(radius, line = radius + 1) {
    const reach = Math.ceil(radius + 1);
    /** @param {number} distance @param {number} edge */
    const inside = (distance, edge) => Math.min(1, Math.max(0, edge + 0.5 - distance));
    return Array.from({ length: 16 }, (_, place) => {
      const offsets = [];
      const cover = [];
      for (let y = -reach; y <= reach; y++) {
        for (let x = -reach; x <= reach; x++) {
          const distance = Math.hypot(x + 0.375 - (place & 3) / 4, y + 0.375 - (place >> 2) / 4);
          const share = inside(distance, radius) - (line > radius ? 0 : inside(distance, radius - line));
          if (share < 0.02) continue;
          offsets.push(y * this.stride + x);
          cover.push(Math.round(share * FULL));
        }
      }
      return { offsets: Int32Array.from(offsets), cover: Uint16Array.from(cover) };
    });
  }

  /**
   * Blend a stamp in; its centre must lie within `margin` of the canvas.
   * @param {Stamp[]} stamps
   * @param {number} x
   * @param {number} y
   * @param {number[]} colour as `packed` gives it
   * @param {number} alpha 0 to 256
   */
  stamp(stamps, x, y, [redBlue, green], alpha) {
    const left = Math.floor(x);
    const top = Math.floor(y);
    const { offsets, cover } = stamps[(((y - top) * 4) << 2) | ((x - left) * 4)];
    const centre = (top + this.margin) * this.stride + left + this.margin;
    const { pixels } = this;
    for (let k = 0; k < offsets.length; k++) {
      const at = centre + offsets[k];
      const over = (cover[k] * alpha) >> 8;
      const under = FULL - over;
      const old = pixels[at];
      // two channels in one product: the sum stays below 2³², so the wrap-around of imul does no harm
      const rb = ((Math.imul(redBlue, over) + Math.imul(old & 0xff00ff, under)) >>> 8) & 0xff00ff;
      const g = ((Math.imul(green, over) + Math.imul(old & 0x00ff00, under)) >>> 8) & 0x00ff00;
      pixels[at] = 0xff000000 | rb | g;
    }
  }
}

/** A colour's channels as `Raster.stamp` wants them: red and blue in one number, green in another. @param {number[]} colour */
export const packed = ([r, g, b]) => [(b << 16) | r, g << 8];
