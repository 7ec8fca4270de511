"""The page without a mouse: everything within reach, the focus in sight, and the answer said aloud."""

import csv
from pathlib import Path

import pytest

from tests.browser.page import TABS, OpenPage


def test_arrow_keys_go_round_the_tabs(desk: OpenPage) -> None:
    assert desk.press("Tab") == TABS[0]
    assert [desk.press("ArrowRight") for _ in TABS] == [*TABS[1:], TABS[0]]
    assert desk.press("ArrowLeft") == TABS[-1]
    assert desk.press("Home") == TABS[0]
    assert desk.press("End") == TABS[-1]
    assert desk.page.get_by_role("heading", level=2).locator("visible=true").inner_text() == "About the models"


def test_tabs_that_do_not_fit_are_within_reach(phone: OpenPage) -> None:
    phone.tab_to("More tabs")
    phone.press("Enter")
    phone.tab_to("Pneumonia")
    phone.press("Enter")
    assert phone.page.get_by_role("heading", level=2).locator("visible=true").inner_text().endswith("pneumonia?")


def test_a_film_is_sent_read_and_cleared_by_keys(desk: OpenPage, drawn: dict[str, Path]) -> None:
    desk.press("Tab", "End", "ArrowLeft")
    desk.tab_to("Click to upload")
    desk.press("Enter")
    desk.page.wait_for_timeout(200)
    desk.choosers.pop().set_files(drawn["chest"])
    headline = desk.answer()
    heard = desk.aloud()
    assert heard.startswith(headline)
    assert "Probability of pneumonia" in heard
    assert "Model" not in heard
    desk.tab_to("Heat map opacity")
    heat = desk.panel.locator(".sl-heat")
    for key, opacity in (("Home", 0), ("ArrowRight", 0.05), ("End", 1)):
        desk.press(key)
        assert float(heat.evaluate("image => getComputedStyle(image).opacity")) == pytest.approx(opacity)
    assert desk.panel.locator(".sl-opacity output").inner_text() == "100\u202f%"
    desk.tab_to("Answer as JSON")
    desk.press("Enter")
    desk.panel.get_by_text("probabilities").first.wait_for()
    desk.press("Shift+Tab")
    assert desk.press("Shift+Tab") == "Clear"
    desk.press("Enter")
    desk.panel.locator(".sl-waiting").wait_for()


def test_each_answer_is_said_once_and_a_refusal_too(desk: OpenPage, drawn: dict[str, Path]) -> None:
    desk.pick(drawn["limb"])
    desk.answer()
    assert "Probability of a fracture" in desk.aloud()
    desk.open("Pneumonia")
    desk.pick(drawn["limb"])
    desk.answer()
    assert desk.aloud().splitlines()[0] == "No answer for this file"
    assert "This does not look like a chest radiograph" in desk.aloud()
    desk.open("Bone fracture")
    assert "No answer" in desk.aloud()


def test_a_batch_by_keys(desk: OpenPage, drawn: dict[str, Path], tmp_path: Path) -> None:
    desk.open("Mammogram risk")
    desk.tab_to("Several films at once")
    desk.press("Enter")
    desk.panel.locator(".sl-several button[aria-dropeffect]").wait_for()
    assert desk.press("Tab") == "Click to upload or drop files"
    desk.press("Space")
    desk.page.wait_for_timeout(200)
    desk.choosers.pop().set_files([drawn["mammogram"], drawn["limb"]])
    desk.panel.locator(".sl-batch").wait_for()
    assert desk.aloud().startswith("1 of 2 films answered")
    desk.tab_to("Answers by file")
    assert desk.press("Tab") == "Download as CSV"
    with desk.page.expect_download() as download:
        desk.press("Enter")
    download.value.save_as(tmp_path / "batch.csv")
    with (tmp_path / "batch.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2
