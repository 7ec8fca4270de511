"""A head on what another network sees, for a task with too few films to teach a network much (Alain and Bengio 2016).

The trunk is a trained network's, made narrow (``training.narrow``), and keeps its weights; where it looks is where that
network sees its own finding. The head is a logistic regression on the mean of the features and on their mean where it
looks. Its penalty is chosen in folds of the training groups: validation films choose nothing of it. What it says is
then added to what a network says that did learn from these films: the two go wrong on different ones.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from predictors.architectures import ResNet18
from training.collections import Example
from training.film_set import FilmSet, network_ready
from training.loop import figures_of, logits_of
from training.narrow import AttendedEvidence, narrow
from training.networks import NARROW, KerasMirror, TwoScales
from training.progress import BEST, write_history
from training.recipes import IMAGENET_MEAN, IMAGENET_STD, Recipe

PENALTIES = (0.03, 0.01, 0.003, 0.001, 0.0003)
"""Inverse strengths (scikit-learn's C) of the penalty on standardised features, weakest first."""

FOLDS, SHUFFLES = 5, 3

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """Features of the training films and of their mirror images [2, N, 2C], and what goes with every film [N]."""

    features: Features
    positive: NDArray[np.bool_]
    weights: NDArray[np.float32]
    kinds: NDArray[np.str_]
    groups: list[str]

    def learnt(self, rows: NDArray[np.int_], penalty: float) -> nn.Linear:
        """The head [2C to 1] that the films of ``rows`` and their mirror images give, each half a film."""
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=3000))
        every = self.features[:, rows].reshape(2 * len(rows), -1)
        weights = np.tile(self.weights[rows] / 2, 2)
        regression.fit(every, np.tile(self.positive[rows], 2), logisticregression__sample_weight=weights)
        scaler, fitted = regression.named_steps.values()
        head = nn.Linear(every.shape[1], 1).requires_grad_(False)
        slope = fitted.coef_ / scaler.scale_
        head.weight.copy_(torch.from_numpy(slope))
        head.bias.copy_(torch.from_numpy(fitted.intercept_ - slope @ scaler.mean_))
        return head

    def judged_by_others(self, penalty: float, shuffle: int) -> NDArray[np.float32]:
        """Every film's log-odds [N, 1] by a head that learnt from other groups, in folds of that ``shuffle``."""
        rows = np.arange(len(self.positive))
        log_odds = np.zeros((len(rows), 1), np.float32)
        cells = [f"{kind}/{positive}" for kind, positive in zip(self.kinds, self.positive, strict=True)]
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=shuffle)
        for others, these in folds.split(rows, cells, self.groups):
            log_odds[these] = said(self.learnt(others, penalty), self.features[0, these])
        return log_odds


def said(head: nn.Linear, features: Features) -> NDArray[np.float32]:
    """Log-odds [N, 1] of features [N, 2C]."""
    return cast(Tensor, head(torch.from_numpy(features))).numpy()


def near_part(recipe: Recipe) -> Recipe:
    """Of a network of two scales, the part that sees the film from near, as a network of its own."""
    return replace(recipe, architecture=NARROW, input=replace(recipe.input, mean=IMAGENET_MEAN, std=IMAGENET_STD))


