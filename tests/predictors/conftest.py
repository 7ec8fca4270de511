from pathlib import Path

import numpy as np
import pytest

from predictors.finding import Finding
from predictors.image import Radiograph
from predictors.registry import Service
from predictors.spec import ModelSpec

WEIGHTS = Path(__file__).parents[2] / "weights"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service.open(WEIGHTS, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def open_guard(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, its scope guard told to admit everything: for what comes after the guard, on drawn films."""
    monkeypatch.setattr(type(service.guard()), "admits", lambda self, score: True)
    return service


def made_finding(
    name: str,
    positive: float,
    *,
    threshold: float | None = None,
    in_scope: bool = True,
    evidence: np.ndarray | None = None,
    grey: np.ndarray | None = None,
) -> Finding:
    """A finding of the shipped model ``name`` with the probability that a test wants."""
    from dataclasses import replace

    spec = ModelSpec.read(WEIGHTS / name)
    if threshold is not None:
        spec = replace(spec, threshold=threshold)
    return Finding(
        spec=spec,
        film=Radiograph(np.full((768, 1024), 100, np.uint8) if grey is None else grey, None, "JPEG"),
        filename="mammogram.jpg",
        probabilities={label: positive if label == spec.positive else 1 - positive for label in spec.labels},
        evidence=np.zeros((7, 7)) if evidence is None else evidence,
        scope_score=0.98,
        in_scope=in_scope,
        elapsed_ms=12.3456,
    )
