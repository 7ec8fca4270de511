"""The one training loop: phases of a recipe, checkpoints that survive a stop, the best averaged weights kept.

A film's loss is binary cross-entropy (cross-entropy for more than two labels), weighted so that every label (and
source, or scanner) counts the same. Where a recipe asks for it, fracture boxes supervise the evidence map and a
teacher network, which saw the same training groups, is matched at its features, its evidence and its logits.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from predictors.spec import InputSpec
from training.augment import augment, crops, mixed
from training.collections import Example
from training.film_set import FilmSet, film_planes, network_ready, resized
from training.grow import grow
from training.matching import Matching, margin
from training.networks import KerasMirror, Network, Outputs, TwoScales, build, freeze, recalibrate, unfold
from training.precision import autocast
from training.progress import Progress
from training.recipes import Phase, Recipe
from training.record import read_weights

AVERAGE_DECAY = 0.99


class Learner:
    """A network, its running average, its optimiser and, if it has one, the teacher that it matches."""

    def __init__(self, recipe: Recipe, network: Network, teacher: tuple[Recipe, Network] | None) -> None:
        self.recipe = recipe
        self.network = network
        self.teacher = teacher
        self.matching = Matching(recipe, network, *teacher) if teacher else None
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True)
        self.positive = recipe.labels.index(recipe.positive)
        self.taught = True  # whether the phase asks for the teacher

    def start(self, phase: Phase, steps: int) -> None:
        """Freeze what ``phase`` freezes; a fresh optimiser with a short warm-up and a cosine to zero."""
        self.taught = phase.taught
        freeze(self.network, phase.frozen)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        parameters += list(self.matching.parameters()) if self.matching else []
        self.optimiser = torch.optim.AdamW(parameters, phase.learning_rate, weight_decay=0.02)
        total, warm = steps * phase.epochs, min(100, steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))),
        )

    def step(self, films: FilmSet, rows: Tensor, size: int | None) -> float:
        """One step on the labelled films at ``rows``; returns the loss."""
        planes, masks = augment(
            films.planes[rows].float(),
            films.masks[rows].float() if films.masks is not None else None,
            self.recipe.augmentation,
        )
        outputs, matched = self._seen(planes, size or self.recipe.input.size)
        loss = self._label_loss(outputs[0], films.targets[rows], films.weights[rows])
        if masks is not None:
            loss = loss + self.recipe.box_weight * self._box_loss(outputs[1].float(), masks, films.targets[rows])
        return self._learnt(loss + self.recipe.distil_weight * matched)

    def match(self, planes: Tensor, side: int, size: int | None) -> float:
        """One step towards the teacher on squares of ``side`` pixels out of the films' ``planes``; returns the loss."""
        planes, _ = augment(resized(planes.float(), size), None, self.recipe.augmentation)
        return self._learnt(self._seen(mixed(crops(planes, side)), None)[1])

    def _seen(self, planes: Tensor, size: int | None) -> tuple[Outputs, Tensor]:
        """What the network says of ``planes``, and how far from the teacher that is.

        Whole films are seen at ``size`` pixels a side, and by the teacher at its own; squares (None) as they are.
        """
        with autocast():
            given = network_ready(planes, self.recipe.input, size)
            if self.teacher is None or self.matching is None or not self.taught:
                return self.network(given), torch.zeros(())
            maps = self.network.maps(given)
            outputs = self.network.spoken(maps[-1])
            recipe, teacher = self.teacher
            with torch.no_grad():
                known_maps = teacher.maps(network_ready(planes, recipe.input, size and recipe.input.size))
                known = teacher.spoken(known_maps[-1])
        return outputs, self.matching(maps, outputs, known_maps, known)

    def _learnt(self, loss: Tensor) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], 5.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return float(loss.detach())

    def _label_loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        if logits.shape[1] > 2:
            return (F.cross_entropy(logits.float(), targets, reduction="none") * weights).mean()
        truth = (targets == self.positive).float()
        log_odds = margin(logits.float(), self.positive)
        return F.binary_cross_entropy_with_logits(log_odds, truth, weight=weights)

    def _box_loss(self, evidence: Tensor, masks: Tensor, targets: Tensor) -> Tensor:
        """Every position's log-odds against whether a box lies there; positive films without a box do not count."""
        cells = F.adaptive_max_pool2d(masks, (evidence.shape[-2], evidence.shape[-1]))[:, 0].round()
        known = (targets != self.positive) | (cells.flatten(1).sum(1) > 0)
        weight = (1 + 7 * cells) * known.float()[:, None, None]
        return F.binary_cross_entropy_with_logits(margin(evidence, self.positive), cells, weight=weight)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "matching": self.matching.state_dict() if self.matching else {},
            "optimiser": self.optimiser.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the training where ``state`` left it."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        if self.matching:
            self.matching.load_state_dict(state["matching"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]


@torch.no_grad()
def logits_of(network: nn.Module, films: FilmSet, spec: InputSpec, size: int | None = None) -> NDArray[np.float32]:
    """Logits [N, K] of every film, no augmentation."""
    network.eval()
    parts = []
    for start in range(0, len(films.targets), 64):
        batch = network_ready(films.planes[start : start + 64].float(), spec, size)
        with autocast():
            parts.append(network(batch)[0].float())
    return torch.cat(parts).numpy()


def positive_scores(logits: NDArray[np.float32], positive: int) -> NDArray[np.float32]:
    """Uncalibrated probability of the positive label [N]."""
    if logits.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-logits[:, 0])), np.float32)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted[:, positive] / shifted.sum(1)


