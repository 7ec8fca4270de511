"""Our networks in torch: the weights of record in torchvision's ResNet-18, or in the mirrors of Keras' backbones."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from predictors.architectures import ARCHITECTURES
from predictors.spec import ModelSpec

WEIGHTS = Path(__file__).parent.parent.parent / "weights"


class Logits(nn.Module):
    """A network under our convention: [N, H, W, 3] to logits [N, K]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, films: Tensor) -> Tensor:
        """The logits alone, without the evidence that they were pooled from."""
        logits: Tensor = self.network(films.permute(0, 3, 1, 2))[0]
        return logits


def torch_network(model: str) -> nn.Module:
    """The network of that name, ready to be asked."""
    spec = ModelSpec.read(WEIGHTS / model)
    path = WEIGHTS / model / spec.weights.file
    network = _from_state(path, spec) if path.suffix == ".pth" else _from_keras(path, spec)
    return Logits(network).eval().to(memory_format=torch.channels_last)


def _from_state(path: Path, spec: ModelSpec) -> nn.Module:
    network = ARCHITECTURES[spec.architecture](spec.outputs, spec.pooling)
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.net.load_state_dict({name: value.float() for name, value in state.items()})
    return network


def _from_keras(path: Path, spec: ModelSpec) -> nn.Module:
    """The torch mirror that the Keras file was once copied from, its weights copied back layer by layer."""
    from training.networks import KerasMirror

    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    model = keras.models.load_model(path, compile=False, safe_mode=True)
    network = KerasMirror(spec.architecture, spec.outputs, spec.pooling)
    targets = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.BatchNormalization)
    sources = [layer for layer in model.layers if isinstance(layer, kinds)]
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            for tensor, weights in zip(_tensors(target), source.get_weights(), strict=True):
                tensor.copy_(torch.from_numpy(weights).permute(_order(source, weights)))
    return network


def _tensors(layer: Any) -> list[Tensor]:
    """The layer's tensors in the order in which Keras keeps them."""
    if isinstance(layer, nn.BatchNorm2d):
        return [layer.weight, layer.bias, layer.running_mean, layer.running_var]  # type: ignore[list-item]
    return [tensor for tensor in (layer.weight, layer.bias) if tensor is not None]


def _order(source: Any, weights: Any) -> tuple[int, ...]:
    """How Keras' axes become torch's: HWIO to OIHW, of a depthwise convolution HWC1 to C1HW."""
    if weights.ndim != 4:
        return tuple(range(weights.ndim))
    return (2, 3, 0, 1) if type(source).__name__ == "DepthwiseConv2D" else (3, 2, 0, 1)
