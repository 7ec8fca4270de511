"""What axe-core finds wrong with the page as it is now, by WCAG and good practice."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.page import OpenPage

GRAVE = ("serious", "critical")


def findings(opened: "OpenPage") -> list[str]:
    """The serious and critical ones, each with its rule and place. Nothing is left out."""
    from axe_playwright_python.sync_playwright import Axe

    opened.settle()
    # Without the places of what is right, which are hundreds, it takes half the time.
    violations = Axe().run(opened.page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{violation['id']} at {node['target']}: {node['html'][:120]}"
        for violation in violations
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]
