/* Task time: which frame the map is going to, where between two frames it is, and playing through all of them. */

import { clamp, ease } from "./geometry.js";

const MOVE_MS = 600; // from one frame to the next
const HOLD_MS = 700; // rest at a frame while playing

export class Player {
  /**
   * @param {Object} tell
   * @param {() => void} tell.changed the frame or the button has changed: show it, and draw until `tick` says no
   * @param {() => void} tell.rested the map stays at `frame`
   * @param {() => boolean} tell.still whether the person wants no motion
   */
  constructor(tell) {
    this.tell = tell;
    this.frames = 1;
    this.frame = 0; // where it is going
    this.clock = 0; // where it is; between whole numbers while points move
    this.playing = false;
    /** @type {?{from: number, to: number, start: number, length: number}} the way that it is on; times in ms */
    this.way = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.holding = undefined;
  }

  /** Whether points are on their way. */
  get moving() {
    return this.way !== null;
  }

  /** Be at a frame at once. @param {number} frame */
  jump(frame) {
    this.frame = this.clock = clamp(frame, 0, this.frames - 1);
  }

  /** There are so many frames now. @param {number} frames */
  limit(frames) {
    this.frames = frames;
    this.clock = Math.min(this.clock, frames - 1);
    this.frame = Math.min(this.frame, frames - 1);
  }

  /** Move to a frame. @param {number} frame */
  goTo(frame) {
    this.frame = clamp(frame, 0, this.frames - 1);
    const [from, to] = [this.clock, this.frame];
    const length = this.tell.still() || from === to ? 0 : MOVE_MS * Math.sqrt(Math.abs(to - from));
    this.way = { from, to, start: performance.now(), length };
    this.tell.changed();
  }

  /**
   * Advance the clock; true while points are on their way.
   * @param {number} now ms, as `performance.now()` counts
   */
  tick(now) {
    if (!this.way) return false;
    const { from, to, start, length } = this.way;
    const share = length ? clamp((now - start) / length, 0, 1) : 1;
    this.clock = share < 1 ? from + (to - from) * ease(share) : to;
    if (share < 1) return true;
    this.way = null;
    this.arrive();
    return false;
  }

  arrive() {
    if (!this.playing) return this.tell.rested();
    clearTimeout(this.holding);
    this.holding = setTimeout(() => {
      if (this.frame + 1 < this.frames) this.goTo(this.frame + 1);
      else this.play(false);
    }, HOLD_MS);
  }

  /** Play on, from the start where it is at the end; or pause. @param {boolean} on */
  play(on) {
    this.playing = on;
    clearTimeout(this.holding);
    if (on) return this.goTo(this.frame + 1 < this.frames ? this.frame + 1 : 0);
    this.tell.rested();
    this.tell.changed();
  }

  /** Move to a frame that the person has chosen, which ends playing. @param {number} frame */
  choose(frame) {
    this.playing = false;
    clearTimeout(this.holding);
    this.goTo(frame);
  }

  /** Nothing happens from now on. */
  stop() {
    clearTimeout(this.holding);
  }
}
