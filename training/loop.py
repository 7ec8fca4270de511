"""The one training loop: phases of a recipe, checkpoints that survive a stop, the best averaged weights kept.

A film's loss is binary cross-entropy (cross-entropy for more than two labels), weighted so that every label (and
source, or scanner) counts the same. Where a recipe asks for it, fracture boxes supervise the evidence map and a
teacher network, which saw the same training groups, is matched at its features, its evidence and its logits.
"""

import csv
import math
import time
from collections import Counter
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
from torchvision.transforms.v2 import functional as transforms
from tqdm import tqdm

from predictors.spec import InputSpec
from training.augment import augment
from training.collections import Example
from training.films import masks_of, planes_of
from training.grow import grow
from training.networks import KerasMirror, Network, build, freeze, recalibrate, unfold
from training.recipes import Phase, Recipe

CHECKPOINT, BEST, HISTORY = "checkpoint.pt", "best.pt", "history.csv"
AVERAGE_DECAY = 0.99


@dataclass(frozen=True)
class FilmSet:
    """Films in memory: planes [N, C, H, W] float16, class indices [N], weights [N], box masks [N, 1, h, w]."""

    planes: Tensor
    targets: Tensor
    weights: Tensor
    masks: Tensor | None

    @classmethod
    def read(cls, examples: list[Example], recipe: Recipe, cache: Path) -> "FilmSet":
        """Read the films of ``examples`` as ``recipe`` needs them."""
        planes = torch.from_numpy(planes_of(examples, recipe.input, cache))
        planes = planes.unsqueeze(1) if planes.ndim == 3 else planes.permute(0, 3, 1, 2)
        masks = torch.from_numpy(masks_of(examples, recipe.input)).unsqueeze(1) if recipe.box_weight else None
        return cls(planes, torch.tensor(targets_of(examples, recipe)), weights_of(examples, recipe), masks)


def targets_of(examples: list[Example], recipe: Recipe) -> list[int]:
    """Each film's class index in the network's own order of labels."""
    return [recipe.labels.index(recipe.relabel.get(e.label, e.label)) for e in examples]


def weights_of(examples: list[Example], recipe: Recipe) -> Tensor:
    """Loss weights [N], mean 1, the same sum for every label; within a label, sources (or scanners) are evened out."""
    kinds = [(e.label, "" if recipe.balance == "label" else e.facts.get(recipe.balance, e.source)) for e in examples]
    counts = Counter(kinds)
    # The square root between sources keeps a few dozen films of a rare kind from ruling the gradient.
    weights = torch.tensor([1.0 / counts[kind] for kind in kinds])
    if recipe.balance != "label":
        weights = weights.sqrt()
        labels = [e.label for e in examples]
        for label in set(labels):
            rows = torch.tensor([name == label for name in labels])
            weights[rows] /= weights[rows].sum()
    return weights / weights.mean()


def network_ready(planes: Tensor, spec: InputSpec, size: int | None) -> Tensor:
    """Planes [N, C, H, W] in 0..1 to normalised network input [N, 3, size, size]."""
    if size and size != planes.shape[-1]:
        planes = transforms.resize(planes, [size, size], antialias=True)
    planes = transforms.normalize(planes.expand(-1, 3, -1, -1), list(spec.mean), list(spec.std))
    return planes.contiguous(memory_format=torch.channels_last)


def margin(outputs: Tensor, positive: int) -> Tensor:
    """Log-odds of the positive label from outputs [N, K, ...] of one or two logits: [N, ...]."""
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, positive] - outputs[:, 1 - positive]


