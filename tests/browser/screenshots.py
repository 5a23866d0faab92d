"""Pictures of every page for people to look at: `python -m tests.browser.screenshots [FOLDER] [PAGE …]`.

Without a folder: the light pages at 1280 for the README, as small PNG files in `assets/screenshots`. With one: every
page in both themes, 1280 and 1920 wide and on a phone, at full height.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from app.reading.story import telling_image
from app.reading.tables import predictions
from app.shell.navigation import DEFAULT, entries
from app.shell.run_choice import available
from tests.browser.serving import CHROMIUM, FLAGS, ROOT, at_rest, served

PHONE = 390
README = ROOT / "assets" / "screenshots"


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else README
    folder.mkdir(parents=True, exist_ok=True)
    looks = [(t, w) for t in ("light", "dark") for w in (1280, 1920, PHONE)] if arguments else [("light", 1280)]
    with tempfile.TemporaryDirectory() as runs, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        with served(ROOT / "app/server.py", Path(runs) / "log.txt", {"PROTEUS_RUNS": runs}) as url:
            for theme, width in looks:
                for path in arguments[1:] or entries():
                    picture = shot(browser, f"{url}/{address(path)}", theme, width, whole=bool(arguments))
                    name = f"{path}-{theme}-{width}.png" if arguments else f"{path}.png"
                    save(picture, folder / name)
        browser.close()


def address(path: str) -> str:
    """The page at its most telling: with an image chosen where the page shows one, or with settings that matter."""
    if path == "errors":
        card = available()[0]
        image, _ = telling_image(predictions(card).after(card.tasks - 1))
        return f"errors?run={card.name}&image={image}" if len(predictions(card)) else "errors"
    if path == "whatif":
        return "whatif?space=frozen&mixture=dp-gmm"
    return "" if path == DEFAULT else path


def shot(browser: Browser, url: str, theme: str, width: int, whole: bool) -> Image.Image:
    """The page once it has come to rest; `whole` as high as what it holds."""
    hand = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if width == PHONE else {}
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **hand)
    page = context.new_page()
    page.goto(url)
    page.locator("h1").first.wait_for(timeout=60_000)
    at_rest(page)
    page.wait_for_timeout(2000)
    if whole:
        # Streamlit scrolls inside the page: only a window as high as the content shows all of it.
        height = page.get_by_test_id("stMainBlockContainer").evaluate("e => e.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(900, min(int(height), 6000))})
        page.wait_for_timeout(1000)
    picture = Image.open(BytesIO(page.screenshot()))
    context.close()
    return picture


def save(picture: Image.Image, path: Path) -> None:
    """As a PNG of 256 colours: a quarter of the size, and no difference to see on flat ground."""
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
