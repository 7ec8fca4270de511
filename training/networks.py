"""The networks while they learn: torch modules that speak at every position before they are pooled.

Networks that end as Keras files are trained in torch as well, as exact mirrors of ``keras.applications`` (same
padding, same epsilon), and copied over afterwards (``training.keras_files``): Keras 3 on its torch backend took
1.8 (EfficientNet-B0) to 2.6 times (MobileNetV2) as long a training step on two cores.
"""

from functools import partial
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from predictors.architectures import ARCHITECTURES, Pooling, ResNet18, SqueezeNet, pooled
from training import narrow
from training.recipes import IMAGENET_MEAN, IMAGENET_STD, Recipe

KERAS_EPSILON = 1e-3
NARROW, TWO_SCALES = "resnet18_narrow", "mobilenet_v2+resnet18_narrow"
FAR = 224
"""Pixels a side at which the second network of ``TwoScales`` sees a film."""

TORCHVISION = {
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "efficientnet_b0": torchvision.models.efficientnet_b0,
}

Outputs = tuple[Tensor, Tensor, Tensor]
"""Logits [N, K], evidence [N, K, h, w] and the last feature map."""


class _TensorFlowConv(nn.Conv2d):
    """A strided convolution that pads as TensorFlow does for even sizes: one less before than after."""

    def forward(self, x: Tensor) -> Tensor:
        half = self.kernel_size[0] // 2
        return super().forward(nn.functional.pad(x, (half - 1, half, half - 1, half)))


