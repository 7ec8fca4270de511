"""The page as a person handles it: open a tab, give it a film, read the answer."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FileChooser, Locator, Page

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TABS = [
    "Bone fracture",
    "Fracture, second reader",
    "Fissure or fracture",
    "Mammogram risk",
    "Pneumonia",
    "About the models",
]
KINDS = {
    "Bone fracture": "limb",
    "Fracture, second reader": "limb",
    "Fissure or fracture": "limb",
    "Mammogram risk": "mammogram",
    "Pneumonia": "chest",
}
"""The kind of film that a tab reads."""

_FILE = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name));
  return files;
}"""


_FOCUSED = """() => {
  const element = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const seen = outlineStyle === "solid" && parseFloat(outlineWidth) >= 2 && element.checkVisibility();
  const name = element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent;
  return element === document.body ? "the page" : seen ? name.trim() : `unseen: ${name.trim()}`;
}"""


_STILL = """() => !document.querySelector(".pending") && document.getAnimations().every(
  (animation) => animation.playState !== "running" || animation.effect.getComputedTiming().endTime === Infinity
)"""


class OpenPage:
    """The page in one browser window, with what it asked for and complained about."""

    def __init__(self, browser: "Browser", url: str, width: int, height: int = 900, **context: Any) -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True, **context
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.choosers: list[FileChooser] = []
        host = urlsplit(url).netloc
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("filechooser", lambda chooser: self.choosers.append(chooser))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "request",
            lambda r: None if urlsplit(r.url).netloc in (host, "") else self.strangers.append(r.url),
        )
        self.page.goto(url)
        self.page.get_by_role("tab").first.wait_for()
        self.page.locator(".sl-upload").first.wait_for()
        self.page.wait_for_timeout(500)  # Gradio counts the tabs that fit only after it has drawn them

    def close(self) -> None:
        self._context.close()

    @property
    def panel(self) -> "Locator":
        return self.page.locator("[role=tabpanel]:visible")

    def open(self, title: str) -> None:
        tab = self.page.get_by_role("tab", name=title, exact=True)
        if not (tab.count() and tab.is_visible()):
            self.page.get_by_role("button", name="More tabs").click()
            tab = self.page.locator(".overflow-dropdown").get_by_text(title, exact=True)
        tab.click()
        self.page.get_by_role("heading", level=2).locator("visible=true").wait_for()
        self.page.wait_for_timeout(300)

    def pick(self, *films: Path, area: str = ".sl-upload") -> None:
        self.panel.locator(f"{area} input[type=file]").set_input_files(films)

    def drop(self, film: Path) -> None:
        area = self.panel.locator(".sl-upload button[aria-dropeffect]")
        area.dispatch_event("drop", {"dataTransfer": self._transfer(film)})

    def paste(self, film: Path) -> None:
        self.page.evaluate(
            "(files) => document.body.dispatchEvent("
            "new ClipboardEvent('paste', { clipboardData: files, bubbles: true, cancelable: true }))",
            self._transfer(film),
        )

    def _transfer(self, film: Path) -> Any:
        return self.page.evaluate_handle(_FILE, [film.name, base64.b64encode(film.read_bytes()).decode()])

    def answer(self) -> str:
        """The headline, once it is there."""
        headline = self.panel.locator(".sl-verdict h3")
        headline.wait_for()
        return str(headline.inner_text())

    def aloud(self) -> str:
        """What a screen reader was told last."""
        return str(self.page.locator("[role=status].sl-aloud").inner_text())

    def press(self, *keys: str) -> str:
        """Press keys one after the other; gives the name of what has the focus then, if it shows that it has."""
        for key in keys:
            self.page.keyboard.press(key)
        return str(self.page.evaluate(_FOCUSED))

    def tab_to(self, name: str) -> None:
        """Press Tab until what is called ``name`` has the focus."""
        passed = []
        for _ in range(25):
            passed.append(self.press("Tab"))
            if passed[-1].startswith(name):
                return
        raise AssertionError(f"{name} cannot be reached by Tab: {passed}")

    def ready(self) -> None:
        """Wait until the next film can be sent."""
        self.panel.locator(".sl-upload input[type=file]").wait_for(state="attached")

    def settle(self) -> None:
        """Wait until nothing fades in or out any more."""
        self.page.wait_for_function(_STILL)

    @staticmethod
    def slug(title: str) -> str:
        """A tab's title as the start of a file's name."""
        return title.lower().replace(",", "").replace(" ", "-")

    def overflows(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def shot(self, path: Path) -> None:
        self.page.mouse.move(0, 0)
        self.settle()
        self.page.screenshot(path=path, full_page=True)