class Learner:
    """A network, its running average, its optimiser and, if it has one, the teacher that it matches."""

    def __init__(self, recipe: Recipe, network: Network, teacher: tuple[Recipe, Network] | None) -> None:
        self.recipe = recipe
        self.network = network
        self.teacher = teacher
        self.adapter = nn.Conv2d(network.channels, teacher[1].channels, 1) if teacher else None
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True)
        self.positive = recipe.labels.index(recipe.positive)

    def start(self, phase: Phase, steps: int) -> None:
        """Freeze what ``phase`` freezes; a fresh optimiser with a short warm-up and a cosine to zero."""
        freeze(self.network, phase.frozen)
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        parameters += list(self.adapter.parameters()) if self.adapter else []
        self.optimiser = torch.optim.AdamW(parameters, phase.learning_rate, weight_decay=0.02)
        total, warm = steps * phase.epochs, min(100, steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser,
            lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))),
        )

    def step(self, films: FilmSet, rows: Tensor, size: int | None) -> float:
        """One step on the films at ``rows``; returns the loss."""
        planes, masks = augment(
            films.planes[rows].float(),
            films.masks[rows].float() if films.masks is not None else None,
            self.recipe.augmentation,
        )
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.network(network_ready(planes, self.recipe.input, size))
        loss = self._label_loss(outputs[0], films.targets[rows], films.weights[rows])
        if masks is not None:
            loss = loss + self.recipe.box_weight * self._box_loss(outputs[1].float(), masks, films.targets[rows])
        if self.recipe.distil_weight:
            loss = loss + self.recipe.distil_weight * self._teacher_loss(outputs, planes)
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

    def _teacher_loss(self, outputs: tuple[Tensor, Tensor, Tensor], planes: Tensor) -> Tensor:
        if self.teacher is None or self.adapter is None:
            return torch.zeros(())
        recipe, teacher = self.teacher
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            known_logits, known_evidence, known = teacher(network_ready(planes, recipe.input, None))
        logits, evidence, features = (output.float() for output in outputs)
        size = (features.shape[-2], features.shape[-1])
        positive = recipe.labels.index(recipe.positive)
        known, known_map = F.adaptive_avg_pool2d(known.float(), size), known_evidence.float()
        known_map = F.interpolate(known_map, size=size, mode="bilinear", align_corners=False)
        alike = F.cosine_similarity(self.adapter(features), known, dim=1)
        truth = torch.sigmoid(margin(known_logits.float(), positive))
        truth_map = torch.sigmoid(margin(known_map, positive))
        return (
            2 * (1 - alike.mean())
            + F.binary_cross_entropy_with_logits(margin(logits, self.positive), truth)
            + 2 * F.binary_cross_entropy_with_logits(margin(evidence, self.positive), truth_map)
        )

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "adapter": self.adapter.state_dict() if self.adapter else {},
            "optimiser": self.optimiser.state_dict(),
            "schedule": {"last_epoch": self.schedule.last_epoch},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the training where ``state`` left it."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        if self.adapter:
            self.adapter.load_state_dict(state["adapter"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.last_epoch = state["schedule"]["last_epoch"]


@torch.no_grad()
def logits_of(network: nn.Module, films: FilmSet, spec: InputSpec, size: int | None = None) -> NDArray[np.float32]:
    """Logits [N, K] of every film, no augmentation."""
    network.eval()
    parts = []
    for start in range(0, len(films.targets), 64):
        batch = network_ready(films.planes[start : start + 64].float(), spec, size)
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(network(batch)[0].float())
    return torch.cat(parts).numpy()


def positive_scores(logits: NDArray[np.float32], positive: int) -> NDArray[np.float32]:
    """Uncalibrated probability of the positive label [N]."""
    if logits.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-logits[:, 0])), np.float32)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted[:, positive] / shifted.sum(1)


def figures_of(logits: NDArray[np.float32], targets: NDArray[np.int64], positive: int) -> dict[str, float]:
    """Accuracy, precision, recall and AUC of the positive label, at 0.5."""
    scores, truth = positive_scores(logits, positive), targets == positive
    return {
        "accuracy": float(accuracy_score(truth, scores >= 0.5)),
        "precision": float(precision_score(truth, scores >= 0.5, zero_division=0)),
        "recall": float(recall_score(truth, scores >= 0.5, zero_division=0)),
        "auc": float(roc_auc_score(truth, scores)),
    }


