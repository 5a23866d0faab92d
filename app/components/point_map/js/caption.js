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

/**
 * What the person may do next.
 * @param {number} selected points
 * @param {boolean} grey whether no category has a colour yet
 */
export function hints(selected, grey) {
  const hints = [];
  if (selected) hints.push("Esc clears the selection");
  if (grey) hints.push("choose a name in the legend to colour it");
  return hints.join(" · ");
}
