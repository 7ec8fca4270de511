"""The figures of a card, from probabilities and truth: each by a well-known library's function."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, balanced_accuracy_score, recall_score, roc_auc_score

from training.calibrate import Scores, Truth

RESAMPLES = 1000


def expected_calibration_error(probability: Scores, truth: Truth, bins: int = 15) -> float:
    """Mean distance between probability and frequency over ``bins`` bins of equally many films (0 is best)."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(part) * abs(probability[part].mean() - truth[part].mean()) for part in parts]
    return float(sum(gaps) / len(probability))


def interval(
    figure: Callable[[Truth, Scores], float],
    truth: Truth,
    probability: Scores,
    groups: list[str],
    seed: int = 0,
) -> tuple[float, float]:
    """95% bootstrap interval of ``figure``, resampling whole groups: films of one patient are no new evidence."""
    names, members = np.unique(groups, return_inverse=True)
    rows_of = [np.flatnonzero(members == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([rows_of[i] for i in rng.integers(0, len(names), len(names))])
        if 0 < truth[rows].sum() < len(rows):
            values.append(figure(truth[rows], probability[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def figures(probability: Scores, truth: Truth, groups: list[str], threshold: float) -> dict[str, Any]:
    """Everything that a card states of one set of films."""
    decided = probability >= threshold
    low, high = interval(roc_auc_score, truth, probability, groups)
    return {
        "films": len(truth),
        "groups": len(set(groups)),
        "positive": int(truth.sum()),
        "auroc": _round(roc_auc_score(truth, probability)),
        "auroc_95": [_round(low), _round(high)],
        "average_precision": _round(average_precision_score(truth, probability)),
        "sensitivity": _round(recall_score(truth, decided)),
        "specificity": _round(recall_score(~truth, ~decided)),
        "balanced_accuracy": _round(balanced_accuracy_score(truth, decided)),
        "ece": _round(expected_calibration_error(probability, truth)),
    }


def auroc_by(kinds: list[str], probability: Scores, truth: Truth) -> dict[str, dict[str, float | int]]:
    """AUROC within every kind of film that holds both labels."""
    rows: dict[str, NDArray[np.bool_]] = {k: np.array([kind == k for kind in kinds]) for k in sorted(set(kinds))}
    return {
        kind: {"films": int(at.sum()), "auroc": _round(roc_auc_score(truth[at], probability[at]))}
        for kind, at in rows.items()
        if min(truth[at].sum(), (~truth[at]).sum()) >= 5
    }


def _round(value: float) -> float:
    return round(float(value), 4)
