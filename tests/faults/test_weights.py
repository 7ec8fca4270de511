"""Files of a model that are missing or broken, at the start or later: that model says so, and the others answer."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from predictors.errors import ModelUnavailable
from predictors.loading import PAUSE
from predictors.registry import Service
from tests.drawings import encoded
from tests.faults.weights import DAMAGES, empty, flip_a_bit, folder_in_its_place, put_back, remove, truncate, weights_in
from tests.films import FILMS
from tests.running import ROOT, running_space

Damage = Callable[[Path], None]

MODEL = "pneumonia"
NO_FRAMEWORKS = ("keras", "tensorflow", "torch")
SENTENCE = {
    "model.h5": (
        r"^The weights (file of pneumonia is missing; put model\.h5 back"
        r"|of pneumonia are not the ones its spec\.json names \(SHA-256 differs\))\.$"
    ),
    "twin.bin": r"^The compiled twin of pneumonia cannot be used, and what would make a new one is not installed; put",
    "twin.xml": r"^The compiled twin of pneumonia cannot be used, and what would make a new one is not installed; put",
    "spec.json": r"^The spec\.json of pneumonia is missing or cannot be read\.$",
}


@pytest.fixture
def without_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was built without them."""
    for name in NO_FRAMEWORKS:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_frameworks")
@pytest.mark.parametrize(
    ("file", "damage"),
    [(file, damage) for file in ("model.h5", "twin.bin") for damage in DAMAGES]
    + [("twin.xml", remove), ("twin.xml", flip_a_bit), ("spec.json", remove), ("spec.json", empty)]
    + [("spec.json", folder_in_its_place)],
)
def test_a_broken_file_is_told_in_a_sentence_and_mended_by_putting_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, damage: Damage
) -> None:
    weights = weights_in(tmp_path, MODEL)
    damage(weights / MODEL / file)
    predictor = Service.open(weights, tmp_path / "cache")[MODEL]
    with pytest.raises(ModelUnavailable, match=SENTENCE[file]):
        predictor.load()
    put_back(weights, MODEL, file)
    later = time.monotonic() + PAUSE
    monkeypatch.setattr("predictors.loading.time.monotonic", lambda: later)
    predictor.load()
    assert predictor.problem is None


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('"threshold": 0', '"threshold": 8'),
        ('"temperature": ', '"temperature": -'),
        ('"size": 224', '"size": 0'),
        ('"resize": "', '"resize": "q'),
        ('"sha256": "', '"sha256": "g'),
        ('"activation": "s', '"activation": "r'),
        ('"scope": "chest"', '"scope": "chesu"'),
        ('"temperature": ', '"temperature": NaN, "was": '),
        ("{", "["),
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path: Path, was: str, becomes: str) -> None:
    """It has no checksum, since it is there to be edited: what is damaged and still makes sense is not seen."""
    weights = weights_in(tmp_path, MODEL)
    spec = weights / MODEL / "spec.json"
    text = spec.read_text(encoding="utf-8")
    assert was in text
    spec.write_text(text.replace(was, becomes, 1), encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=SENTENCE["spec.json"]):
        Service.open(weights, tmp_path / "cache")[MODEL].load()


def test_while_it_fails_its_files_are_not_read_at_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = weights_in(tmp_path, MODEL)
    flip_a_bit(weights / MODEL / "model.h5")
    hashed: list[Path] = []
    monkeypatch.setattr("predictors.runtime.sha256_of", lambda path: hashed.append(path) or "other")
    predictor = Service.open(weights, tmp_path / "cache")[MODEL]
    for _ in range(50):
        with pytest.raises(ModelUnavailable, match="SHA-256"):
            predictor.load()
    assert len(hashed) == 1


TRUNCATED_BETWEEN = """
import os, sys
from pathlib import Path
import numpy as np
from predictors import runtime
from predictors.spec import ModelSpec

folder = Path(sys.argv[1])
read_model = runtime.openvino.Core.read_model

def then_truncated(*given, **more):
    model = read_model(*given, **more)
    for file in ("twin.bin", "twin.xml", "model.pth"):
        os.truncate(folder / file, 0)
    return model

runtime.openvino.Core.read_model = then_truncated
spec = ModelSpec.read(folder)
network = runtime.load_network(spec, folder, folder / "cache")
output = network(np.zeros((1, spec.input.size, spec.input.size, 3), np.float32))
print(output.logits.shape)
"""


