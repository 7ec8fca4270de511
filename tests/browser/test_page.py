"""The page, in a real browser, at a desk and on a phone."""

import csv
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from predictors import errors
from predictors.image import MAX_BYTES
from tests.browser.page import KINDS, TABS, OpenPage
from tests.drawings import dicom
from tests.films import chest, limb

HEADLINE = {
    "Bone fracture": "Fracture|No fracture found",
    "Fracture, second reader": "Fracture|No fracture found",
    "Fissure or fracture": "Fisura .+|Fractura .+|Not sure",
    "Mammogram risk": "Benign|Malignant",
    "Pneumonia": "Pneumonia|No pneumonia found",
}


def test_tabs_are_in_order_and_the_purpose_is_plain(desk: OpenPage) -> None:
    assert [tab.inner_text() for tab in desk.page.get_by_role("tab").all()] == TABS
    assert desk.page.title() == "Second Look"
    assert desk.page.get_by_role("heading", level=1).inner_text() == "Second Look"
    assert desk.page.get_by_text("Not a medical device; not for diagnosis").first.is_visible()


@pytest.mark.parametrize("title", KINDS)
def test_a_film_can_be_picked_dropped_and_pasted(
    desk: OpenPage, drawn: dict[str, Path], screenshots: Path, title: str
) -> None:
    film = drawn[KINDS[title]]
    desk.open(title)
    for way in (desk.pick, desk.drop, desk.paste):
        desk.ready()
        way(film)
        assert re.fullmatch(HEADLINE[title], desk.answer())
        assert desk.panel.locator(".sl-details").inner_text().count(film.name) == 1
        assert desk.panel.locator(".sl-heat").is_visible()
        if way == desk.paste:
            desk.shot(screenshots / f"{desk.slug(title)}-desk.png")
        desk.panel.get_by_role("button", name="Clear").click()
        desk.panel.locator(".sl-waiting").wait_for()


def test_dicom_without_an_extension_is_shown(desk: OpenPage, tmp_path: Path, screenshots: Path) -> None:
    film = tmp_path / "IM000001"
    film.write_bytes(dicom(chest().astype(np.uint16) * 16, stored_bits=12))
    desk.open("Pneumonia")
    desk.pick(film)
    desk.answer()
    size = desk.panel.locator(".sl-stack img").first.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert size == [560, 560]
    assert "560 × 560, DICOM" in desk.panel.locator(".sl-details").inner_text()
    desk.shot(screenshots / "dicom-desk.png")


def test_the_second_reader_is_heard_beside_the_first(desk: OpenPage, drawn: dict[str, Path]) -> None:
    for title in ("Bone fracture", "Fracture, second reader"):
        desk.open(title)
        desk.pick(drawn["limb"])
        desk.answer()
        said = desk.panel.locator(".sl-second").inner_text()
        assert said.startswith(("The two readers agree.", "The two readers disagree: look again."))
    desk.open("Pneumonia")
    desk.pick(drawn["chest"])
    desk.answer()
    assert desk.panel.locator(".sl-second").count() == 0


def test_an_answer_can_be_read_as_json(desk: OpenPage, drawn: dict[str, Path]) -> None:
    desk.pick(drawn["limb"])
    desk.answer()
    desk.panel.get_by_role("button", name="Answer as JSON").click()
    desk.panel.get_by_text("fracture_probability").first.wait_for()


def test_a_film_of_another_kind_is_refused_and_shown(desk: OpenPage, drawn: dict[str, Path], screenshots: Path) -> None:
    desk.open("Pneumonia")
    desk.pick(drawn["limb"])
    assert desk.answer() == "No answer for this file"
    assert "This does not look like a chest radiograph" in desk.panel.locator(".sl-verdict").inner_text()
    assert desk.panel.locator(".sl-film img").is_visible()
    desk.shot(screenshots / "refusal-desk.png")


def test_fissure_or_fracture_refuses_in_both_languages(desk: OpenPage, drawn: dict[str, Path]) -> None:
    desk.open("Fissure or fracture")
    desk.pick(drawn["chest"])
    assert desk.answer() == "Not a film that this model reads"
    assert "La imagen no corresponde a ninguna" in desk.panel.locator(".sl-verdict [lang=es]").first.inner_text()
    assert desk.panel.locator(".sl-film img").is_visible()


def test_what_is_no_film_is_refused_in_words(desk: OpenPage, tmp_path: Path) -> None:
    letter = tmp_path / '<img src=x onerror="document.title=1">.txt'
    letter.write_text("Dear colleague")
    desk.pick(letter)
    desk.answer()
    verdict = desk.panel.locator(".sl-verdict").inner_text()
    assert errors.UnsupportedImage.sentence in verdict
    assert "onerror" in verdict
    assert desk.page.title() == "Second Look"


