/*
 * The drawings of the stages, each 400 × 400. A wire runs through them at half their height, so that side by side they
 * are one picture.
 */

import { entering, line, shape } from "../browser/svg.js";

const SIDE = 400;
const MIDDLE = SIDE / 2;

/** @typedef {import("./way.js").Way} Way */

/** The drawing of a stage. @param {string} key of the stage @param {Way} way @param {boolean} missing */
export function drawing(key, way, missing) {
  const draw = { patches, blocks, embedding, space, nearest, adapter, head, answer }[key];
  const first = key === "patches";
  const last = key === "answer";
  const parts = missing ? [absent()] : draw(way);
  return shape(
    "svg",
    { viewBox: `0 0 ${SIDE} ${SIDE}`, "aria-hidden": "true" },
    ...(first ? [] : [wire(0)]),
    ...(last ? [] : [wire(SIDE - 28)]),
    ...parts,
  );
}

/** A piece of the wire. @param {number} from */
function wire(from) {
  return shape("path", { class: "wire", d: `M${from} ${MIDDLE}h28` });
}

function absent() {
  return shape(
    "g",
    { class: "absent" },
    shape("path", { class: "wire", d: `M28 ${MIDDLE}H${SIDE - 28}`, "stroke-dasharray": "2 8" }),
    shape("text", { x: MIDDLE, y: MIDDLE - 18, class: "middle" }, "not in this method"),
  );
}

/** @param {Way} way @param {number} x @param {number} y @param {number} size @param {number} which */
function picture(way, x, y, size, which = 0) {
  const frame = { x, y, width: size, height: size };
  const address = way.pictures[which];
  return address ? shape("image", { ...frame, href: address, class: "photo" }) : shape("rect", { ...frame, class: "empty" });
}

/** @param {Way} way */
function patches(way) {
  const count = way.patches;
  const whole = 280;
  const cell = whole / count;
  const drift = Math.min(9, 64 / count); // how far neighbours move apart
  const parts = [];
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < count; column++) {
      const move = [column, row].map((at) => `${((at - (count - 1) / 2) * drift).toFixed(1)}px`).join(",");
      const window_ = { x: 60 + column * cell, y: 60 + row * cell, width: cell, height: cell };
      const cut = shape("svg", { ...window_, viewBox: `${window_.x} ${window_.y} ${cell} ${cell}` }, picture(way, 60, 60, whole));
      parts.push(shape("g", { class: "patch", style: `--move: translate(${move})` }, cut));
    }
  }
  return parts;
}

/** @param {Way} way */
function blocks(way) {
  const rows = way.units.length;
  const high = rows ? Math.min(22, 130 / rows) : 0;
  const top = 60;
  const tall = 300 - (rows ? rows * high + 24 : 0);
  return [
    ...tower(way, top, tall),
    ...way.units.map((row, task) => entering(4 + task, ...squares(way, row, task, top + tall + 24 + task * high, high - 3))),
    ...(rows ? [line(34, top + tall + 18, way.own ? "what each task's adapter adds" : "what all tasks add", "small")] : []),
  ];
}

/** The frozen blocks. @param {Way} way @param {number} top @param {number} tall */
function tower(way, top, tall) {
  const wide = 332 / way.depth;
  return [...Array(way.depth).keys()].map((block) =>
    entering(
      block / 3,
      shape("rect", { class: "block", x: 34 + block * wide + 1, y: top, width: wide - 2, height: tall, rx: 3 }),
      ...(way.depth <= 12 || block % 4 === 0
        ? [line(34 + (block + 0.5) * wide, top + tall / 2 + 5, String(block), "middle small")]
        : []),
    ),
  );
}

