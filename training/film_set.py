"""The films of one training, held in memory as a network takes them, with their truth and their weight in the loss."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from predictors.spec import InputSpec
from training.collections import Example
from training.films import masks_of, planes_of
from training.recipes import Recipe


@dataclass(frozen=True)
class FilmSet:
    """Films in memory: planes [N, C, H, W] float16, class indices [N], weights [N], box masks [N, 1, h, w].

    ``kinds`` [N] are the sources (or scanners) that are evened out, all the same where it is labels alone.
    """

    planes: Tensor
    targets: Tensor
    weights: Tensor
    masks: Tensor | None
    kinds: NDArray[np.str_]

    @classmethod
    def read(cls, examples: list[Example], recipe: Recipe, cache: Path) -> "FilmSet":
        """Read the films of ``examples`` as ``recipe`` needs them."""
        planes = film_planes(examples, recipe, cache)
        masks = torch.from_numpy(masks_of(examples, recipe.input)).unsqueeze(1) if recipe.box_weight else None
        targets = torch.tensor(targets_of(examples, recipe))
        return cls(planes, targets, weights_of(examples, recipe), masks, np.array(kinds_of(examples, recipe)))


def film_planes(examples: Sequence[Example], recipe: Recipe, cache: Path) -> Tensor:
    """Windowed planes [N, C, H, W] of every film, float16, 0..1, at the size of ``recipe``'s input."""
    planes = torch.from_numpy(planes_of(examples, recipe.input, cache))
    return planes.unsqueeze(1) if planes.ndim == 3 else planes.permute(0, 3, 1, 2)


def targets_of(examples: list[Example], recipe: Recipe) -> list[int]:
    """Each film's class index in the network's own order of labels."""
    return [recipe.labels.index(recipe.relabel.get(e.label, e.label)) for e in examples]


def kinds_of(examples: list[Example], recipe: Recipe) -> list[str]:
    """Each film's source (or scanner), by which ``recipe`` evens the films out; "" where it is by label alone."""
    return ["" if recipe.balance == "label" else e.facts.get(recipe.balance, e.source) for e in examples]


def weights_of(examples: list[Example], recipe: Recipe) -> Tensor:
    """Loss weights [N], mean 1, the same sum for every label; within a label, sources (or scanners) are evened out."""
    labels = [e.label for e in examples]
    cells = list(zip(labels, kinds_of(examples, recipe), strict=True))
    counts = Counter(cells)
    # The square root between sources keeps a few dozen films of a rare kind from ruling the gradient.
    weights = torch.tensor([1.0 / counts[cell] for cell in cells])
    if recipe.balance != "label":
        weights = weights.sqrt()
        for label in set(labels):
            rows = torch.tensor([name == label for name in labels])
            weights[rows] /= weights[rows].sum()
    return weights / weights.mean()


def resized(planes: Tensor, size: int | None) -> Tensor:
    """Planes [N, C, H, W] at ``size`` pixels a side; None leaves them as they are."""
    if size is None or size == planes.shape[-1]:
        return planes
    return transforms.resize(planes, [size, size], antialias=True)


def network_ready(planes: Tensor, spec: InputSpec, size: int | None) -> Tensor:
    """Planes [N, C, H, W] in 0..1 to normalised network input [N, 3, size, size]."""
    planes = resized(planes, size)
    planes = transforms.normalize(planes.expand(-1, 3, -1, -1), list(spec.mean), list(spec.std))
    return planes.contiguous(memory_format=torch.channels_last)
