/* What is on the map, in words. */

/** @param {number} value */
const number = (value) => value.toLocaleString("en");

/**
 * How many points are on the map, ringed and selected.
 * @param {import("./data.js").Points} points
 * @param {number} frame
 * @param {number} selected points
 */
export function summary(points, frame, selected) {
  const { header } = points;
  const { shown, ringed } = points.count(frame);
  const when = header.frames > 1 ? ` ${header.frame_names[frame]}` : "";
  const parts = [`${number(shown)} of ${number(points.n)} ${header.noun} on the map${when}`];
  if (points.arrays.rings) parts.push(`${number(ringed)} ringed: ${header.ring_name}`);
  if (selected) parts.push(`${number(selected)} selected`);
  return parts.join(" · ");
}

/** What helps where no category has a colour yet. */
export const GREY = "choose a name in the legend to colour it";