/** @param {Way} way @param {number[]} row @param {number} task @param {number} y @param {number} high */
function squares(way, row, task, y, high) {
  const wide = 332 / way.depth;
  return row.map((share, block) =>
    shape("rect", {
      x: 34 + block * wide + 1,
      y,
      width: wide - 2,
      height: high,
      rx: 2,
      class: share > 0 ? "unit" : "unit off",
      style: `fill: var(--task-${way.own ? task : "all"}); fill-opacity: ${share > 0 ? 0.2 + 0.8 * share : 0.06}`,
    }),
  );
}

/** @param {Way} way */
function embedding(way) {
  if (!way.vector.length) return [line(MIDDLE, MIDDLE, "not recorded", "middle")];
  const columns = Math.ceil(Math.sqrt(way.vector.length));
  const cell = 312 / columns;
  const rows = [];
  for (let first = 0; first < way.vector.length; first += columns) {
    const cells = way.vector.slice(first, first + columns).map((value, column) =>
      shape("rect", {
        x: 44 + column * cell,
        y: 44 + (first / columns) * cell,
        width: cell * 0.9,
        height: cell * 0.9,
        class: value < 0 ? "below" : "above",
        "fill-opacity": (Math.abs(value) / 100).toFixed(2),
      }),
    );
    rows.push(entering(rows.length / 2, ...cells));
  }
  return rows;
}

/** @param {Way} way */
function space(way) {
  if (!way.space) return [line(MIDDLE, MIDDLE, "this run keeps no map", "middle")];
  const [left, wide] = [50, 300];
  const at = (value) => left + value * wide;
  const { points, centres, image } = way.space;
  const dots = points.map(([x, y, task]) =>
    shape("circle", { cx: at(x), cy: at(1 - y), r: 3.2, class: "dot", style: `fill: var(--task-${task})` }),
  );
  const means = centres.map(([x, y, task, , chosen]) =>
    shape("path", {
      class: chosen ? "centre chosen" : "centre",
      d: `M${at(x) - 7} ${at(1 - y)}h14m-7 -7v14`,
      style: `stroke: var(--task-${task})`,
    }),
  );
  const near = centres.find(([, , , , chosen]) => chosen);
  const parts = [entering(0, ...dots), entering(8, ...means)];
  if (image) {
    const [x, y] = [at(image[0]), at(1 - image[1])];
    if (near) parts.push(entering(20, shape("path", { class: "link", d: `M${x} ${y}L${at(near[0])} ${at(1 - near[1])}` })));
    // The picture stands beside its place, towards the middle, so that it hides neither the place nor the component.
    const [px, py] = [x < MIDDLE ? x + 14 : x - 54, y < MIDDLE ? y + 14 : y - 54];
    parts.push(
      entering(
        14,
        picture(way, px, py, 40),
        shape("rect", { x: px, y: py, width: 40, height: 40, class: "edge" }),
        shape("circle", { cx: x, cy: y, r: 7, class: "ring" }),
      ),
    );
  }
  return [...parts, ...legend(way)];
}

/** Which colour is which task. @param {Way} way */
function legend(way) {
  const tasks = [...new Set(way.space.points.map(([, , task]) => task))].sort((a, b) => a - b);
  if (tasks.length > 8) return [line(MIDDLE, 388, `in colour: task ${way.answer.task + 1}`, "middle small")];
  return [
    line(34, 388, "task", "small"),
    ...tasks.flatMap((task, place) => [
      shape("circle", { cx: 84 + place * 38, cy: 383, r: 6, style: `fill: var(--task-${task})` }),
      line(94 + place * 38, 388, String(task + 1), "small"),
    ]),
  ];
}

/** @param {Way} way */
function nearest(way) {
  const high = Math.min(46, 230 / way.bars.length);
  const rows = way.bars.map((bar, place) => {
    const y = 44 + place * high;
    const mark = bar.true ? " (its own)" : "";
    return entering(
      place * 2,
      line(40, y + 13, `${bar.task + 1} · ${bar.name}${mark}`, bar.retrieved ? "small strong" : "small", 32),
      line(362, y + 13, bar.value, bar.retrieved ? "small strong end" : "small end", 16),
      shape("rect", {
        x: 40, y: y + 18, width: Math.max(3, 320 * bar.length), height: Math.min(12, high - 22), rx: 3,
        style: `fill: var(--task-${bar.task})`,
      }),
    );
  });
  const size = 52;
  const shown = way.pictures.slice(1, 6).map((_, place) => picture(way, 40 + place * (size + 8), 312, size, place + 1));
  return [...rows, ...(way.near ? [entering(12, line(40, 302, way.near, "small", 44), ...shown)] : [])];
}