def figures_of(
    logits: NDArray[np.float32], targets: NDArray[np.int64], positive: int, kinds: NDArray[np.str_]
) -> dict[str, float]:
    """Accuracy, precision and recall of the positive label at 0.5, its AUC, and its AUC within the ``kinds``.

    Within: over all pairs of a positive and a negative film of the same kind, so that a kind of a few films counts
    little. Where sources differ in their share of the label, the AUC of all films together is mostly how well a
    network tells the sources apart.
    """
    scores, truth = positive_scores(logits, positive), targets == positive
    pooled = float(roc_auc_score(truth, scores))
    mixed_kinds = [rows for rows in (kinds == kind for kind in np.unique(kinds)) if 0 < truth[rows].mean() < 1]
    within = [roc_auc_score(truth[rows], scores[rows]) for rows in mixed_kinds]
    pairs = [int(truth[rows].sum() * (~truth[rows]).sum()) for rows in mixed_kinds]
    return {
        "accuracy": float(accuracy_score(truth, scores >= 0.5)),
        "precision": float(precision_score(truth, scores >= 0.5, zero_division=0)),
        "recall": float(recall_score(truth, scores >= 0.5, zero_division=0)),
        "auc": pooled,
        "auc_within": float(np.average(within, weights=pairs)) if within else pooled,
    }


@dataclass(frozen=True)
class Given:
    """What a training may begin as and learn from beside its own films.

    ``backbones``: the folder of ImageNet starts. ``teacher``: the network that is matched. ``onward``: weights of
    record that an earlier training ended with, from which only the last phase is trained. ``also``: films without
    labels, for phases with a crop.
    """

    backbones: Path | None = None
    teacher: tuple[Recipe, Network] | None = None
    onward: Path | None = None
    also: Sequence[Example] = ()


def fit(
    recipe: Recipe,
    train: list[Example],
    val: list[Example],
    work: Path,
    given: Given = Given(),
) -> Network:
    """Train ``recipe`` on ``train``, or go on from ``work``'s checkpoint; returns the best averaged network.

    ``val`` chooses the epoch of the last phase by AUC, within its sources where these are evened out. ``work`` holds
    the checkpoint, the best weights and ``history.csv``. Raises ValueError if ``recipe`` asks for what is not
    ``given``.
    """
    if given.teacher is None and any(phase.crop for phase in recipe.phases[-1 if given.onward else 0 :]):
        raise ValueError(f"{recipe.name} has a phase without labels, and no teacher to match in it")
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    progress = Progress.of(work)
    films, held = (FilmSet.read(part, recipe, work / "cache") for part in (train, val))
    everything = (
        torch.cat([films.planes, film_planes(given.also, recipe, work / "cache")]) if given.also else films.planes
    )
    network = build(recipe, given.backbones)
    if isinstance(network, TwoScales):
        raise ValueError(f"{recipe.name} is made of two networks, which are trained by themselves")
    learner = Learner(recipe, network, given.teacher)
    if progress.learner is None:
        progress.phase = _begin(learner, films, given, rng)

    last = len(recipe.phases) - 1
    for number in range(progress.phase, len(recipe.phases)):
        phase = recipe.phases[number]
        count = len(everything if phase.crop else films.targets)
        steps = max(1, count // recipe.batch)
        learner.start(phase, steps)
        for epoch in range(progress.resume(learner, number), phase.epochs):
            began = time.monotonic()
            freeze(learner.network, phase.frozen)
            rows = torch.from_numpy(rng.permutation(count))
            bar = tqdm(range(steps), desc=f"{recipe.name} phase {number + 1} epoch {epoch + 1}", mininterval=5)
            losses = []
            for step in bar:
                batch = rows[step * recipe.batch : (step + 1) * recipe.batch]
                if phase.crop:
                    losses.append(learner.match(everything[batch], phase.crop, phase.size))
                else:
                    losses.append(learner.step(films, batch, phase.size))
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            logits = logits_of(learner.average.module, held, recipe.input, phase.size)
            figures = figures_of(logits, held.targets.numpy(), learner.positive, held.kinds)
            loss, seconds = float(np.mean(losses)), round(time.monotonic() - began, 1)
            row = {"phase": number + 1, "epoch": epoch + 1, "loss": loss, **figures, "seconds": seconds}
            print(recipe.name, {name: round(value, 4) for name, value in row.items()}, flush=True)
            progress.keep(learner, row, candidate=number == last)
    learner.network.load_state_dict(progress.best_weights())
    return learner.network.eval()


def _begin(learner: Learner, films: FilmSet, given: Given, rng: np.random.Generator) -> int:
    """Bring the network to where its training begins; returns the number of the first phase."""
    recipe, network = learner.recipe, learner.network
    if not given.onward and recipe.start == "scratch":
        return 0
    order = rng.permutation(len(films.targets))[:512]
    batches = [films.planes[torch.from_numpy(order[i : i + 64])].float() for i in range(0, len(order), 64)]
    batches = [network_ready(batch, recipe.input, None) for batch in batches]
    if given.onward:
        read_weights(network, given.onward)
        unfold(network, batches)
    else:
        if recipe.start == "teacher":
            parent = given.teacher[1] if given.teacher else None
            if not isinstance(network, KerasMirror) or not isinstance(parent, KerasMirror):
                raise ValueError(f"{recipe.name} has no teacher that it can be grown from")
            grow(network, parent)
        recalibrate(network, batches)
    learner.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True)
    return len(recipe.phases) - 1 if given.onward else 0