def test_a_twin_that_is_truncated_while_it_loads_does_not_take_the_process_along(tmp_path: Path) -> None:
    """OpenVINO maps files into memory unless told otherwise, and reading past the end of one is a bus error."""
    folder = Path(shutil.copytree(ROOT / "weights" / "scope", tmp_path / "scope"))
    program = [sys.executable, "-c", TRUNCATED_BETWEEN, str(folder)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "(7,)"), done.stderr


PRELUDE = f"""
import sys
import predictors.registry
predictors.registry.FIRST_PAUSE = predictors.registry.LONGEST_PAUSE = 0.2
for name in {NO_FRAMEWORKS}:
    sys.modules[name] = None
"""
BROKEN: dict[str, tuple[str, Damage]] = {
    "pneumonia": ("model.h5", flip_a_bit),
    "fracture_type": ("twin.bin", truncate),
    "breast_cancer": ("spec.json", empty),
    "fracture_detection": ("model.pth", remove),
}


def test_broken_models_in_a_running_space(tmp_path: Path) -> None:
    weights = weights_in(tmp_path, *BROKEN, "bone_fracture")
    for model, (file, damage) in BROKEN.items():
        damage(weights / model / file)
    with running_space(tmp_path, PRELUDE, SECOND_LOOK_WEIGHTS=str(weights)) as space:
        limb = encoded(FILMS["limb"](), "PNG")

        def ask(model: str) -> httpx.Response:
            return httpx.post(f"{space.url}/api/{model}/predict", files={"file": limb}, timeout=30)

        def get(path: str) -> Any:
            return httpx.get(f"{space.url}{path}").json()

        # One model answers; the four others say why they do not.
        first = ask("bone_fracture")
        assert first.status_code == 200, first.text
        _until(lambda: list(get("/ready")["models"].values()).count("error") == len(BROKEN))
        for model in BROKEN:
            refused = ask(model)
            assert (refused.status_code, refused.json()["code"]) == (503, "model_loading")
            assert int(refused.headers["Retry-After"]) > 0
            assert model in refused.json()["detail"]
            assert get(f"/api/{model}/health")["model_status"] == "error"
        ready = httpx.get(f"{space.url}/ready")
        assert ready.status_code == 503
        assert all(model in ready.json()["detail"] for model in BROKEN)
        assert {name for name, status in ready.json()["models"].items() if status == "loaded"} == {
            "scope",
            "bone_fracture",
        }
        assert (get("/health")["status"], get("/health")["model_status"]) == ("healthy", "error")
        models = {entry["name"]: entry for entry in get("/models")}
        assert set(models) == {*BROKEN, "bone_fracture"}
        assert (models["breast_cancer"]["version"], models["breast_cancer"]["classes"]) == ("unknown", [])
        assert httpx.get(f"{space.url}/openapi.json").is_success
        assert "Second Look" in httpx.get(space.url).text
        film = tmp_path / "film.png"
        film.write_bytes(limb)
        client = Client(space.url, verbose=False, download_files=False)
        with pytest.raises(AppError, match=r"spec\.json of breast_cancer is missing"):
            client.predict(handle_file(film), api_name="/breast_cancer")
        client.close()

        # Put back, they answer, without a restart.
        for model, (file, _) in BROKEN.items():
            put_back(weights, model, file)
        _until(lambda: httpx.get(f"{space.url}/ready").is_success)
        assert get("/health")["model_status"] == "loaded"
        assert ask("fracture_detection").status_code == 200
        assert {entry["version"] for entry in get("/models")}.isdisjoint({"unknown"})

        # What happens to the files from now on does not reach what was loaded.
        for file in ("twin.bin", "twin.xml", "model.keras", "spec.json"):
            empty(weights / "bone_fracture" / file)
        again = ask("bone_fracture").json()
        assert _timeless(again) == _timeless(first.json())
        assert httpx.get(f"{space.url}/ready").is_success
    said = space.log.read_text()
    assert said.count("The weights of pneumonia are not the ones its spec.json names") == 1  # not at every attempt
    assert "Traceback" not in said


def _timeless(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "meta": {**answer["meta"], "elapsed_ms": 0}}


def _until(true: Callable[[], bool], within: float = 30) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
