"""bfloat16 where the processor multiplies in it, float32 where it would be emulated."""

from functools import cache

import openvino
import torch


@cache
def has_bfloat16() -> bool:
    """Whether this processor has instructions for it; without them a step took 9 to 14 times as long as in float32."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def autocast() -> torch.autocast:
    """The context in which a network learns, and is asked while it learns."""
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16())
