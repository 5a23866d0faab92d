import { summary } from "/app/components/point_map/js/caption.js";
import { HIDDEN, Points } from "/app/components/point_map/js/data.js";
import { fileName, legendRows, shorten } from "/app/components/point_map/js/picture.js";
import { equal, test } from "./harness.js";

const PALETTE = { colours: ["red", "green", "blue"], grey: "grey", accent: null };

test("the caption counts points on the map, rings and the selection", () => {
  const header = { n: 3, frames: 2, frame_names: ["after task 1", "after task 2"], noun: "images", ring_name: "wrong" };
  const xy = Uint16Array.from([1, 1, 2, 2, HIDDEN, HIDDEN, /* frame 1 */ 1, 1, 2, 2, 3, 3]);
  const rings = Uint8Array.from([0b101, 0b101]); // the third point is not on the map yet in frame 0
  const points = new Points(header, { xy, rings });
  equal(summary(points, 0, 0), "2 of 3 images on the map after task 1 · 1 ringed: wrong");
  equal(summary(points, 1, 2), "3 of 3 images on the map after task 2 · 2 ringed: wrong · 2 selected");
  equal(summary(new Points({ ...header, frames: 1 }, { xy }), 0, 0), "2 of 3 images on the map");
});

test("the picture's legend: all names, as many as fit, or one against the others", () => {
  const header = { names: ["a", "b", "c"], ring_name: "wrong" };
  const names = (...options) => legendRows(header, PALETTE, ...options).map(({ name }) => name);
  equal(names(null, false, 9), ["a", "b", "c"]);
  equal(names(null, true, 2), ["a", "b", "and 1 more", "wrong"]);
  equal(legendRows(header, PALETTE, 1, false, 9), [{ name: "b", colour: "green" }, { name: "others", colour: "grey" }]);
  equal(legendRows(header, PALETTE, null, true, 9).at(-1), { name: "wrong", colour: null });
});

test("a text is cut only where it is too wide", () => {
  const measure = (text) => 10 * text.length;
  equal(shorten("abc", 30, measure), "abc");
  equal(shorten("abcdef", 40, measure), "abc…");
  equal(shorten("abcdef", 1, measure), "a…");
});

test("a file is named after the title", () => {
  equal(fileName("Map of all images"), "map-of-all-images.png");
  equal(fileName("« ../../etc »"), "etc.png");
  equal(fileName("…"), "map.png");
});
