"""Curves and matrices of a card as PNG pictures."""

import csv
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from sklearn.metrics import confusion_matrix, roc_curve

from training.calibrate import Scores, Truth

sns.set_theme(style="whitegrid", context="notebook")


def draw(
    truth: list[str],
    decided: list[str],
    labels: tuple[str, ...],
    out: Path,
    probability: tuple[Scores, Truth] | None = None,
) -> None:
    """``confusion.png`` in ``out`` and, for two labels, ``roc.png`` from probabilities and truth."""
    out.mkdir(parents=True, exist_ok=True)
    confusion(truth, decided, labels, out / "confusion.png")
    if probability:
        roc_and_reliability(*probability, out / "roc.png")


def training_curves(history: Path, out: Path) -> None:
    """Loss, accuracy, precision, recall and AUC over the epochs of ``history.csv``, or over the penalties tried."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    penalties = [1 / float(r["penalty"]) for r in rows if "penalty" in r]
    over, steps = ("penalty", penalties) if penalties else ("epoch", list(range(1, len(rows) + 1)))
    left.plot(steps, [float(r["loss"]) for r in rows], color="black")
    left.set(xlabel=over, ylabel="training loss", xscale="log" if penalties else "linear")
    for name in ("accuracy", "precision", "recall", "auc"):
        right.plot(steps, [float(r[name]) for r in rows], label=name)
    right.set(xlabel=over, ylabel="validation, at 0.5", ylim=(0, 1.02), xscale="log" if penalties else "linear")
    right.legend()
    _save(figure, out)


def confusion(truth: list[str], decided: list[str], labels: tuple[str, ...], out: Path) -> None:
    """Confusion matrix over ``labels``."""
    figure, axis = plt.subplots(figsize=(1.8 + 1.2 * len(labels), 1.4 + 1.1 * len(labels)))
    counts = confusion_matrix(truth, decided, labels=labels)
    names = {"xticklabels": labels, "yticklabels": labels}
    sns.heatmap(counts, annot=True, fmt="d", cmap="Greys", cbar=False, ax=axis, **names)
    axis.set(xlabel="decided", ylabel="truth")
    _save(figure, out)


def roc_and_reliability(probability: Scores, truth: Truth, out: Path, bins: int = 10) -> None:
    """ROC curve, and how often a stated probability comes true."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8))
    false_alarms, sensitivity, _ = roc_curve(truth, probability)
    left.plot(false_alarms, sensitivity, color="black")
    left.plot([0, 1], [0, 1], color="grey", linestyle=":")
    left.set(xlabel="1 - specificity", ylabel="sensitivity")
    parts = np.array_split(np.argsort(probability), bins)
    right.plot([0, 1], [0, 1], color="grey", linestyle=":")
    right.plot([probability[p].mean() for p in parts], [truth[p].mean() for p in parts], "o-", color="black")
    right.set(xlabel="stated probability", ylabel="observed frequency", xlim=(0, 1), ylim=(0, 1))
    _save(figure, out)


def _save(figure: plt.Figure, out: Path) -> None:
    figure.tight_layout()
    figure.savefig(out, dpi=80)
    plt.close(figure)
