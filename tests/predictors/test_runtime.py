"""Weights on disk: checked, and converted where the twin does not match; a bad one never takes the others along."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from predictors import convert
from predictors.errors import ModelUnavailable
from predictors.registry import Service
from predictors.runtime import load_network, sha256_of
from predictors.spec import ModelSpec
from tests.drawings import drawn_film, encoded
from tests.predictors.conftest import WEIGHTS

pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:::torch", "ignore:::openvino")

NAME = "scope"  # the smallest of the shipped networks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WEIGHTS / NAME, tmp_path / NAME))


def batch(spec: ModelSpec) -> np.ndarray:
    return np.random.default_rng(1).random((1, spec.input.size, spec.input.size, 3), np.float32)


def never(*_: object) -> float:
    pytest.fail("the network must not be converted here")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_matching_twin_is_used_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(convert, "convert", never)
    spec = ModelSpec.read(folder)
    output = load_network(spec, folder, tmp_path / "cache")(batch(spec))
    assert output.logits.shape == (7,)
    assert output.evidence.shape[2] == 7
    # The evidence is what was pooled to the logits, not a second opinion.
    np.testing.assert_allclose(output.evidence.mean((0, 1)), output.logits, atol=1e-4)
    assert not (tmp_path / "cache").exists()


def test_weights_that_are_not_the_ones_named_are_refused(folder: Path, tmp_path: Path) -> None:
    spec = ModelSpec.read(folder)
    flip_a_bit(folder / spec.weights.file)
    with pytest.raises(ModelUnavailable, match=r"^The weights of scope are not the ones its spec.json names"):
        load_network(spec, folder, tmp_path)


def test_missing_weights(folder: Path, tmp_path: Path) -> None:
    spec = ModelSpec.read(folder)
    (folder / spec.weights.file).unlink()
    with pytest.raises(ModelUnavailable, match=r"^The weights file of scope is missing; put model.pth back\.$"):
        load_network(spec, folder, tmp_path)


@pytest.mark.parametrize("damage", ["missing", "bit", "of other weights"])
def test_a_twin_that_does_not_match_is_made_anew_and_cached(
    folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec, cache = ModelSpec.read(folder), tmp_path / "cache"
    shipped = load_network(spec, folder, cache)(batch(spec))
    twin = folder / "twin.xml"
    if damage == "missing":
        twin.unlink()
    elif damage == "bit":
        flip_a_bit(twin.with_suffix(".bin"))
    else:
        text = twin.read_text(encoding="utf-8")
        twin.write_text(text.replace(spec.weights.sha256, "0" * 64), encoding="utf-8")
    made = load_network(spec, folder, cache)(batch(spec))
    np.testing.assert_allclose(made.logits, shipped.logits, atol=1e-4)
    assert [p.name for p in cache.rglob("*.xml")] == ["twin.xml"]

    monkeypatch.setattr(convert, "convert", never)
    load_network(spec, folder, cache)
    flip_a_bit(next(cache.rglob("*.bin")))
    with pytest.raises(pytest.fail.Exception, match="must not be converted"):
        load_network(spec, folder, cache)


def test_truncated_weights_are_unreadable_whatever_their_hash(folder: Path, tmp_path: Path) -> None:
    spec = ModelSpec.read(folder)
    weights = folder / spec.weights.file
    weights.write_bytes(weights.read_bytes()[:100_000])
    spec = replace(spec, weights=replace(spec.weights, sha256=sha256_of(weights)))
    with pytest.raises(ModelUnavailable, match=r"^The weights file of scope is damaged or of another format\.$"):
        load_network(spec, folder, tmp_path)


def test_one_bad_model_leaves_the_other_four_working(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for source in WEIGHTS.iterdir():
        if source.name != "pneumonia":
            (weights / source.name).symlink_to(source)
    shutil.copytree(WEIGHTS / "pneumonia", weights / "pneumonia")
    flip_a_bit(weights / "pneumonia" / "model.h5")
    service = Service.open(weights, tmp_path / "cache")
    service.warm_up()
    states = {predictor.name: predictor.status for predictor in service.predictors}
    assert states.pop("pneumonia") == "error"
    assert set(states.values()) == {"loaded"}
    assert "SHA-256" in str(service["pneumonia"].problem)
    film = encoded(drawn_film(300, 260), "PNG")
    guard = service.guard()
    guard.spec = replace(guard.spec, threshold=0.0)
    with pytest.raises(ModelUnavailable, match="SHA-256"):
        service["pneumonia"].predict(film)
    assert service["bone_fracture"].predict(film)["predicted_label"] in {"fracture", "normal"}
