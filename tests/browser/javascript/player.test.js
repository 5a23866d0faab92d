import { Player } from "/app/components/point_map/js/player.js";
import { close, equal, ok, test, withTimer } from "./harness.js";

/** A player whose clock and timer the test holds in its hands. */
function player({ frames = 4, still = false } = {}) {
  const told = [];
  const made = new Player({ changed: () => told.push("changed"), rested: () => told.push(made.frame), still: () => still });
  made.limit(frames);
  return { made, told };
}

/** Tick in steps of 10 ms until it rests; the places that it passed. */
function arrive(made) {
  const passed = [];
  for (let now = performance.now(); made.tick(now) && passed.length < 1000; now += 10) passed.push(made.clock);
  return passed;
}

test("a move passes between the frames, forward only, and is told once at its end", () => {
  const { made, told } = player();
  made.goTo(2);
  ok(made.moving);
  const passed = arrive(made);
  ok(passed.length > 50, `${passed.length} steps`);
  ok(passed.every((clock, k) => clock >= (passed[k - 1] ?? 0) && clock <= 2));
  equal([made.clock, made.frame, made.moving, told], [2, 2, false, ["changed", 2]]);
});

test("without motion the map is there at the next picture", () => {
  const { made, told } = player({ still: true });
  made.goTo(3);
  equal([arrive(made).length, made.clock, told], [0, 3, ["changed", 3]]);
});

test("no frame lies outside the map's", () => {
  const { made } = player({ still: true });
  for (const [wanted, got] of [[-5, 0], [99, 3]]) {
    made.goTo(wanted);
    arrive(made);
    equal(made.clock, got);
  }
  made.limit(2);
  equal([made.frame, made.clock], [1, 1]);
  made.jump(7);
  equal([made.frame, made.clock], [1, 1]);
});

test("playing visits every frame, starts anew from the last one and rests at the end", () =>
  withTimer((fire) => {
    const { made, told } = player({ still: true });
    made.jump(3);
    made.play(true);
    const visited = [];
    do {
      arrive(made);
      visited.push(made.clock);
    } while (fire() && made.playing);
    equal(visited, [0, 1, 2, 3]);
    equal([made.playing, told.filter((what) => what !== "changed")], [false, [3]]);
  }));

test("a pause keeps the frame, and a chosen frame ends playing", () =>
  withTimer((fire) => {
    const { made, told } = player({ still: true });
    made.play(true);
    arrive(made);
    made.play(false);
    ok(!fire(), "nothing waits");
    equal([made.frame, told.at(-1), made.playing], [1, "changed", false]);
    made.play(true);
    made.choose(0);
    arrive(made);
    ok(!fire());
    equal([made.frame, made.playing], [0, false]);
    close(made.clock, 0);
  }));