/** @param {Way} way */
function adapter(way) {
  const row = way.units[way.lit];
  const parts = row ? [entering(0, ...squares(way, row, way.lit, 44, 30))] : [];
  if (!way.update) return [...parts, line(MIDDLE, MIDDLE, "its matrices are not in the run", "middle")];
  const { up, down, delta, rank, width, out, site } = way.update;
  const thin = Math.max(12, Math.min(40, rank * 2));
  const edge = { preserveAspectRatio: "none", class: "matrix" };
  return [
    ...parts,
    line(34, 96, `Block ${site.replace("/", ", ")}`, "small strong"),
    entering(3, line(34, 122, "B", "strong"), shape("image", { ...edge, href: up, x: 34, y: 130, width: thin, height: 160 }), frame(34, 130, thin, 160)),
    line(34 + thin + 12, 214, "×", "middle"),
    entering(6, line(34 + thin + 24, 122, "A", "strong"), shape("image", { ...edge, href: down, x: 34 + thin + 24, y: 130, width: 116, height: thin }), frame(34 + thin + 24, 130, 116, thin)),
    line(196, 214, "→", "middle"),
    entering(12, line(212, 122, "ΔW", "strong"), shape("image", { ...edge, href: delta, x: 212, y: 130, width: 154, height: 160 }), frame(212, 130, 154, 160)),
    line(34, 318, `B: ${out} × ${rank} · A: ${rank} × ${width} · ΔW: ${out} × ${width}`, "small", 60),
    line(34, 342, `${(rank * (out + width)).toLocaleString("en")} numbers instead of ${(out * width).toLocaleString("en")}`, "small", 60),
  ];
}

/** @param {number} x @param {number} y @param {number} width @param {number} height */
function frame(x, y, width, height) {
  return shape("rect", { x, y, width, height, class: "frame-line" });
}

/** @param {Way} way */
function head(way) {
  if (!way.head.length) return [line(MIDDLE, MIDDLE, "not recorded for this image", "middle")];
  const high = Math.min(64, 312 / way.head.length);
  const top = MIDDLE - (high * way.head.length) / 2;
  return way.head.map((one, place) =>
    entering(
      place * 2,
      line(40, top + place * high + 13, one.name, one.chosen ? "small strong" : "small", 26),
      line(362, top + place * high + 13, `${one.score} · ${percent(one.share)}`, "small end"),
      shape("rect", {
        x: 40, y: top + place * high + 18, width: Math.max(2, 320 * one.share), height: Math.min(16, high - 22), rx: 3,
        style: `fill: var(--task-${way.own ? way.answer.task : "all"})`,
      }),
    ),
  );
}

/** @param {number} share */
function percent(share) {
  if (share > 0.999) return ">99.9%";
  return share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(1)}%`;
}

/** @param {Way} way */
function answer(way) {
  const { says, right, taskName, task } = way.answer;
  return [
    entering(0, picture(way, 110, 50, 180)),
    entering(6, shape("rect", { x: 110, y: 50, width: 180, height: 180, class: right ? "verdict right" : "verdict wrong" })),
    entering(8, line(MIDDLE, 276, says, "middle large", 24)),
    entering(
      10,
      line(MIDDLE, 306, right ? "✓ right" : `✗ it is ${way.answer.is}`, right ? "middle strong good" : "middle strong bad", 36),
      line(MIDDLE, 336, `task ${task + 1} · ${taskName}`, "middle small", 40),
    ),
  ];
}
