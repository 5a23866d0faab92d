import { Camera } from "/app/components/point_map/js/camera.js";
import { HIDDEN, Points } from "/app/components/point_map/js/data.js";
import { clamp, ease, inside } from "/app/components/point_map/js/geometry.js";
import { FULL, Screen } from "/app/components/point_map/js/screen.js";
import { close, equal, ok, random, test } from "./harness.js";

const STAGE = { width: 640, height: 400 };

function scattered(n, seed = 1) {
  const next = random(seed);
  const screen = new Screen(n);
  for (let i = 0; i < n; i++) {
    screen.x[i] = -50 + 740 * next();
    screen.y[i] = -50 + 500 * next();
    screen.alpha[i] = next() < 0.2 ? 0 : FULL;
  }
  return screen;
}

test("between two frames points move, fade in and fade out", () => {
  const xy = Uint16Array.from([0, 0, 10, 10, HIDDEN, HIDDEN, /* frame 1 */ 100, 40, HIDDEN, HIDDEN, 30, 20]);
  const points = new Points({ n: 3 }, { xy });
  const camera = new Camera(); // one pixel a step, origin at the top left, y upward
  const screen = new Screen(3);
  screen.project(points, camera, 0.25);
  equal(screen.x, [25, 10, 30]);
  equal(screen.y, [-10, -10, -20]);
  equal(screen.alpha, [FULL, 0.75 * FULL, 0.25 * FULL]);
  screen.project(points, camera, 1);
  equal(screen.x.slice(0, 1), [100]);
  equal([screen.shows(0), screen.shows(1), screen.shows(2), screen.shows(-1)], [true, false, true, false]);
});

test("the nearest point is the one that a search through all finds", () => {
  const screen = scattered(500);
  const next = random(7);
  const within = (i) => screen.x[i] >= 0 && screen.y[i] >= 0 && screen.x[i] <= 640 && screen.y[i] <= 400;
  let found = 0;
  for (let round = 0; round < 300; round++) {
    const [x, y, reach] = [640 * next(), 400 * next(), 4 + 30 * next()];
    let [best, least] = [-1, reach];
    for (let i = 0; i < 500; i++) {
      const distance = Math.hypot(screen.x[i] - x, screen.y[i] - y);
      if (screen.alpha[i] && within(i) && distance < least) [best, least] = [i, distance];
    }
    equal(screen.nearest(x, y, reach, STAGE), best);
    found += best >= 0;
  }
  ok(found > 100 && found < 300, `found ${found}`);
});

test("points that have moved are found where they are", () => {
  const points = new Points({ n: 1 }, { xy: Uint16Array.from([100, 0, 300, 0]) });
  const camera = new Camera();
  camera.pan(0, 50);
  const screen = new Screen(1);
  screen.project(points, camera, 0);
  equal(screen.nearest(101, 50, 12, STAGE), 0);
  screen.project(points, camera, 1);
  equal([screen.nearest(101, 50, 12, STAGE), screen.nearest(301, 50, 12, STAGE)], [-1, 0]);
});

test("a step goes on in its direction, and an opposite step is possible from there", () => {
  const screen = scattered(300, 3);
  const from = screen.closest(320, 200);
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    const next = screen.neighbour(from, dx, dy, 8);
    ok(next >= 0 && screen.alpha[next] > 0);
    const [right, down] = [screen.x[next] - screen.x[from], screen.y[next] - screen.y[from]];
    const along = right * dx + down * dy;
    ok(along >= 8 && along >= Math.abs(right * dy - down * dx), "within 45° of it");
    ok(screen.neighbour(next, -dx, -dy, 8) >= 0);
  }
});

test("an empty map has no point", () => {
  const screen = new Screen(0);
  equal([screen.closest(0, 0), screen.nearest(5, 5, 12, STAGE)], [-1, -1]);
});

test("inside an outline: convex, hollow and crossing", () => {
  const square = [[0, 0], [10, 0], [10, 10], [0, 10]];
  equal([inside(square, 5, 5), inside(square, 15, 5), inside(square, -1, 5)], [true, false, false]);
  const horseshoe = [[0, 0], [10, 0], [10, 10], [7, 10], [7, 3], [3, 3], [3, 10], [0, 10]];
  equal([inside(horseshoe, 5, 8), inside(horseshoe, 1, 8), inside(horseshoe, 5, 1)], [false, true, true]);
  const eight = [[0, 0], [10, 10], [10, 0], [0, 10]];
  equal([inside(eight, 2, 5), inside(eight, 8, 5), inside(eight, 5, 8)], [true, true, false]);
});

test("ease goes from 0 to 1, never back", () => {
  equal([ease(0), ease(0.5), ease(1)], [0, 0.5, 1]);
  for (let share = 0; share < 1; share += 0.01) ok(ease(share + 0.01) >= ease(share));
  close(ease(0.3) + ease(0.7), 1);
  equal([clamp(-1, 0, 5), clamp(3, 0, 5), clamp(9, 0, 5)], [0, 3, 5]);
});
