"""Weights on the Hub, which is silent, breaks off, fails or gives something else: it is asked until it is well."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from predictors.runtime import Network, load_network
from tests.drawings import encoded
from tests.faults.hub import COMMIT, REPO, Hub, Mode, standing_in
from tests.faults.weights import WEIGHTS, flip_a_bit, weights_in
from tests.films import FILMS
from tests.running import running_space

MODEL = "pneumonia"
PRELUDE = "import predictors.registry\npredictors.registry.FIRST_PAUSE = predictors.registry.LONGEST_PAUSE = 0.2"
SETTINGS = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
NOT_FETCHED = f"The weights of {MODEL} could not be fetched from {REPO}@{COMMIT} on the Hub."
NOT_THESE = f"The weights of {MODEL} are not the ones its spec.json names (SHA-256 differs)."


@pytest.fixture
def hub() -> Iterator[Hub]:
    with standing_in(WEIGHTS / MODEL) as hub:
        yield hub


def named_on_the_hub(folder: Path) -> Path:
    """A weights folder in which one model has nothing but its record, which names the Hub."""
    weights = weights_in(folder, MODEL)
    record = json.loads((weights / MODEL / "spec.json").read_text(encoding="utf-8"))
    for file in (weights / MODEL).iterdir():
        file.unlink()
    record["hub"] = {"repo": REPO, "revision": COMMIT}
    (weights / MODEL / "spec.json").write_text(json.dumps(record), encoding="utf-8")
    return weights


def test_a_hub_that_fails_in_every_way_and_then_does_not(tmp_path: Path, hub: Hub) -> None:
    weights, home = named_on_the_hub(tmp_path), tmp_path / "hub"
    hub.be("silent")
    settings = {**SETTINGS, "SECOND_LOOK_WEIGHTS": str(weights), "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    with running_space(tmp_path, PRELUDE, **settings) as space:

        def ask(model: str, kind: str) -> httpx.Response:
            film = encoded(FILMS[kind](), "PNG")
            return httpx.post(f"{space.url}/api/{model}/predict", files={"file": film}, timeout=30)

        def told() -> Any:
            return httpx.get(f"{space.url}/ready").json()["detail"]

        def refused() -> str:
            reply = ask(MODEL, "chest")
            assert (reply.status_code, reply.json()["code"]) == (503, "model_loading"), reply.text
            assert int(reply.headers["Retry-After"]) > 0
            return str(reply.json()["detail"])

        # The page is up, and the others answer.
        assert "Second Look" in httpx.get(space.url).text
        assert ask("bone_fracture", "limb").status_code == 200
        assert httpx.get(f"{space.url}/health").is_success

        failures: list[tuple[Mode, str]] = [
            ("silent", NOT_FETCHED),
            ("404", NOT_FETCHED),
            ("500", NOT_FETCHED),
            ("wrong bytes", NOT_THESE),
            ("stalls", NOT_FETCHED),
        ]
        for mode, sentence in failures:
            hub.be(mode)
            _until(lambda: len(hub.asked) >= 3)  # it was asked again
            if mode != "stalls":  # which is given up after several tries, all of them within one attempt
                _until(lambda sentence=sentence: refused() == sentence)
            assert told().startswith(f"Could not be loaded: {MODEL};")
        hub.be("well")
        _until(lambda: httpx.get(f"{space.url}/ready").is_success)
        assert ask(MODEL, "chest").status_code == 200
    assert "Traceback" not in space.log.read_text()

    # A damaged copy in its cache is fetched again; without damage, the Hub is not asked at all.
    for damaged in (True, False):
        if damaged:
            flip_a_bit(next(home.rglob("snapshots/*/twin.bin")).resolve())
        hub.be("well")
        with pytest.MonkeyPatch.context() as patched:
            _in_this_process(patched, hub.url, home)
            assert isinstance(load(weights, tmp_path / "cache"), Network)
        assert bool(hub.asked) == damaged


def load(weights: Path, cache: Path) -> Network:
    from predictors.spec import ModelSpec

    return load_network(ModelSpec.read(weights / MODEL), weights / MODEL, cache)


def _in_this_process(patched: pytest.MonkeyPatch, url: str, home: Path) -> None:
    from huggingface_hub import constants, file_download

    patched.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    patched.setattr(constants, "ENDPOINT", url)
    patched.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    patched.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patched.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    assert file_download.constants is constants


def _until(true: Callable[[], bool], within: float = 40) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
