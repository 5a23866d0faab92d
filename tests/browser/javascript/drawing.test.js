import { Camera } from "/app/components/point_map/js/camera.js";
import { Points } from "/app/components/point_map/js/data.js";
import { drawPoints, radius } from "/app/components/point_map/js/drawing.js";
import { packed, Raster } from "/app/components/point_map/js/raster.js";
import { Screen } from "/app/components/point_map/js/screen.js";
import { colourOf, readTheme, rgb } from "/app/components/point_map/js/theme.js";
import { close, equal, ok, test } from "./harness.js";

const RED = [255, 0, 0];

function raster(width = 60, height = 40) {
  const made = new Raster(document.createElement("canvas"));
  made.resize(width, height);
  made.clear([255, 255, 255]);
  return made;
}

/** [r, g, b] at (x, y) of the canvas. */
function pixel({ canvas }, x, y) {
  return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.subarray(0, 3)];
}

test("a disc is opaque in its middle, covers as much as its area, and leaves the rest", () => {
  const made = raster();
  made.stamp(made.stamps(5), 30, 20, packed(RED), 256);
  made.show();
  equal(pixel(made, 30, 20), RED);
  equal(pixel(made, 30, 27), [255, 255, 255]);
  let covered = 0;
  for (let y = 0; y < 40; y++) for (let x = 0; x < 60; x++) covered += (255 - pixel(made, x, y)[1]) / 255;
  close(covered, Math.PI * 25, 3);
});

test("half an alpha mixes the colour with the ground, and a ring is hollow", () => {
  const made = raster();
  made.stamp(made.stamps(5), 15, 20, packed(RED), 128);
  made.stamp(made.stamps(8, 2), 40, 20, packed(RED), 256);
  made.show();
  close(pixel(made, 15, 20)[1], 127, 2);
  equal(pixel(made, 40, 20), [255, 255, 255]);
  equal(pixel(made, 47, 20), RED);
});

test("stamps beyond the edge are drawn as far as they reach", () => {
  const made = raster();
  for (const [x, y] of [[-3, 20], [62, 20], [30, -3], [30, 42]]) made.stamp(made.stamps(5), x, y, packed(RED), 256);
  made.show();
  for (const [x, y] of [[0, 20], [59, 20], [30, 0], [30, 39]]) equal(pixel(made, x, y), RED);
});

test("any CSS colour is read, and none is grey", () => {
  equal(rgb("#0072b2"), [0, 0x72, 0xb2]);
  equal(rgb("rgb(1 2 3)"), [1, 2, 3]);
  equal(rgb("no colour"), [0x88, 0x88, 0x88]);
});

test("the palette follows the ground of the page", () => {
  const palettes = { light: { grey: "light" }, dark: { grey: "dark" } };
  const element = document.body.appendChild(document.createElement("div"));
  for (const [ground, name] of [["#ffffff", "light"], ["#0e1117", "dark"]]) {
    element.style.setProperty("--st-background-color", ground);
    equal(readTheme(element, palettes).palette.grey, name);
  }
});

test("a highlighted category keeps its colour, or takes the accent where there are too many", () => {
  const palette = { colours: ["red", "green"], grey: "grey", accent: null };
  equal([0, 1].map((c) => colourOf(c, null, palette)), ["red", "green"]);
  equal([0, 1].map((c) => colourOf(c, 1, palette)), ["grey", "green"]);
  equal([0, 1].map((c) => colourOf(c, 1, { ...palette, accent: "orange" })), ["grey", "orange"]);
});

test("points in front hide those behind, and a selection greys what it leaves out", () => {
  const palette = { colours: ["#ff0000", "#0000ff"], grey: "#808080", accent: null };
  const header = { n: 2, names: ["a", "b"], ellipses: [] };
  const points = new Points(header, { category: Uint8Array.from([0, 1]), xy: new Uint16Array(4) });
  const screen = new Screen(2);
  screen.x.fill(30);
  screen.y.fill(20);
  screen.alpha.fill(256);
  const scene = {
    header, points, screen, camera: new Camera(), player: { clock: 0 }, highlight: null, selected: null,
    theme: { ground: [255, 255, 255], ink: "#000000", palette }, size: { width: 60, height: 40, ratio: 1 },
  };
  const middle = (changes) => {
    const made = raster();
    drawPoints(made, { ...scene, ...changes });
    return pixel(made, 30, 20);
  };
  const [red, , blue] = middle({});
  ok(blue > 200 && red < 40, "the later point lies above");
  ok(middle({ highlight: 0 })[0] > 200, "the highlighted one lies above");
  ok(middle({ selected: Uint8Array.from([1, 0]) })[0] > 200, "the selected one lies above");
  screen.alpha[0] = 0;
  const [r, g, b] = middle({ selected: Uint8Array.from([1, 0]) });
  ok(r === g && g === b && r < 255 && r > 128, "left out: faint grey");
});

test("points are smaller where there are many, and grow a little with zoom", () => {
  const camera = new Camera();
  ok(radius(100, camera) > radius(50_000, camera));
  const before = radius(100, camera);
  camera.zoom(8, 0, 0);
  ok(radius(100, camera) > before && radius(100, camera) <= 3 * before);
});
