"""An EfficientNet-B0 that starts as a trained MobileNetV2 of the same task, grown to its shape.

There is no ImageNet start for EfficientNet-B0 here, and from scratch it learnt next to nothing in the time that a
small machine has. But the two are built alike: EfficientNet-B0 is MobileNetV2 with wider stages, 5x5 kernels in some,
squeeze-and-excitation, and SiLU in place of ReLU6. So, after Chen et al. 2016 ("Net2Net"), every block takes over the
weights of its counterpart: kernels sit in the middle of larger ones, and channels that are new have random weights in
and zero weights out to the old ones, so that they disturb nothing before they have learnt something.
"""

import torch
from torch import Tensor, nn
from torchvision.ops.misc import Conv2dNormActivation, SqueezeExcitation

from training.networks import KerasMirror

COUNTERPARTS: tuple[tuple[int | None, ...], ...] = (
    (0,), (1,), (2, 3), (4, 5), (7, 8, 9), (11, 12, 13), (14, 15, 16, None), (17,), (18,),
)  # fmt: skip
"""For every block of every EfficientNet-B0 stage the MobileNetV2 stage that it starts as. MobileNetV2's sixth and
tenth, which only refine what comes before them, have no place; the one block without a counterpart adds nothing yet."""

STEEPNESS = 4.0
"""SiLU(s x) / s comes close to ReLU(x) as s grows: what feeds an activation is scaled by this."""

OPEN = 3.0
"""Squeeze-and-excitation starts at sigmoid(3) = 0.95 for every channel."""


@torch.no_grad()
def grow(network: KerasMirror, source: KerasMirror) -> None:
    """Start ``network`` (EfficientNet-B0) as ``source`` (MobileNetV2), evidence layer included.

    Batch statistics must be measured anew afterwards (``training.networks.recalibrate``): they absorb the scaling, the
    squeeze-and-excitation and the other range of the input.
    """
    for stage, origins in zip(network.backbone.children(), COUNTERPARTS, strict=True):
        stem_or_head = isinstance(stage, Conv2dNormActivation)
        blocks = [stage] if stem_or_head else list(stage.children())
        for block, origin in zip(blocks, origins, strict=True):
            if origin is None:
                _norms(block)[-1].weight.zero_()
            else:
                _take_over(block, source.backbone[origin], ends_linear=not stem_or_head)
    state = source.evidence.state_dict()
    network.evidence.load_state_dict({**state, "weight": state["weight"] / STEEPNESS})


def _take_over(block: nn.Module, origin: nn.Module, ends_linear: bool) -> None:
    for excitation in (m for m in block.modules() if isinstance(m, SqueezeExcitation)):
        excitation.fc2.weight.zero_()
        excitation.fc2.bias.fill_(OPEN)
    squeezes = {id(m) for e in block.modules() if isinstance(e, SqueezeExcitation) for m in (e.fc1, e.fc2)}
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d) and id(m) not in squeezes]
    origins = [m for m in origin.modules() if isinstance(m, nn.Conv2d)]
    for convolution, old in zip(convolutions, origins, strict=True):
        _embed(convolution.weight, old.weight)
    norms, old_norms = _norms(block), _norms(origin)
    for position, (norm, old_norm) in enumerate(zip(norms, old_norms, strict=True)):
        linear = ends_linear and position == len(norms) - 1
        for value, old_value in ((norm.weight, old_norm.weight), (norm.bias, old_norm.bias)):
            value[: len(old_value)] = old_value
            if not linear:
                value.mul_(STEEPNESS)


def _embed(weight: Tensor, old: Tensor) -> None:
    """Put ``old`` [o, i, k, k] into the middle of ``weight``; what is new does not reach the old outputs."""
    outputs, inputs, size, _ = old.shape
    margin = (weight.shape[-1] - size) // 2
    weight[:outputs] = 0
    weight[:outputs, :inputs, margin : margin + size, margin : margin + size] = old


def _norms(block: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
