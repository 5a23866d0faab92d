import { Pointers } from "/app/components/point_map/js/pointers.js";
import { close, equal, test } from "./harness.js";

/** Pointers whose acts are written down as [name, ...values]. */
function pointers() {
  const acts = [];
  const note = (name) => (...values) => acts.push([name, ...values]);
  const names = ["hover", "leave", "press", "pan", "zoom", "click", "outline", "lasso"];
  const made = new Pointers(Object.fromEntries(names.map((name) => [name, note(name)])));
  const only = (...wanted) => acts.filter(([name]) => wanted.includes(name));
  return { made, only };
}

test("a pointer that is not pressed hovers", () => {
  const { made, only } = pointers();
  made.move(1, 10, 20);
  equal(only("hover", "pan", "click"), [["hover", 10, 20]]);
});

test("a press that hardly moves is a click", () => {
  const { made, only } = pointers();
  made.press(1, 10, 10, false);
  made.move(1, 12, 11);
  made.release(1, 12, 11);
  equal(only("press", "click", "pan"), [["press"], ["click", 12, 11]]);
});

test("a press that moves pans by as much, and is no click", () => {
  const { made, only } = pointers();
  made.press(1, 10, 10, false);
  for (const x of [13, 20, 21, 40]) made.move(1, x, 10);
  made.release(1, 40, 10);
  equal(only("pan").reduce((sum, [, dx]) => sum + dx, 0), 30);
  equal(only("click"), []);
  equal(made.panning, false);
});

test("two fingers zoom by how far they part", () => {
  const { made, only } = pointers();
  made.press(1, 100, 100, false);
  made.press(2, 200, 100, false);
  made.move(2, 250, 100);
  made.move(1, 50, 100);
  made.release(1, 50, 100);
  made.release(2, 250, 100);
  close(only("zoom").reduce((product, [, factor]) => product * factor, 1), 2);
  equal(only("click"), []);
});

test("a lasso is told as it is drawn, closed once, and clicks nothing", () => {
  const { made, only } = pointers();
  made.press(1, 0, 0, true);
  for (const place of [[50, 0], [50, 50], [0, 50]]) made.move(1, ...place);
  equal(made.corners.length, 4);
  made.release(1, 0, 50);
  equal(only("lasso", "click", "pan"), [["lasso", [[0, 0], [50, 0], [50, 50], [0, 50]]]]);
  equal(made.corners, null);
});

test("a pointer that the browser takes away does nothing", () => {
  const { made, only } = pointers();
  made.press(1, 0, 0, true);
  made.move(1, 50, 0);
  made.cancel(1);
  made.release(1, 50, 0);
  equal(only("lasso", "click"), []);
});
