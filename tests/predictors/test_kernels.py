"""Kernels that a network prefers where OpenVINO's own choice is not the fastest: the same answers from other code."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from predictors import kernels
from predictors.kernels import fastest_here, preferring_jit
from predictors.runtime import Network, Twin
from predictors.spec import ModelSpec
from tests.predictors.conftest import WEIGHTS

NETWORKS = sorted(folder.name for folder in WEIGHTS.iterdir())
AVX2, AVX512 = frozenset({"avx", "avx2", "fma"}), frozenset({"avx2", "avx512f", "avx512_bf16"})


@pytest.fixture
def twin(request: pytest.FixtureRequest) -> Twin:
    return Twin.read(WEIGHTS / request.param / "twin.xml")


def processor(monkeypatch: pytest.MonkeyPatch, flags: frozenset[str]) -> None:
    monkeypatch.setattr(kernels, "processor_flags", lambda: flags)


def convolutions(operations: Iterable[Any]) -> tuple[int, int]:
    """How many of 1x1 or depthwise, and how many others."""
    kinds = [
        operation.get_type_name() == "GroupConvolution" or list(operation.input_value(1).get_shape())[-2:] == [1, 1]
        for operation in operations
        if operation.get_type_name() in ("Convolution", "GroupConvolution")
    ]
    return sum(kinds), len(kinds) - sum(kinds)


@pytest.mark.parametrize("twin", NETWORKS, indirect=True)
def test_each_pointwise_and_depthwise_convolution_says_so_and_no_other(twin: Twin) -> None:
    few, others = convolutions(twin.model().get_ops())
    assert few > 0
    assert others > 0
    assert preferring_jit(twin.topology).count(b"primitives_priority") == few


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, twin = ModelSpec.read(WEIGHTS / name), Twin.read(WEIGHTS / name / "twin.xml")
    size = spec.input.size
    film = np.random.default_rng(0).random((1, size, size, 3), np.float32)
    answers = []
    for flags in (AVX2, AVX512):
        processor(monkeypatch, flags)
        answers.append(Network(twin, spec)(film))
    np.testing.assert_allclose(answers[0].logits, answers[1].logits, atol=1e-4)
    np.testing.assert_allclose(answers[0].evidence, answers[1].evidence, atol=1e-3)


@pytest.mark.parametrize("twin", ["bone_fracture"], indirect=True)
@pytest.mark.parametrize("flags", [AVX512, frozenset({"sse4_2"}), frozenset()])
def test_elsewhere_a_network_is_left_alone(twin: Twin, flags: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, flags)
    assert fastest_here(twin.topology) is twin.topology


@pytest.mark.parametrize("twin", ["bone_fracture"], indirect=True)
def test_the_preferred_kernels_are_the_ones_that_run(twin: Twin) -> None:
    if fastest_here(twin.topology) is twin.topology:
        pytest.skip("this processor is none of those with AVX2 and without AVX-512")
    model = openvino.Core().read_model(fastest_here(twin.topology), twin.weights)
    model.reshape([1, 96, 96, 3])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    used = [
        operation.get_rt_info()["primitiveType"].astype(str) for operation in compiled.get_runtime_model().get_ops()
    ]
    few, _ = convolutions(twin.model().get_ops())
    assert sum(kernel.startswith("jit_avx2_") for kernel in used) >= few
    assert not any(kernel.startswith("brgconv_avx2_1x1") for kernel in used)


def test_what_a_processor_can_do_is_not_known_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert kernels.processor_flags.__wrapped__() == frozenset()  # what is known of this one stays