def fit(
    recipe: Recipe,
    train: list[Example],
    val: list[Example],
    work: Path,
    backbones: Path | None,
    teacher: tuple[Recipe, Network] | None = None,
    onward: Path | None = None,
) -> Network:
    """Train ``recipe`` on ``train``, or go on from ``work``'s checkpoint; returns the best averaged network.

    ``val`` chooses the epoch of the last phase by AUC. ``work`` holds the checkpoint, the best weights and
    ``history.csv``. ``onward`` names weights of record (.pth) that an earlier training ended with: only the last
    phase is trained, from there.
    """
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = build(recipe, backbones)
    films, held = (FilmSet.read(part, recipe, work / "cache") for part in (train, val))
    learner = Learner(recipe, network, teacher)
    steps = max(1, len(films.targets) // recipe.batch)
    history: list[dict[str, Any]] = []
    best, done = -1.0, (0, 0)
    state = None
    if (work / CHECKPOINT).is_file():
        state = torch.load(work / CHECKPOINT, weights_only=True)
        best, done, history = state["best"], tuple(state["done"]), state["history"]
    elif onward or recipe.start != "scratch":
        order = rng.permutation(len(films.targets))[:512]
        batches = [films.planes[torch.from_numpy(order[i : i + 64])].float() for i in range(0, len(order), 64)]
        batches = [network_ready(batch, recipe.input, None) for batch in batches]
        if onward:
            _take_over(network, onward)
            unfold(network, batches)
            done = (len(recipe.phases) - 1, 0)
        else:
            if recipe.start == "teacher":
                if teacher is None or not isinstance(network, KerasMirror) or not isinstance(teacher[1], KerasMirror):
                    raise ValueError(f"{recipe.name} has no teacher that it can be grown from")
                grow(network, teacher[1])
            recalibrate(network, batches)
        learner.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY), use_buffers=True)

    for number, phase in enumerate(recipe.phases):
        if number < done[0]:
            continue
        learner.start(phase, steps)
        last = number == len(recipe.phases) - 1
        first_epoch = done[1] if number == done[0] else 0
        if state and first_epoch:
            learner.restore(state["learner"])
        elif state and number == done[0]:
            learner.network.load_state_dict(state["learner"]["network"])
            learner.average.load_state_dict(state["learner"]["average"])
        for epoch in range(first_epoch, phase.epochs):
            began = time.monotonic()
            freeze(network, phase.frozen)
            rows = torch.from_numpy(rng.permutation(len(films.targets)))
            bar = tqdm(range(steps), desc=f"{recipe.name} phase {number + 1} epoch {epoch + 1}", mininterval=5)
            losses = []
            for step in bar:
                batch = rows[step * recipe.batch : (step + 1) * recipe.batch]
                losses.append(learner.step(films, batch, phase.size))
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
            logits = logits_of(learner.average.module, held, recipe.input, phase.size)
            figures = figures_of(logits, held.targets.numpy(), learner.positive)
            seconds = round(time.monotonic() - began, 1)
            history.append(
                {
                    "phase": number + 1,
                    "epoch": epoch + 1,
                    "loss": float(np.mean(losses)),
                    **figures,
                    "seconds": seconds,
                }
            )
            _write_history(history, work / HISTORY)
            print(recipe.name, {k: round(v, 4) for k, v in history[-1].items()}, flush=True)
            if last and figures["auc"] > best:
                best = figures["auc"]
                torch.save(learner.average.module.state_dict(), work / BEST)
            done = (number, epoch + 1)
            checkpoint = {"learner": learner.state(), "best": best, "done": list(done), "history": history}
            torch.save(checkpoint, work / "checkpoint.new")
            (work / "checkpoint.new").replace(work / CHECKPOINT)
    network.load_state_dict(torch.load(work / BEST, weights_only=True))
    return network.eval()


def _take_over(network: Network, weights: Path) -> None:
    if isinstance(network, KerasMirror):
        raise ValueError("only a torch network goes on from its weights of record")
    network.net.load_state_dict({k: v.float() for k, v in torch.load(weights, weights_only=True).items()})


def _write_history(history: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
