"""The README's picture of the page: ``python -m tests.screenshot docs/page.png``.

Shows a drawn film, so that no patient's is published.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.page import CHROMIUM_FLAGS, OpenPage
from tests.drawings import encoded
from tests.films import chest
from tests.running import running_space


def main(picture: Path) -> None:
    """Start the app, send it a drawn chest, and save the page as ``picture``."""
    with tempfile.TemporaryDirectory() as name, running_space(Path(name)) as space, sync_playwright() as playwright:
        film = Path(name) / "drawn-chest.png"
        film.write_bytes(encoded(chest(), "PNG"))
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        opened = OpenPage(browser, space.url, width=1280, height=800)
        opened.open("Pneumonia")
        opened.pick(film)
        opened.answer()
        picture.parent.mkdir(parents=True, exist_ok=True)
        opened.shot(picture)
        opened.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
