"""What several folders of tests share: the running app and the films that they send it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drawings import encoded
from tests.films import FILMS
from tests.running import ROOT, Space, running_space, until_ready

LONGEST = (
    "clients/test_typescript.py",
    "training/test_train.py",
    "browser/test_accessibility.py",
    "browser/test_page.py",
    "predictors/test_films.py",
    "faults/test_leaving.py",
    "space/test_deploy.py",
    "clients/test_python_drill.py",
    "training/test_networks.py",
    "security/test_privacy.py",
    "browser/test_example.py",
    "predictors/test_convert.py",
)
"""The files that take a minute or more, longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left alone with one at the end (``--no-loadscope-reorder``)."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))
    # schemathesis names all operations of a document alike, and of tests with one name xdist runs one.
    for item in items:
        if operation := getattr(item, "operation_label", ""):
            item._id = item.id.with_params(operation)
    assert len({item.nodeid for item in items}) == len(items), "tests of one name"


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The app with the shipped weights, started once."""
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    with running_space(tmp_path_factory.mktemp("space")) as running:
        until_ready(running)
        yield running


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A drawn film of each kind, as a PNG file."""
    folder = tmp_path_factory.mktemp("drawn")
    for kind, draw in FILMS.items():
        (folder / f"{kind}.png").write_bytes(encoded(draw(), "PNG"))
    return {kind: folder / f"{kind}.png" for kind in FILMS}


@pytest.fixture(scope="session")
def real_film() -> Callable[[str], Path]:
    """A function from a glob pattern to the first real film that matches it under SECOND_LOOK_FILMS."""
    root = os.environ.get("SECOND_LOOK_FILMS")

    def find(pattern: str) -> Path:
        if not root:
            pytest.skip("SECOND_LOOK_FILMS does not name a folder of real films")
        film = next(iter(sorted(Path(root).glob(pattern))), None)
        if film is None:
            pytest.skip(f"SECOND_LOOK_FILMS holds no {pattern}")
        return film

    return find
