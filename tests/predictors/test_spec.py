"""The record that training writes and serving reads, and the records that ship."""

import json
from dataclasses import replace
from pathlib import Path

import openvino
import pytest

from predictors.errors import ModelUnavailable
from predictors.registry import Service
from predictors.runtime import SOURCE_SHA256, sha256_of, twin_sha256
from predictors.scope import inverted
from predictors.spec import HubRecord, ModelSpec
from tests.predictors.conftest import WEIGHTS

KINDS = ("chest", "limb", "mammogram")
SHIPPED = {
    "bone_fracture": ("keras", "efficientnet_b0", ".keras", ("fracture", "normal")),
    "fracture_detection": ("torch", "resnet18", ".pth", ("fractured", "not fractured")),
    "fracture_type": ("keras", "mobilenet_v2+resnet18_narrow", ".h5", ("fisura", "fractura")),
    "breast_cancer": ("keras", "mobilenet_v2", ".keras", ("benign", "malignant")),
    "pneumonia": ("keras", "mobilenet_v2", ".h5", ("Normal", "Pneumonia")),
    "scope": ("torch", "squeezenet1_1", ".pth", (*KINDS, *map(inverted, KINDS), "out")),
}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    spec = replace(ModelSpec.read(WEIGHTS / "bone_fracture"), hub=HubRecord("someone/films", "abc"), twin=None)
    spec.write(tmp_path / "deeper")
    assert ModelSpec.read(tmp_path / "deeper") == spec


@pytest.mark.parametrize(
    "change", [{"positive": "spleen"}, {"labels": ["a", "b", "c"], "positive": "a"}, {"nonsense": 1}, {"input": {}}]
)
def test_a_record_that_does_not_hold_together_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    record = json.loads((WEIGHTS / "bone_fracture" / "spec.json").read_text(encoding="utf-8"))
    (tmp_path / "spec.json").write_text(json.dumps(record | change), encoding="utf-8")
    with pytest.raises((ValueError, KeyError, TypeError)):
        ModelSpec.read(tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_networks_are_what_the_contract_names(name: str) -> None:
    spec = ModelSpec.read(WEIGHTS / name)
    framework, architecture, suffix, labels = SHIPPED[name]
    assert (spec.name, spec.framework, spec.architecture, spec.labels) == (name, framework, architecture, labels)
    weights = WEIGHTS / name / spec.weights.file
    assert weights.suffix == suffix
    assert sha256_of(weights) == spec.weights.sha256
    assert spec.twin is not None
    twin = WEIGHTS / name / spec.twin.file
    assert twin_sha256(twin) == spec.twin.sha256
    source = openvino.Core().read_model(twin).get_rt_info(SOURCE_SHA256).astype(str)
    assert source == spec.weights.sha256


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_quotes_its_spec(name: str) -> None:
    spec = ModelSpec.read(WEIGHTS / name)
    card = (WEIGHTS / name / "card.md").read_text(encoding="utf-8")
    assert spec.weights.sha256 in card
    assert f"Threshold {spec.threshold} " in card
    for figure in ("auroc", "sensitivity", "specificity", "ece"):
        if figure in spec.metrics["validation"]:
            assert f"| {spec.metrics['validation'][figure]} |" in card


def test_first_honest_level_of_the_shipped_networks() -> None:
    """AUROC on validation groups, as the cards state it."""

    def figures(name: str) -> dict[str, object]:
        return dict(ModelSpec.read(WEIGHTS / name).metrics["validation"])

    def by_source(name: str) -> dict[str, float]:
        return {k: v["auroc"] for k, v in figures(name)["auroc_by_source"].items()}  # type: ignore[attr-defined]

    assert by_source("pneumonia")["kermany"] >= 0.97
    assert figures("bone_fracture")["auroc"] >= 0.82
    assert figures("fracture_detection")["auroc"] >= 0.82
    assert min(by_source("fracture_type").values()) >= 0.66
    assert figures("breast_cancer")["auroc"] >= 0.72


def test_all_weights_stay_under_120_mb() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 120e6


def test_a_missing_spec_is_told_in_one_sentence(tmp_path: Path) -> None:
    service = Service.open(tmp_path)
    with pytest.raises(ModelUnavailable, match=r"^The spec.json of pneumonia is missing or cannot be read\.$"):
        service["pneumonia"].load()
