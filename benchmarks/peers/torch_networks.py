"""Our networks in torch: the weights of record in torchvision's ResNet-18, or in the mirrors of Keras' backbones."""

from pathlib import Path

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
    from training.networks import build
    from training.recipes import RECIPES
    from training.record import read_weights

    network = build(RECIPES[spec.name], None)
    read_weights(network, path)
    return network
