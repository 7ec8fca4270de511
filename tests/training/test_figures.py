from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from training import figures as module
from training.figures import auroc_by, expected_calibration_error, figures, interval
from training.loop import figures_of, positive_scores


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 200)


def made_up(count: int = 240, seed: int = 0) -> tuple[Any, Any, list[str]]:
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.4
    probability = 1 / (1 + np.exp(-rng.normal(np.where(truth, 0.8, -0.8), 1.2)))
    return probability, truth, [f"patient {i // 2}" for i in range(count)]


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.83])
def test_figures_are_scikit_learns(cut: float) -> None:
    probability, truth, groups = made_up()
    result = figures(probability, truth, groups, cut)
    decided = probability >= cut
    true_negatives, false_positives, false_negatives, true_positives = metrics.confusion_matrix(truth, decided).ravel()
    sensitivity = true_positives / (true_positives + false_negatives)
    specificity = true_negatives / (true_negatives + false_positives)
    assert {k: v for k, v in result.items() if k not in {"auroc_95", "ece"}} == {
        "films": 240,
        "groups": 120,
        "positive": int(truth.sum()),
        "auroc": round(metrics.roc_auc_score(truth, probability), 4),
        "average_precision": round(metrics.average_precision_score(truth, probability), 4),
        "sensitivity": round(sensitivity, 4),
        "specificity": round(specificity, 4),
        "balanced_accuracy": round((sensitivity + specificity) / 2, 4),
    }
    assert len({result["auroc"], result["average_precision"], result["sensitivity"], result["specificity"]}) == 4
    assert result["ece"] == round(expected_calibration_error(probability, truth), 4)


def test_a_film_exactly_at_the_threshold_is_positive() -> None:
    truth = np.array([True, True, False, False])
    result = figures(np.array([0.5, 0.5, 0.5, 0.4]), truth, list("abcd"), 0.5)
    assert (result["sensitivity"], result["specificity"]) == (1.0, 0.5)


# Calibration


def test_calibration_error_is_zero_where_frequencies_are_as_stated() -> None:
    stated = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0], 40)
    truth = np.concatenate([np.arange(40) % 4 < quarters for quarters in range(5)])
    assert expected_calibration_error(stated, truth, bins=5) == pytest.approx(0, abs=1e-12)


def test_calibration_error_of_a_case_done_by_hand() -> None:
    # Two bins of four: stated 0.2 and seen 0.25, stated 0.9 and seen 0.5.
    stated = np.array([0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.2])
    truth = np.array([1, 1, 0, 0, 1, 0, 0, 0], dtype=bool)
    assert expected_calibration_error(stated, truth, bins=2) == pytest.approx((0.05 + 0.4) / 2)


def test_calibration_error_weighs_bins_by_their_films_and_stands_fewer_films_than_bins() -> None:
    stated, truth = np.array([0.1, 0.2, 0.6]), np.array([False, True, True])
    assert expected_calibration_error(stated, truth, bins=2) == pytest.approx((2 * 0.35 + 0.4) / 3)
    assert expected_calibration_error(stated, truth, bins=15) == pytest.approx((0.1 + 0.8 + 0.4) / 3)


# Intervals


def test_the_interval_holds_the_figure_and_is_of_a_sensible_width() -> None:
    probability, truth, groups = made_up()
    low, high = interval(metrics.roc_auc_score, truth, probability, groups)
    auroc = metrics.roc_auc_score(truth, probability)
    assert low < auroc < high
    # Hanley and McNeil 1982, the standard error of an AUROC of independent films.
    positive, negative = truth.sum(), (~truth).sum()
    q1, q2 = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (positive - 1) * (q1 - auroc**2) + (negative - 1) * (q2 - auroc**2)
    error = np.sqrt(variance / (positive * negative))
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.3)


def test_copies_within_a_group_are_no_new_evidence() -> None:
    probability, truth, groups = made_up(120)
    once = interval(metrics.roc_auc_score, truth, probability, groups)
    thrice = interval(metrics.roc_auc_score, np.tile(truth, 3), np.tile(probability, 3), groups * 3)
    assert thrice == pytest.approx(once, abs=1e-12)
    apart = [f"{group}, copy {copy}" for copy in range(3) for group in groups]
    low, high = interval(metrics.roc_auc_score, np.tile(truth, 3), np.tile(probability, 3), apart)
    assert high - low < 0.8 * (once[1] - once[0])


def test_the_interval_is_the_same_for_a_seed_and_another_for_another() -> None:
    probability, truth, groups = made_up(80)
    first, again, other = (interval(metrics.roc_auc_score, truth, probability, groups, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_resamples_without_both_labels_are_left_out() -> None:
    truth = np.array([True, False, False])
    low, high = interval(metrics.roc_auc_score, truth, np.array([0.6, 0.5, 0.7]), ["a", "b", "c"])
    assert (low, high) == (0.0, 1.0)


# By kind of film


def test_auroc_by_kind_is_measured_within_each_and_left_out_where_a_label_is_rare() -> None:
    probability, truth, _ = made_up()
    kinds = ["few" if i < 8 else "odd" if i % 2 else "even" for i in range(len(truth))]
    rows = auroc_by(kinds, probability, truth)
    assert list(rows) == ["even", "odd"]
    at = np.array([kind == "odd" for kind in kinds])
    assert rows["odd"] == {"films": 116, "auroc": round(metrics.roc_auc_score(truth[at], probability[at]), 4)}


# While training


@pytest.mark.parametrize("positive", [0, 1])
def test_figures_of_an_epoch_are_of_the_positive_label(positive: int) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200)
    logits[np.arange(200), targets] += 0.7
    odds = logits[:, positive] - logits[:, 1 - positive]
    truth = targets == positive
    assert positive_scores(logits, positive) == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-5)
    assert figures_of(logits, targets, positive) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, odds >= 0),
            "precision": metrics.precision_score(truth, odds >= 0),
            "recall": metrics.recall_score(truth, odds >= 0),
            "auc": metrics.roc_auc_score(truth, odds),
        }
    )


def test_a_single_logit_is_the_log_odds() -> None:
    assert positive_scores(np.array([[0.0], [np.log(3)]], np.float32), 1) == pytest.approx([0.5, 0.75])
