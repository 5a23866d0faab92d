import { fitted, showThumbnail } from "/app/components/browser/thumbnail.js";
import { equal, ok, test } from "./harness.js";

test("what is magnified more than twice is sharp, and a whole multiple wide", () => {
  for (const side of [8, 28, 32, 64, 105]) {
    for (let size = 20; size <= 200; size++) {
      const drawn = fitted(size, side);
      equal(drawn.sharp, size > 2 * side);
      if (drawn.sharp) equal(drawn.size % side, 0);
      else equal(drawn.size, size);
      ok(Math.abs(drawn.size - size) <= side / 2);
    }
  }
});

test("each thumbnail is a window on its place on its sheet", () => {
  const element = document.createElement("span");
  const sheets = { address: "/thumbnails/run/{sheet}.webp", side: 28 };
  showThumbnail(element, sheets, 2 * 1024 + 3 * 32 + 5, 84);
  const { style } = element;
  equal([style.width, style.height, style.imageRendering], ["84px", "84px", "pixelated"]);
  equal([style.backgroundSize, style.backgroundPosition], [`${32 * 84}px auto`, `${-5 * 84}px ${-3 * 84}px`]);
  ok(style.backgroundImage.endsWith('/thumbnails/run/002.webp")'));
  showThumbnail(element, { ...sheets, side: 64 }, 0, 64);
  equal([style.width, style.imageRendering], ["64px", "auto"]);
});
