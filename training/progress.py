"""How far a training has come, kept in its folder after every epoch, so that a stop costs no more than one."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch.optim.swa_utils import AveragedModel

CHECKPOINT, BEST, HISTORY = "checkpoint.pt", "best.pt", "history.csv"


class Resumable(Protocol):
    """What learns: ``training.loop.Learner``."""

    average: AveragedModel

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the training where ``state`` left it."""


def write_history(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One line an epoch, or whatever else was tried, in ``history.csv``."""
    with (folder / HISTORY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, history[-1].keys())
        writer.writeheader()
        writer.writerows(history)


@dataclass
class Progress:
    """The phase that a training is in, the epochs of it that are done, and what was measured after each."""

    folder: Path
    phase: int = 0
    epochs: int = 0
    best: float = -1.0  # AUC within the sources, of the epochs of the last phase
    history: list[dict[str, Any]] = field(default_factory=list)
    learner: dict[str, Any] | None = None  # the state that a stopped training left

    @classmethod
    def of(cls, folder: Path) -> Self:
        """As ``folder``'s checkpoint has it, or at the beginning."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / CHECKPOINT).is_file():
            return cls(folder)
        state = torch.load(folder / CHECKPOINT, weights_only=True)
        phase, epochs = state["done"]
        return cls(folder, phase, epochs, state["best"], state["history"], state["learner"])

    def resume(self, learner: Resumable, phase: int) -> int:
        """Bring ``learner``, which has just started ``phase``, to where it stopped; returns the first epoch to do."""
        if self.learner is None or phase != self.phase:
            return 0
        learner.restore(self.learner)
        return self.epochs

    def keep(self, learner: Resumable, row: dict[str, Any], candidate: bool) -> None:
        """Write what ``row`` says of the epoch just done; keep its averaged weights if no ``candidate`` was better."""
        self.history.append(row)
        self.phase, self.epochs = row["phase"] - 1, row["epoch"]
        write_history(self.folder, self.history)
        if candidate and row["auc_within"] > self.best:
            self.best = row["auc_within"]
            torch.save(learner.average.module.state_dict(), self.folder / BEST)
        state = {
            "learner": learner.state(),
            "best": self.best,
            "done": [self.phase, self.epochs],
            "history": self.history,
        }
        # Under another name until it is whole, whenever the process is killed.
        torch.save(state, self.folder / "checkpoint.new")
        (self.folder / "checkpoint.new").replace(self.folder / CHECKPOINT)

    def best_weights(self) -> dict[str, Any]:
        """Of the averaged network after the best epoch."""
        weights: dict[str, Any] = torch.load(self.folder / BEST, weights_only=True)
        return weights
