import { Camera } from "/app/components/point_map/js/camera.js";
import { close, equal, ok, random, test } from "./harness.js";

const onScreen = ({ k, x, y }, u, v) => [x + k * u, y - k * v];

test("the whole map is shown, in the middle of the stage", () => {
  for (const [extent, width, height] of [[[1000, 400], 800, 500], [[400, 1000], 390, 844], [[0, 0], 300, 300]]) {
    const camera = new Camera();
    camera.showAll(extent, width, height);
    const [left, bottom] = onScreen(camera, 0, 0);
    const [right, top] = onScreen(camera, ...extent);
    ok(left >= 0 && top >= 0 && right <= width && bottom <= height, "inside");
    close(left + right, width);
    close(top + bottom, height);
    ok(!camera.moved);
  }
});

test("zooming keeps the place under the pointer", () => {
  const next = random();
  const camera = new Camera();
  camera.showAll([65534, 40000], 900, 560);
  for (let round = 0; round < 200; round++) {
    const [x, y] = [900 * next(), 560 * next()];
    const [u, v] = [(x - camera.x) / camera.k, (camera.y - y) / camera.k];
    camera.zoom(0.5 + 1.5 * next(), x, y);
    const [after, below] = onScreen(camera, u, v);
    close(after, x, 1e-6);
    close(below, y, 1e-6);
  }
});

test("zoom ends at half and at 200 times the whole map", () => {
  const camera = new Camera();
  camera.showAll([100, 100], 500, 500);
  camera.zoom(1e9, 250, 250);
  close(camera.k, 200 * camera.fit);
  camera.zoom(1e-9, 250, 250);
  close(camera.k, camera.fit / 2);
});

test("a moved view says so until everything is shown again", () => {
  const camera = new Camera();
  camera.showAll([100, 100], 500, 500);
  const { x, y } = camera;
  camera.pan(30, -20);
  equal([camera.x - x, camera.y - y, camera.moved], [30, -20, true]);
  camera.showAll([100, 100], 500, 500);
  equal([camera.x, camera.y, camera.moved], [x, y, false]);
});
