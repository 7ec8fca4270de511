"""The weights file of record, in the format of its framework: written from the torch module, and read back."""

from pathlib import Path

import torch
from torch import Tensor

from training.networks import KerasMirror, TwoScales, Whole
from training.recipes import Recipe


def save_weights(network: Whole, recipe: Recipe, path: Path) -> None:
    """Write the weights of record in the recipe's format."""
    if isinstance(network, KerasMirror | TwoScales):
        from training.keras_files import save

        save(network, recipe, path)
    else:
        torch.save({name: _small(value) for name, value in network.net.state_dict().items()}, path)


def _small(value: Tensor) -> Tensor:
    half = value.half()
    same = value.is_floating_point() and torch.equal(half.float(), value)
    return (half if same else value).contiguous()


def read_weights(network: Whole, path: Path) -> None:
    """Fill ``network`` with weights of record; raises ValueError or RuntimeError if they are another network's."""
    if isinstance(network, KerasMirror | TwoScales):
        from training.keras_files import read

        read(network, path)
    else:
        network.net.load_state_dict({k: v.float() for k, v in torch.load(path, weights_only=True).items()})
