"""The example page, as a reader sees it: a Space is woken, asked and answers; another origin than the Space's own."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.accessibility import GRAVE
from tests.clients.npm import copied, run
from tests.clients.sleeping import SleepingSpace, sleeping_space

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the built page."""
    folder = tmp_path_factory.mktemp("example")
    run("npm", "run", "build", cwd=copied("typescript", folder))
    page = copied("example", folder)
    run("npm", "run", "build", cwd=page)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(page / "dist")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def hub(chromium: "Browser") -> Iterator[SleepingSpace]:
    with sleeping_space() as space:
        yield space


@pytest.fixture
def page(chromium: "Browser", example: str, hub: SleepingSpace) -> "Iterator[Page]":
    context = chromium.new_context(viewport={"width": 1100, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(f"{example}?space={hub.id}&hub={hub.hub}")
    # Every stage that the page shows, in the order in which it shows them.
    opened.evaluate(
        """() => {
        window.seen = [];
        const look = () => {
            const text = document.querySelector("[aria-current=step]")?.textContent;
            if (text && text !== window.seen.at(-1)) window.seen.push(text);
        };
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true,
            attributes: true });
    }"""
    )
    yield opened
    assert wrong == []
    context.close()


def test_it_shows_how_the_space_wakes_and_then_the_answer(
    page: "Page", hub: SleepingSpace, drawn: dict[str, Path], screenshots: Path
) -> None:
    hub.tell(sleep=True, build=True)
    page.get_by_label("Question").select_option("pneumonia")
    page.get_by_label("Drop a film here").set_input_files(drawn["chest"])
    page.locator("[aria-current=step]", has_text="waking").wait_for()
    page.screenshot(path=screenshots / "example-waking.png")
    page.get_by_role("img").wait_for()
    answer = page.get_by_label("Answer", exact=True)
    assert "pneumonia found" in answer.inner_text() or "Pneumonia\n" in answer.inner_text()
    assert "Probability of pneumonia: 0." in answer.inner_text()
    assert "Decided at a threshold of 0." in answer.inner_text()
    assert page.get_by_text("Not a medical device").is_visible()
    assert page.get_by_role("img").evaluate("image => image.naturalWidth") > 0
    seen = [text.split(" ")[0] for text in page.evaluate("window.seen")]
    assert [stage for n, stage in enumerate(seen) if stage not in seen[:n]][:3] == ["waking", "building", "starting"]
    assert hub.counted("pneumonia")[0] == 2  # the answer and its heat map
    page.screenshot(path=screenshots / "example-answer.png", full_page=True)
    assert _findings(page) == []


def test_a_wait_can_be_cancelled_and_a_refusal_is_said(
    page: "Page", hub: SleepingSpace, drawn: dict[str, Path]
) -> None:
    hub.tell(sleep=True, after=1_000)
    page.get_by_label("Question").select_option("breast_cancer")
    page.get_by_label("Drop a film here").set_input_files(drawn["limb"])
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("The answer will be here.").wait_for()
    hub.tell(stage="RUNNING")
    page.get_by_label("Drop a film here").set_input_files(drawn["limb"])
    page.get_by_text("This does not look like a mammogram").wait_for()
    hub.tell(stage="PAUSED")
    page.get_by_label("Drop a film here").set_input_files(drawn["limb"])
    page.get_by_text("paused by its owner").wait_for()
    assert _findings(page) == []


def test_it_fits_a_phone(chromium: "Browser", example: str, screenshots: Path) -> None:
    context = chromium.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto(example)
    page.get_by_text("Name the Space first.").wait_for()
    assert page.get_by_label("Drop a film here").is_disabled()
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    page.screenshot(path=screenshots / "example-phone.png", full_page=True)
    assert _findings(page) == []
    context.close()


def _findings(page: "Page") -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:120]}"
        for violation in violations
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
