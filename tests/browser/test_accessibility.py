"""axe finds nothing serious or critical: before and after an answer, refused, in the light, the dark and on a phone."""

from pathlib import Path

import pytest

from tests.browser.accessibility import findings
from tests.browser.page import KINDS, OpenPage


@pytest.fixture(params=["desk", "dark", "phone"])
def opened(request: pytest.FixtureRequest) -> OpenPage:
    page: OpenPage = request.getfixturevalue(request.param)
    return page


def test_every_tab_is_accessible(opened: OpenPage, drawn: dict[str, Path]) -> None:
    for title, kind in KINDS.items():
        opened.open(title)
        assert findings(opened) == [], title
        opened.pick(drawn[kind])
        opened.answer()
        assert findings(opened) == [], f"{title}, answered"
    opened.open("About the models")
    assert findings(opened) == []


def test_refusals_and_batches_are_accessible(
    opened: OpenPage, drawn: dict[str, Path], screenshots: Path, request: pytest.FixtureRequest
) -> None:
    opened.open("Mammogram risk")
    opened.pick(drawn["limb"])
    opened.panel.locator(".sl-refused").wait_for()
    opened.panel.get_by_role("button", name="Several films at once").click()
    opened.pick(drawn["mammogram"], drawn["limb"], area=".sl-several")
    opened.panel.locator(".sl-batch tbody tr").first.wait_for()
    assert findings(opened) == []
    opened.shot(screenshots / f"refusal-and-batch-{request.node.callspec.params['opened']}.png")


def test_findings_are_found(desk: OpenPage) -> None:
    desk.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:,><button></button>')")
    found = findings(desk)
    assert any(finding.startswith("image-alt at ") for finding in found)
    assert any(finding.startswith("button-name at ") for finding in found)
    desk.errors.clear()  # the picture is none