def fit_head(
    recipe: Recipe, trunk: tuple[Recipe, ResNet18], train: list[Example], val: list[Example], work: Path
) -> KerasMirror:
    """A narrow network on ``trunk``'s features, its head learnt from ``train``; or what ``work`` has of it already.

    ``recipe`` is that of the network alone (``near_part``). ``work`` gets the weights and ``history.csv``: for every
    penalty its figures in the folds, and those of ``val``.
    """
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = KerasMirror(recipe.architecture, 1, recipe.pooling).to(memory_format=torch.channels_last).eval()
    evidence = cast(AttendedEvidence, network.evidence)
    if (work / BEST).is_file():
        network.load_state_dict(torch.load(work / BEST, weights_only=True))
        return network
    films, held = (FilmSet.read(part, recipe, work / "cache") for part in (train, val))
    _see_as(network, evidence, trunk, films, recipe)
    shown = Shown(
        np.stack([features_of(network, planes, recipe) for planes in (films.planes, films.planes.flip(3))]),
        films.targets.numpy() == recipe.labels.index(recipe.positive),
        films.weights.numpy(),
        films.kinds,
        [example.group for example in train],
    )
    judged = features_of(network, held.planes, recipe)
    everything, history = np.arange(len(train)), []
    for penalty in PENALTIES:
        folds = [_figures(shown.judged_by_others(penalty, s), films, recipe)["auc_within"] for s in range(SHUFFLES)]
        head = shown.learnt(everything, penalty)
        loss = float(log_loss(shown.positive, torch.sigmoid(torch.from_numpy(said(head, shown.features[0])))))
        figures = _figures(said(head, judged), held, recipe)
        history.append({"penalty": penalty, "loss": loss, **figures, "auc_within_in_folds": float(np.mean(folds))})
        print(recipe.name, {name: round(value, 4) for name, value in history[-1].items()}, flush=True)
    write_history(work, history)
    best = max(history, key=lambda row: row["auc_within_in_folds"])
    _speak(evidence, shown.learnt(everything, best["penalty"]))
    torch.save(network.state_dict(), work / BEST)
    return network


def _figures(log_odds: NDArray[np.float32], films: FilmSet, recipe: Recipe) -> dict[str, float]:
    return figures_of(log_odds, films.targets.numpy(), recipe.labels.index(recipe.positive), films.kinds)


@torch.no_grad()
def _see_as(
    network: KerasMirror, evidence: AttendedEvidence, trunk: tuple[Recipe, ResNet18], films: FilmSet, recipe: Recipe
) -> None:
    """Give ``network`` the features of ``trunk``, and let it look where ``trunk`` sees its positive label."""
    known, source = trunk
    some = films.planes[torch.randperm(len(films.planes))[:256]].float()
    narrow(network.backbone, source, [network_ready(part, recipe.input, None) for part in some.split(32)])
    positive = known.labels.index(known.positive)
    last = source.net.fc
    evidence.where.weight.copy_((last.weight[positive] - last.weight[1 - positive])[None, :, None, None])
    cast(Tensor, evidence.where.bias).copy_(last.bias[positive] - last.bias[1 - positive])


@torch.no_grad()
def features_of(network: KerasMirror, planes: Tensor, recipe: Recipe) -> Features:
    """What the head reads of every film [N, 2C]."""
    evidence = cast(AttendedEvidence, network.evidence)
    batches = (network_ready(batch.float(), recipe.input, None) for batch in planes.split(32))
    return torch.cat([evidence.means(network.maps(batch)[-1]) for batch in batches]).numpy()


@torch.no_grad()
def joined(
    near: tuple[Recipe, KerasMirror], far: tuple[Recipe, KerasMirror], val: list[Example], work: Path
) -> TwoScales:
    """The two as one network, each with the same say: divided by how its log-odds spread over the films of ``val``."""
    for recipe, network in (near, far):
        log_odds = logits_of(network, FilmSet.read(val, recipe, work / "cache"), recipe.input)
        spread = max(float(log_odds.std()), 0.1)  # what says the same of every film is not made loud
        evidence = network.evidence
        says = [evidence.everywhere, evidence.there] if isinstance(evidence, AttendedEvidence) else [evidence]
        for parameter in (parameter for layer in says for parameter in layer.parameters()):
            parameter.div_(spread)
    both = TwoScales(1)
    both.near, both.far = near[1], far[1]
    return both.eval()


@torch.no_grad()
def _speak(evidence: AttendedEvidence, head: nn.Linear) -> None:
    """Let every position say what makes the head's log-odds on average."""
    everywhere, there = head.weight[:, :, None, None].chunk(2, 1)
    evidence.everywhere.weight.copy_(everywhere)
    evidence.there.weight.copy_(there)
    cast(Tensor, evidence.everywhere.bias).copy_(head.bias)
