/* What the tests of the modules are written with. `tests/browser/test_javascript.py` runs them. */

const tests = [];

/** Say what holds, and how to see it; `act` may be async. */
export function test(name, act) {
  tests.push({ name, act });
}

/** Run all tests that the imported files have named; gives what went wrong in each, or an empty text. */
export async function run() {
  const results = [];
  for (const { name, act } of tests) {
    try {
      await act();
      results.push({ name, error: "" });
    } catch (error) {
      results.push({ name, error: String(error?.stack ?? error) });
    }
  }
  return results;
}

export function ok(value, what = "") {
  if (!value) throw new Error(`${what || "value"} is ${value}`);
}

/** Both are the same when written out, typed arrays as arrays. */
export function equal(actual, expected) {
  const [one, other] = [written(actual), written(expected)];
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

export function close(actual, expected, tolerance = 1e-9) {
  if (!(Math.abs(actual - expected) <= tolerance)) throw new Error(`${actual} is not ${expected} ± ${tolerance}`);
}

function written(value) {
  return JSON.stringify(value, (_, part) => {
    if (ArrayBuffer.isView(part)) return [...part];
    if (part === undefined || Number.isNaN(part) || Math.abs(part) === Infinity) return String(part);
    return part;
  });
}

/** Numbers from 0 to 1 that are the same in every run. */
export function random(seed = 1) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Let `act` set timers that go off only when `fire` is called. */
export async function withTimer(act) {
  const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
  let waiting = null;
  globalThis.setTimeout = (call) => (waiting = call, 1);
  globalThis.clearTimeout = () => (waiting = null);
  const fire = () => {
    const call = waiting;
    waiting = null;
    call?.();
    return call !== null;
  };
  try {
    await act(fire);
  } finally {
    [globalThis.setTimeout, globalThis.clearTimeout] = [set, clear];
  }
}
