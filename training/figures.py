"""The figures of a card, from probabilities and truth: each by a well-known library's function."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from training.calibrate import Scores, Truth

RESAMPLES = 1000

Rows = NDArray[np.intp]
Groups = Sequence[str]


def expected_calibration_error(probability: Scores, truth: Truth, bins: int = 15) -> float:
    """Mean distance between probability and frequency over ``bins`` bins of equally many films (0 is best)."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(part) * abs(probability[part].mean() - truth[part].mean()) for part in parts]
    return float(sum(gaps) / len(probability))


def error_by_chance(probability: Scores, bins: int = 15, seed: int = 0) -> float:
    """The calibration error to expect of so many films if every ``probability`` were exactly right."""
    chance = np.random.default_rng(seed)
    draws = [chance.random(len(probability)) < probability for _ in range(RESAMPLES)]
    return float(np.mean([expected_calibration_error(probability, truth, bins) for truth in draws]))


def recall_at_specificity(probability: Scores, truth: Truth, specificity: float) -> float:
    """The highest sensitivity of any threshold that keeps ``specificity``."""
    false_alarms, sensitivity, _ = roc_curve(truth, probability, drop_intermediate=False)
    return float(sensitivity[false_alarms <= 1 - specificity + 1e-12].max())


def interval(figure: Callable[[Rows], float], groups: Groups, seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval of ``figure``, a function of film numbers, resampling whole groups.

    Films of one patient are no new evidence. Resamples for which ``figure`` is not a number are left out.
    """
    names, members = np.unique(groups, return_inverse=True)
    rows_of = [np.flatnonzero(members == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(RESAMPLES):
        value = figure(np.concatenate([rows_of[i] for i in rng.integers(0, len(names), len(names))]))
        if not np.isnan(value):
            values.append(value)
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def figures(probability: Scores, truth: Truth, groups: Groups, threshold: float) -> dict[str, Any]:
    """Everything that a card states of one set of films; beside each figure ``<figure>_95``, its interval."""

    def at_threshold(score: Callable[[Truth, Truth], float]) -> Callable[[Scores, Truth], float]:
        return lambda p, t: score(t, p >= threshold)

    measures: dict[str, Callable[[Scores, Truth], float]] = {
        "auroc": lambda p, t: roc_auc_score(t, p),
        "average_precision": lambda p, t: average_precision_score(t, p),
        "sensitivity": at_threshold(recall_score),
        "specificity": at_threshold(lambda t, decided: recall_score(~t, ~decided)),
        "balanced_accuracy": at_threshold(balanced_accuracy_score),
        "recall_at_specificity_0.80": lambda p, t: recall_at_specificity(p, t, 0.80),
        "recall_at_specificity_0.90": lambda p, t: recall_at_specificity(p, t, 0.90),
        "ece": expected_calibration_error,
    }
    result: dict[str, Any] = {"films": len(truth), "groups": len(set(groups)), "positive": int(truth.sum())}
    for name, measure in measures.items():
        low, high = interval(_of_rows(measure, probability, truth), groups)
        result[name] = _round(measure(probability, truth))
        result[f"{name}_95"] = [_round(low), _round(high)]
    result["ece_by_chance"] = _round(error_by_chance(probability))
    return result


def _of_rows(measure: Callable[[Scores, Truth], float], probability: Scores, truth: Truth) -> Callable[[Rows], float]:
    """``measure`` of a resample; not a number where only one label was drawn."""
    return lambda rows: measure(probability[rows], truth[rows]) if 0 < truth[rows].sum() < len(rows) else np.nan


def auroc_by(kinds: list[str], probability: Scores, truth: Truth, groups: Groups) -> dict[str, dict[str, Any]]:
    """AUROC, with its interval, within every kind of film that holds at least five films of both labels."""
    result = {}
    for kind in sorted(set(kinds)):
        at = np.flatnonzero(np.array(kinds) == kind)
        if min(truth[at].sum(), (~truth[at]).sum()) < 5:
            continue
        measure = _of_rows(lambda p, t: roc_auc_score(t, p), probability[at], truth[at])
        low, high = interval(measure, np.asarray(groups)[at].tolist())
        auroc = roc_auc_score(truth[at], probability[at])
        result[kind] = {"films": len(at), "auroc": _round(auroc), "auroc_95": [_round(low), _round(high)]}
    return result


def errors_by(kinds: list[str], decided: Truth, truth: Truth) -> dict[str, dict[str, Any]]:
    """Within every kind of film, how many films of each label were decided wrongly; kinds of five films and more."""
    result: dict[str, dict[str, Any]] = {}
    for kind in sorted(set(kinds)):
        at = np.array(kinds) == kind
        row = {}
        for name, of_label in (("missed", at & truth), ("false_alarms", at & ~truth)):
            if of_label.sum() >= 5:
                row[name] = f"{int((decided != truth)[of_label].sum())} of {int(of_label.sum())}"
        if row:
            result[kind] = row
    return result


def agreement(first: Truth, second: Truth, truth: Truth, groups: Groups) -> dict[str, Any]:
    """Two readers on the same films: Cohen's kappa with its interval, and what a disagreement says.

    Both are None where the two say the same of every film.
    """
    apart, kappa = first != second, _kappa(first, second)
    known = not np.isnan(kappa)
    ends = interval(lambda rows: _kappa(first[rows], second[rows]), groups) if known else ()
    return {
        "films": len(truth),
        "groups": len(set(groups)),
        "kappa": _round(kappa) if known else None,
        "kappa_95": [_round(end) for end in ends] or None,
        "disagree": _round(apart.mean()),
        "right_where_they_agree": _round((first == truth)[~apart].mean()),
        "right_where_they_disagree": _round((first == truth)[apart].mean()) if apart.any() else None,
    }


def together(this: Scores, other: Scores, truth: Truth, groups: Groups) -> dict[str, Any]:
    """AUROC of two readers of the same films, and of the mean of their two probabilities, each with its interval."""
    result: dict[str, Any] = {}
    for name, probability in (("auroc", this), ("other_auroc", other), ("mean_auroc", (this + other) / 2)):
        ends = interval(_of_rows(lambda p, t: roc_auc_score(t, p), probability, truth), groups)
        result[name] = _round(roc_auc_score(truth, probability))
        result[f"{name}_95"] = [_round(end) for end in ends]
    return result


def _kappa(first: Truth, second: Truth) -> float:
    """Not a number where both say the same of every film: then chance alone agrees as well."""
    both = np.concatenate([first, second])
    return float(cohen_kappa_score(first, second)) if 0 < both.sum() < len(both) else np.nan


def _round(value: float) -> float:
    return round(float(value), 4)
