import { label, press, spoken } from "/app/components/point_map/js/keyboard.js";
import { Points } from "/app/components/point_map/js/data.js";
import { equal, ok, test } from "./harness.js";

/** What a key does on the stage: [name, ...values] of each act, and whether the browser's own was prevented. */
function pressed(init, inside = false) {
  const stage = document.createElement("div");
  const child = stage.appendChild(document.createElement("button"));
  const done = [];
  const note = (name) => (...values) => done.push([name, ...values]);
  const acts = Object.fromEntries(["step", "open", "clear", "zoom", "showAll"].map((name) => [name, note(name)]));
  stage.addEventListener("keydown", (event) => press(event, acts));
  const event = new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init });
  (inside ? child : stage).dispatchEvent(event);
  return { done, prevented: event.defaultPrevented };
}

test("each key does its own", () => {
  const keys = {
    ArrowLeft: ["step", -1, 0], ArrowRight: ["step", 1, 0], ArrowUp: ["step", 0, -1], ArrowDown: ["step", 0, 1],
    Enter: ["open"], " ": ["open"], Escape: ["clear"], "+": ["zoom", 1.4], "=": ["zoom", 1.4], 0: ["showAll"],
  };
  for (const [key, act] of Object.entries(keys)) equal(pressed({ key }), { done: [act], prevented: true });
  equal(pressed({ key: "-" }).done[0][0], "zoom");
  ok(pressed({ key: "-" }).done[0][1] < 1);
});

test("keys of the browser, of the page and of the buttons on the stage are left alone", () => {
  const nothing = { done: [], prevented: false };
  for (const key of ["Tab", "a", "toString", "F5"]) equal(pressed({ key }), nothing);
  equal(pressed({ key: "0", ctrlKey: true }), nothing);
  equal(pressed({ key: "ArrowLeft", altKey: true }), nothing);
  equal(pressed({ key: "Enter" }, true), nothing);
});

test("the label and a point are spoken in words", () => {
  const header = { title: "Map", n: 2, noun: "images", ring_name: "wrong task", columns: [{ title: "class", names: ["cat", "dog"] }] };
  const points = new Points(header, { column0: Uint8Array.from([1, 0]), rings: Uint8Array.from([0b10]), ids: Uint8Array.from([7, 9]) });
  ok(label(header).startsWith("Map: a map of 2 images."));
  equal(spoken(points, 0, 0), "class dog, number 7");
  equal(spoken(points, 0, 1), "class cat, ○ wrong task, number 9");
});