def test_a_file_name_is_no_template(desk: OpenPage, tmp_path: Path) -> None:
    film = tmp_path / "${document.title=1}{{7*7}}.txt"
    film.write_text("no film")
    desk.pick(film)
    desk.answer()
    assert film.name in desk.panel.locator(".sl-verdict").inner_text()


def test_a_large_file_is_refused_before_it_is_sent(desk: OpenPage, tmp_path: Path) -> None:
    film = tmp_path / "large.png"
    film.write_bytes(bytes(MAX_BYTES + 1))
    desk.pick(film)
    notice = desk.panel.locator(".sl-notice")
    notice.get_by_text(errors.FileTooLarge.sentence).wait_for()
    assert desk.panel.locator(".sl-waiting").is_visible()


def test_a_batch_becomes_a_table_and_a_csv_file(
    desk: OpenPage, drawn: dict[str, Path], tmp_path: Path, screenshots: Path
) -> None:
    films = [tmp_path / "=1+1.png", tmp_path / "second.png", tmp_path / "letter.txt"]
    for film in films[:2]:
        film.write_bytes(drawn["mammogram"].read_bytes())
    films[2].write_text("Dear colleague")
    desk.open("Mammogram risk")
    desk.panel.get_by_role("button", name="Several films at once").click()
    desk.pick(*films, area=".sl-several")
    rows = desk.panel.locator(".sl-batch tbody tr")
    rows.first.wait_for()
    assert [row.locator("th").inner_text() for row in rows.all()] == ["=1+1.png", "second.png", "letter.txt"]
    assert errors.UnsupportedImage.sentence in rows.nth(2).inner_text()
    desk.shot(screenshots / "batch-desk.png")
    with desk.page.expect_download() as download:
        desk.panel.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "second-look-breast_cancer.csv"
    download.value.save_as(tmp_path / "batch.csv")
    with (tmp_path / "batch.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert [row["file"] for row in csv.DictReader(stream)] == ["'=1+1.png", "second.png", "letter.txt"]


def test_about_has_every_model_and_its_headings_in_order(desk: OpenPage, screenshots: Path) -> None:
    desk.open("About the models")
    levels = desk.page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].filter(e => e.getClientRects().length)"
        ".map(e => Number(e.tagName[1]))"
    )
    assert levels[:2] == [1, 2]
    assert levels.count(3) == 5
    assert all(after <= before + 1 for before, after in pairwise(levels))
    desk.shot(screenshots / "about-desk.png")


def test_a_phone_shows_every_tab_without_scrolling_sideways(
    phone: OpenPage, drawn: dict[str, Path], screenshots: Path
) -> None:
    assert not phone.overflows()
    phone.shot(screenshots / "start-phone.png")
    for title, kind in KINDS.items():
        phone.open(title)
        assert not phone.overflows(), title
        phone.pick(drawn[kind])
        phone.answer()
        assert not phone.overflows(), title
        phone.shot(screenshots / f"{phone.slug(title)}-phone.png")
    phone.open("About the models")
    assert not phone.overflows()
    phone.shot(screenshots / "about-phone.png")


def test_a_phone_scrolls_the_batch_table_inside_its_frame(
    phone: OpenPage, drawn: dict[str, Path], screenshots: Path
) -> None:
    phone.open("Mammogram risk")
    phone.panel.get_by_role("button", name="Several films at once").click()
    phone.pick(drawn["mammogram"], drawn["limb"], area=".sl-several")
    phone.panel.locator(".sl-batch table").wait_for()
    assert not phone.overflows()
    phone.shot(screenshots / "batch-phone.png")


def test_the_page_is_dark_where_the_reader_wants_it(dark: OpenPage) -> None:
    background = dark.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(channel) for channel in background.strip("rgba()").split(",")[:3]) < 60


def test_the_footer_tells_programs_how_to_ask(desk: OpenPage) -> None:
    desk.page.locator("footer").get_by_role("button", name="API").click()
    desk.page.get_by_text("5 Available MCP Tools").wait_for()
    desk.page.get_by_role("listitem").filter(has_text="Python").click()
    for route in ("/bone_fracture", "/breast_cancer_batch", "/pneumonia_heatmap"):
        desk.page.get_by_text(route, exact=True).and_(desk.page.locator(":visible")).first.wait_for()
    # Gradio's panel asks for figures on its callers, which are not kept.
    desk.errors.remove("Failed to load resource: the server responded with a status of 404 (Not Found)")


def test_a_deep_film_with_a_name_in_unicode(desk: OpenPage, tmp_path: Path) -> None:
    film = tmp_path / "Radiografía de muñeca 腕.dcm"
    film.write_bytes(dicom(limb().astype(np.uint16) * 200))
    desk.pick(film)
    desk.answer()
    assert film.name in desk.panel.locator(".sl-details").inner_text()
