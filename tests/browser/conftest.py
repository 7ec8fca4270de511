"""A browser, if this machine has one, and the page in it: at a desk, in the dark, on a phone."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.page import CHROMIUM_FLAGS, OpenPage
from tests.running import Space

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def chromium() -> "Iterator[Browser]":
    """Debian's Chromium, steered by Playwright.

    No longer than these tests need it: Playwright keeps an event loop running, beside which there can be no other.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("chromium is not installed (apt-get install chromium), and these tests drive it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@contextmanager
def _opened(chromium: "Browser", space: Space, width: int, height: int, **context: Any) -> Iterator[OpenPage]:
    opened = OpenPage(chromium, space.url, width, height, **context)
    yield opened
    assert opened.errors == []
    assert opened.strangers == []
    opened.close()


@pytest.fixture
def desk(chromium: "Browser", space: Space) -> Iterator[OpenPage]:
    with _opened(chromium, space, 1280, 900) as opened:
        yield opened


@pytest.fixture
def dark(chromium: "Browser", space: Space) -> Iterator[OpenPage]:
    with _opened(chromium, space, 1280, 900, color_scheme="dark") as opened:
        yield opened


@pytest.fixture
def phone(chromium: "Browser", space: Space) -> Iterator[OpenPage]:
    with _opened(chromium, space, 390, 844, has_touch=True, is_mobile=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page go: SECOND_LOOK_SCREENSHOTS, or a temporary folder."""
    named = os.environ.get("SECOND_LOOK_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
