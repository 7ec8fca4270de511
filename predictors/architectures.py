"""The torch networks that a ``.pth`` state dict can fill. Imports torch: only conversion and training do.

Each is torchvision's own architecture with torchvision's key names, so that anyone's fine-tuned state dict fits,
rearranged so that the last layer speaks at every position before it is pooled (Zhou et al. 2016, "Learning Deep
Features for Discriminative Localization"): pooling and a linear layer commute, so the mean of the evidence map
is exactly the logit that the original network gives.
"""

import math
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn

Pooling = Literal["mean", "logsumexp"]


def pooled(evidence: Tensor, pooling: Pooling) -> Tensor:
    """Evidence [N, K, h, w] to logits [N, K].

    "logsumexp" is the smooth maximum, less the logarithm of the number of positions: one strong position is
    enough, as one fracture is enough (Pinheiro and Collobert 2015).
    """
    flat = evidence.flatten(2)
    if pooling == "mean":
        return flat.mean(-1)
    return torch.logsumexp(flat, -1) - math.log(flat.shape[-1])


class ResNet18(nn.Module):
    """torchvision's ResNet-18; ``forward`` takes [N, 3, H, W] and gives logits [N, K], evidence, features."""

    channels = 512

    def __init__(self, outputs: int, pooling: Pooling) -> None:
        super().__init__()
        self.net = torchvision.models.resnet18(weights=None, num_classes=outputs)
        self.pooling: Pooling = pooling

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [N, K], evidence [N, K, H/32, W/32] and the last feature map."""
        return self.spoken(self.maps(x)[-1])

    def maps(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] to the feature maps after the stem and after each stage: strides 4, 4, 8, 16 and 32."""
        net = self.net
        maps = [net.maxpool(net.relu(net.bn1(net.conv1(x))))]
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            maps.append(stage(maps[-1]))
        return maps

    def spoken(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last feature map to what ``forward`` gives."""
        net = self.net
        evidence = nn.functional.conv2d(features, net.fc.weight[:, :, None, None], net.fc.bias)
        return pooled(evidence.float(), self.pooling), evidence, features


class SqueezeNet(nn.Module):
    """torchvision's SqueezeNet 1.1, whose last 1x1 convolution is an evidence map already."""

    channels = 512

    def __init__(self, outputs: int, pooling: Pooling) -> None:
        super().__init__()
        self.net = torchvision.models.squeezenet1_1(weights=None, num_classes=outputs)
        self.pooling: Pooling = pooling

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [N, K], evidence [N, K, H/16, W/16] and the last feature map."""
        return self.spoken(self.maps(x)[-1])

    def maps(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] to the feature maps after every layer and fire module."""
        maps = [x]
        for stage in self.net.features:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def spoken(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last feature map to what ``forward`` gives."""
        # torchvision's ReLU after this convolution suits 1000 classes; here it would forbid evidence against.
        evidence = self.net.classifier[1](self.net.classifier[0](features))
        return pooled(evidence.float(), self.pooling), evidence, features


ARCHITECTURES: dict[str, type[ResNet18] | type[SqueezeNet]] = {
    "resnet18": ResNet18,
    "squeezenet1_1": SqueezeNet,
}
