/* Plain functions of numbers that several modules need. */

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/**
 * A movement that starts and ends slowly: the share of the way, for a share of the time.
 * @param {number} share 0 to 1
 */
export const ease = (share) => (share < 0.5 ? 4 * share ** 3 : 1 - (2 - 2 * share) ** 3 / 2);

/**
 * Whether (x, y) lies inside the closed outline: an odd number of its sides cross the ray to the right.
 * @param {number[][]} outline corners [x, y]
 * @param {number} x
 * @param {number} y
 */
export function inside(outline, x, y) {
  let odd = false;
  for (let i = 0, j = outline.length - 1; i < outline.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [outline[i], outline[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}
