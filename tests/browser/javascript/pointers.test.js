import { Pointers } from "/app/components/point_map/js/pointers.js";
import { close, equal, ok, test, withTimer } from "./harness.js";

const FINGER = { touch: true };

/** Pointers whose acts are written down as [name, ...values]. */
function pointers(selectable = true) {
  const acts = [];
  const note = (name) => (...values) => acts.push([name, ...values]);
  const names = ["hover", "leave", "press", "pan", "zoom", "click", "tap", "pickOut", "outline", "lasso"];
  const made = new Pointers({
    ...Object.fromEntries(names.map((name) => [name, note(name)])),
    hold: (...place) => acts.push(["hold", ...place]) && selectable,
  });
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
  made.press(1, 10, 10);
  made.move(1, 12, 11);
  made.release(1, 12, 11);
  equal(only("press", "click", "pan"), [["press"], ["click", 12, 11]]);
});

test("a press that moves pans by as much, and is no click", () => {
  const { made, only } = pointers();
  made.press(1, 10, 10);
  for (const x of [13, 20, 21, 40]) made.move(1, x, 10);
  made.release(1, 40, 10);
  equal(only("pan").reduce((sum, [, dx]) => sum + dx, 0), 30);
  equal(only("click"), []);
  equal(made.panning, false);
});

test("two fingers zoom by how far they part, about the place between them, and tap nothing", () => {
  const { made, only } = pointers();
  made.press(1, 100, 100, FINGER);
  made.press(2, 200, 100, FINGER);
  made.move(2, 300, 100);
  made.release(1, 100, 100); // the finger that stayed where it was
  made.release(2, 300, 100);
  equal(only("zoom", "pan"), [["pan", 50, 0], ["zoom", 2, 200, 100]]);
  equal(only("click", "tap", "pickOut"), []);
});

test("two fingers that go the same way pan", () => {
  const { made, only } = pointers();
  made.press(1, 100, 100, FINGER);
  made.press(2, 200, 100, FINGER);
  for (let step = 1; step <= 20; step++) {
    made.move(1, 100, 100 + 2 * step);
    made.move(2, 200, 100 + 2 * step);
  }
  close(only("pan").reduce((sum, [, , dy]) => sum + dy, 0), 40);
  close(only("zoom").reduce((product, [, factor]) => product * factor, 1), 1, 0.01);
});

test("a finger that trembles taps", () => {
  const { made, only } = pointers();
  made.press(1, 10, 10, FINGER);
  made.move(1, 16, 14);
  made.release(1, 16, 14);
  equal(only("tap", "click", "pan"), [["tap", 16, 14]]);
});

test("a finger that rests picks out where it is lifted, or draws a lasso", () =>
  withTimer((fire) => {
    const { made, only } = pointers();
    made.press(1, 10, 10, FINGER);
    ok(fire());
    made.release(1, 12, 10);
    equal(only("hold", "pickOut", "tap", "lasso"), [["hold", 10, 10], ["pickOut", 12, 10]]);
    made.press(1, 10, 10, FINGER);
    ok(fire());
    for (const place of [[60, 10], [60, 60], [10, 60]]) made.move(1, ...place);
    made.release(1, 10, 60);
    equal(only("lasso", "pan", "tap"), [["lasso", [[10, 10], [60, 10], [60, 60], [10, 60]]]]);
  }));

test("a finger that moves at once pans, and where nothing can be selected it never draws", () =>
  withTimer((fire) => {
    const { made, only } = pointers();
    made.press(1, 10, 10, FINGER);
    made.move(1, 30, 10);
    ok(!fire(), "no lasso waits");
    made.release(1, 30, 10);
    equal(only("pan", "hold", "tap"), [["pan", 20, 0]]);
    const still = pointers(false);
    still.made.press(1, 10, 10, FINGER);
    ok(fire());
    still.made.move(1, 40, 10);
    equal(still.only("pan", "outline"), [["pan", 30, 0]]);
  }));

test("a second finger ends a lasso", () =>
  withTimer((fire) => {
    const { made, only } = pointers();
    made.press(1, 10, 10, FINGER);
    ok(fire());
    made.press(2, 90, 10, FINGER);
    equal(made.corners, null);
    made.release(2, 90, 10);
    made.release(1, 10, 10);
    equal(only("lasso", "pickOut", "tap", "click"), []);
  }));

test("a lasso is told as it is drawn, closed once, and clicks nothing", () => {
  const { made, only } = pointers();
  made.press(1, 0, 0, { lasso: true });
  for (const place of [[50, 0], [50, 50], [0, 50]]) made.move(1, ...place);
  equal(made.corners.length, 4);
  made.release(1, 0, 50);
  equal(only("lasso", "click", "pan"), [["lasso", [[0, 0], [50, 0], [50, 50], [0, 50]]]]);
  equal(made.corners, null);
});

test("a pointer that the browser takes away does nothing", () => {
  const { made, only } = pointers();
  made.press(1, 0, 0, { lasso: true });
  made.move(1, 50, 0);
  made.cancel(1);
  made.release(1, 50, 0);
  equal(only("lasso", "click"), []);
});
