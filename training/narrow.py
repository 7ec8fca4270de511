"""ResNet-18 as a trunk to see with: its normalisation folded away, its last two stages computed in few directions.

Nine tenths of a ResNet-18's weights lie in its last two stages, whose responses vary in few of their 256 and 512
directions: of the last stage's, 64 hold 96 to 99% of the variance on limb films. So each of their 3x3 convolutions
becomes one of few outputs and a 1x1 layer that spreads them (after Zhang et al. 2015, "Accelerating Very Deep
Convolutional Networks for Classification and Detection"): 3 million weights in place of 11, and nothing learnt anew.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from predictors.architectures import ResNet18

WIDTHS = (64, 128, 256, 512)
RANKS = (None, None, 96, 64)
"""In how many directions every stage's convolutions respond; None: in as many as they like."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; with ``rank``, they respond in so many directions."""

    def __init__(self, inputs: int, outputs: int, rank: int | None) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.first = _convolution(inputs, outputs, stride, rank)
        self.second = _convolution(outputs, outputs, 1, rank)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], at half the size and of twice the channels in a stage's first block."""
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def _convolution(inputs: int, outputs: int, stride: int, rank: int | None) -> nn.Module:
    if rank is None:
        return nn.Conv2d(inputs, outputs, 3, stride, 1)
    return nn.Sequential(nn.Conv2d(inputs, rank, 3, stride, 1, bias=False), nn.Conv2d(rank, outputs, 1))


def backbone() -> nn.Sequential:
    """The stem and the four stages, at strides 4, 4, 8, 16 and 32."""
    stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    stages = [
        nn.Sequential(Block(inputs, outputs, rank), Block(outputs, outputs, rank))
        for inputs, outputs, rank in zip((WIDTHS[0], *WIDTHS), WIDTHS, RANKS, strict=False)
    ]
    return nn.Sequential(stem, *stages)


class AttendedEvidence(nn.Module):
    """Evidence at every position: what one layer says, and what another says, weighed by where a third one looks.

    The weights are a softmax over the positions times their number, so that the mean of the evidence, which is the
    logit, is linear in two vectors: the mean of the features, and their mean where it looks (``means``).
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.where = nn.Conv2d(channels, 1, 1)
        self.there = nn.Conv2d(channels, outputs, 1, bias=False)
        self.everywhere = nn.Conv2d(channels, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, h, w] to [N, K, h, w]."""
        return cast(Tensor, self.everywhere(features) + self._weights(features) * self.there(features))

    def means(self, features: Tensor) -> Tensor:
        """[N, C, h, w] to [N, 2C]: the mean of the features, and their mean where it looks."""
        return torch.cat([features.mean((2, 3)), (self._weights(features) * features).mean((2, 3))], 1)

    def _weights(self, features: Tensor) -> Tensor:
        where = self.where(features)
        return torch.softmax(where.flatten(2), -1).view_as(where) * where[0, 0].numel()


@torch.no_grad()
def narrow(trunk: nn.Sequential, source: ResNet18, films: list[Tensor]) -> None:
    """Give ``trunk`` (of ``backbone``) the weights of ``source``, its last two stages as they respond to ``films``.

    ``films`` are batches [N, 3, H, W] of a few hundred films in all, as the networks take them.
    """
    weights = _folded(source.eval())
    stem, *stages = cast(list[nn.Sequential], list(trunk.children()))
    _put(stem[0], *next(weights))
    seen = [stem(x) for x in films]
    for block in (cast(Block, block) for stage in stages for block in stage.children()):
        hidden = _taken(block.first, *next(weights), seen)
        _taken(block.second, *next(weights), [F.relu(x) for x in hidden])
        if isinstance(block.shortcut, nn.Conv2d):
            _put(block.shortcut, *next(weights))
        seen = [block(x) for x in seen]


def _folded(source: ResNet18) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight and bias of every convolution, its normalisation folded in, in the order of ``source``'s modules."""
    convolution: nn.Conv2d | None = None
    for module in source.modules():
        if isinstance(module, nn.BatchNorm2d) and convolution is not None:
            mean, variance = cast(Tensor, module.running_mean), cast(Tensor, module.running_var)
            scale = module.weight / torch.sqrt(variance + module.eps)
            yield convolution.weight * scale[:, None, None, None], module.bias - mean * scale
        convolution = module if isinstance(module, nn.Conv2d) else convolution


def _put(convolution: nn.Module, weight: Tensor, bias: Tensor) -> None:
    cast(Tensor, convolution.weight).copy_(weight)
    cast(Tensor, convolution.bias).copy_(bias)


def _taken(layer: nn.Module, weight: Tensor, bias: Tensor, seen: list[Tensor]) -> list[Tensor]:
    """Give ``layer`` these weights, all of them or the directions in which it responds to ``seen``; its responses."""
    if isinstance(layer, nn.Conv2d):
        _put(layer, weight, bias)
    else:
        few, spread = cast(tuple[nn.Conv2d, nn.Conv2d], tuple(layer.children()))
        responses = torch.cat([F.conv2d(x, weight, bias, few.stride, 1).transpose(0, 1).flatten(1) for x in seen], 1)
        mean = responses.double().mean(1)
        _, directions = torch.linalg.eigh(torch.cov(responses.double()))
        kept = directions[:, -few.out_channels :]
        few.weight.copy_(torch.einsum("or,oikl->rikl", kept, weight.double()))
        # What the directions left out say is taken for what it is on average.
        _put(spread, kept[:, :, None, None], mean + kept @ (kept.T @ (bias.double() - mean)))
    return [layer(x) for x in seen]