def _pad_like_tensorflow(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
            child.padding = (0, 0)
            child.__class__ = _TensorFlowConv


class KerasMirror(nn.Module):
    """A backbone that computes what its counterpart in Keras computes, and an evidence layer.

    The backbone is torchvision's, as ``keras.applications`` has it, with a 1x1 evidence layer; or, as ``NARROW``, that
    of ``training.narrow``, with evidence that is weighed by where it looks.
    """

    def __init__(self, architecture: str, outputs: int, pooling: Pooling) -> None:
        super().__init__()
        self.backbone: nn.Sequential
        self.evidence: nn.Module
        if architecture == NARROW:
            self.channels = narrow.WIDTHS[-1]
            self.backbone = narrow.backbone()
            self.evidence = narrow.AttendedEvidence(self.channels, outputs)
        else:
            self.channels = 1280
            norm = partial(nn.BatchNorm2d, eps=KERAS_EPSILON, momentum=0.05)
            self.backbone = TORCHVISION[architecture](weights=None, norm_layer=norm).features
            _pad_like_tensorflow(self.backbone)
            self.evidence = nn.Conv2d(self.channels, outputs, 1)
        # Keras' EfficientNet scales its input of 0..255 itself.
        self.input_scale = 1 / 255 if architecture == "efficientnet_b0" else 1.0
        self.dropout = nn.Dropout2d(0.2)
        self.pooling: Pooling = pooling

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 3, H, W] to logits [N, K], evidence [N, K, H/32, W/32] and the last feature map."""
        return self.spoken(self.maps(x)[-1])

    def maps(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] to the feature maps after every stage of the backbone."""
        maps = [x * self.input_scale]
        for stage in self.backbone:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def spoken(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last feature map to what ``forward`` gives."""
        evidence = self.evidence(self.dropout(features))
        return pooled(evidence.float(), self.pooling), evidence, features


class TwoScales(nn.Module):
    """Two networks that see the same film, one from near, the other at ``FAR`` pixels a side; what they say is added.

    Each is trained by itself. The film comes as MobileNetV2 takes it, from -1 to 1.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.near = KerasMirror(NARROW, outputs, "mean")
        self.far = KerasMirror("mobilenet_v2", outputs, "mean")

    def forward(self, x: Tensor) -> Outputs:
        """[N, 3, H, W] to logits [N, K], evidence [N, K, H/32, W/32] and the near network's last feature map."""
        mean, std = (x.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        logits, evidence, features = self.near((x / 2 + 0.5 - mean) / std)
        resized = partial(nn.functional.interpolate, mode="bilinear", align_corners=False)
        far_logits, far_evidence, _ = self.far(resized(x, size=(FAR, FAR)))
        return logits + far_logits, evidence + resized(far_evidence, size=evidence.shape[-2:]), features


Network = KerasMirror | ResNet18 | SqueezeNet
"""What learns by a recipe's phases."""

Whole = Network | TwoScales
"""What is released."""


def build(recipe: Recipe, backbones: Path | None) -> Whole:
    """The recipe's network, from its ImageNet start if it has one and ``backbones`` holds the file."""
    outputs = 1 if recipe.activation == "sigmoid" else len(recipe.labels)
    if recipe.architecture == TWO_SCALES:
        return TwoScales(outputs).to(memory_format=torch.channels_last)
    network: Network
    if recipe.architecture in ARCHITECTURES:
        network = ARCHITECTURES[recipe.architecture](outputs, recipe.pooling)
    else:
        network = KerasMirror(recipe.architecture, outputs, recipe.pooling)
    if recipe.start == "imagenet" and backbones is not None:
        _start_from(network, backbones / f"{recipe.architecture}_torchvision.safetensors")
    return network.to(memory_format=torch.channels_last)


def _start_from(network: Network, path: Path) -> None:
    from safetensors.torch import load_file

    state = {key: value.float() for key, value in load_file(path).items()}
    features = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
    stages(network).load_state_dict(features)


def stages(network: Network) -> nn.Module:
    """The backbone as a sequence of stages, first to last."""
    if isinstance(network, KerasMirror):
        return network.backbone
    if isinstance(network, SqueezeNet):
        return network.net.features
    net = network.net
    return nn.ModuleList([nn.Sequential(net.conv1, net.bn1), net.layer1, net.layer2, net.layer3, net.layer4])


def freeze(network: Network, first: int) -> None:
    """Keep the weights of the backbone's ``first`` stages (-1: all of them), in eval mode; the rest learns."""
    parts = list(stages(network).children())
    count = len(parts) if first < 0 else first
    network.train()
    for position, part in enumerate(parts):
        part.requires_grad_(position >= count)
        if position < count:
            part.eval()


@torch.no_grad()
def recalibrate(network: Network, batches: list[Tensor]) -> None:
    """Measure every batch normalisation's mean and variance anew on ``batches`` of films."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    network.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@torch.no_grad()
def unfold(network: Network, batches: list[Tensor]) -> None:
    """Give folded batch normalisations the statistics of ``batches`` [N, 3, H, W] of films, so that they learn again.

    The inverse of folding, but for the rounding: what the network computes stays as it is.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    moments: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

    def measure(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].float()
        moments[norm].append(torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))]))

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    network.eval()
    for batch in batches:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = torch.stack(moments[norm]).mean(0)
        variance = (square - mean.square()).clamp_min(0)
        old_mean, old_variance = _statistics(norm)
        scale = norm.weight / torch.sqrt(old_variance + norm.eps)
        norm.bias.add_((mean - old_mean) * scale)
        norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
        old_mean.copy_(mean)
        old_variance.copy_(variance)


@torch.no_grad()
def fold_to_half(network: Whole) -> None:
    """Fold every batch normalisation into its convolution and round what is left to half precision.

    Twins are stored in half precision, and rounding a trained network after its calibration moved probabilities
    by up to 0.02 (MobileNetV2, measured on films). Rounded before, the weights of record and the twin are the
    same network, and calibration and figures are those of what ships.
    """
    convolution: nn.Conv2d | None = None
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and convolution is not None:
            _fold(convolution, module)
        convolution = module if isinstance(module, nn.Conv2d) else convolution
    for parameter in network.parameters():
        parameter.copy_(parameter.half().float())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.fill_((1 + module.eps) ** 0.5)  # undoes the epsilon: the layer adds its bias, nothing else


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = _statistics(norm)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    convolution.weight.mul_(scale[:, None, None, None])
    norm.bias.sub_(mean * scale)
    mean.zero_()
    variance.fill_(1)


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The running mean and variance themselves, to read or to write."""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch normalisation without running statistics cannot be folded")
    return norm.running_mean, norm.running_var
