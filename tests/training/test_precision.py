"""bfloat16 is used where the processor has it, and only there."""

from collections.abc import Iterator

import openvino
import pytest
import torch

from training import precision


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    precision.has_bfloat16.cache_clear()
    yield
    precision.has_bfloat16.cache_clear()  # or the tests after it would compute as a pretended processor


@pytest.mark.parametrize(
    ("capabilities", "expected"), [(["FP32", "BF16", "INT8"], torch.bfloat16), (["FP32", "INT8"], torch.float32)]
)
def test_a_product_is_computed_in_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], expected: torch.dtype
) -> None:
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: capabilities)
    with precision.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == expected
