"""A network learns to see as its teacher sees: features at every scale, evidence and logits, on any film.

Labels say little of what a film shows, and a few thousand of them do not teach a network from random weights what to
look for. A teacher that began with ImageNet says it at every position: its maps are regressed at four depths (Romero
et al. 2015, "FitNets"), beside its last features, evidence map and logits (Hinton et al. 2015), on the very same view.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.networks import Network, Outputs
from training.recipes import Recipe

HINTS: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {
    ("resnet18", "mobilenet_v2"): ((1, 3), (2, 6), (3, 13), (4, 17)),
    ("efficientnet_b0", "mobilenet_v2"): ((2, 3), (3, 6), (5, 13), (7, 17)),
}
"""By pupil and teacher: the pupil's stage and the teacher's of the same stride, at strides 4, 8, 16 and 32."""


def margin(outputs: Tensor, positive: int) -> Tensor:
    """Log-odds of the positive label from outputs [N, K, ...] of one or two logits: [N, ...]."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, positive] - outputs[:, 1 - positive]


class Matching(nn.Module):
    """The loss of a pupil against its teacher; its layers bring the pupil's maps to the teacher's channels."""

    def __init__(self, recipe: Recipe, network: Network, teacher_recipe: Recipe, teacher: Network) -> None:
        super().__init__()
        self.positive = recipe.labels.index(recipe.positive)
        self.known_positive = teacher_recipe.labels.index(teacher_recipe.positive)
        self.pairs = HINTS.get((recipe.architecture, teacher_recipe.architecture), ())
        self.adapter = nn.Conv2d(network.channels, teacher.channels, 1)
        with torch.no_grad():
            probe = torch.zeros(1, 3, 64, 64)
            maps, known = network.eval().maps(probe), teacher.eval().maps(probe)
        self.hints = nn.ModuleList(nn.Conv2d(maps[own].shape[1], known[its].shape[1], 1) for own, its in self.pairs)

    def forward(self, maps: list[Tensor], outputs: Outputs, known_maps: list[Tensor], known: Outputs) -> Tensor:
        """Loss of the pupil's stage ``maps`` and ``outputs`` against the teacher's of the same films."""
        logits, evidence, features = (output.float() for output in outputs)
        known_logits, known_evidence, known_features = (output.float() for output in known)
        size = (features.shape[-2], features.shape[-1])
        known_evidence = F.interpolate(known_evidence, size=size, mode="bilinear", align_corners=False)
        alike = F.cosine_similarity(self.adapter(features), F.adaptive_avg_pool2d(known_features, size), dim=1)
        truth = torch.sigmoid(margin(known_logits, self.known_positive))
        truth_map = torch.sigmoid(margin(known_evidence, self.known_positive))
        loss = (
            2 * (1 - alike.mean())
            + F.binary_cross_entropy_with_logits(margin(logits, self.positive), truth)
            + 2 * F.binary_cross_entropy_with_logits(margin(evidence, self.positive), truth_map)
        )
        for hint, (own, its) in zip(self.hints, self.pairs, strict=True):
            target = F.batch_norm(known_maps[its].float(), None, None, training=True)  # every channel counts the same
            seen = F.adaptive_avg_pool2d(hint(maps[own].float()), (target.shape[-2], target.shape[-1]))
            loss = loss + F.mse_loss(seen, target)
        return loss
