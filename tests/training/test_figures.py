from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from training import figures as module
from training.figures import (
    agreement,
    auroc_by,
    error_by_chance,
    errors_by,
    expected_calibration_error,
    figures,
    interval,
    recall_at_specificity,
    together,
)
from training.loop import figures_of, positive_scores


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 60)


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
    plain = {k: v for k, v in result.items() if not k.endswith("_95")}
    assert {k: v for k, v in plain.items() if not k.startswith(("ece", "recall_at"))} == {
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
    # Every figure has an interval that holds it (calibration error is the exception: resampling only adds to it).
    assert result["ece_by_chance"] == round(error_by_chance(probability), 4)
    for name in plain.keys() - {"films", "groups", "positive", "ece", "ece_by_chance"}:
        low, high = result[f"{name}_95"]
        assert low <= result[name] <= high, name
        assert high > low, name


def test_recall_at_a_specificity_is_that_of_the_best_threshold_that_keeps_it() -> None:
    probability, truth, _ = made_up()
    for specificity in (0.5, 0.8, 0.9, 1.0):
        best = max(
            (probability[truth] >= cut).mean()
            for cut in [*probability, 2.0]
            if (probability[~truth] < cut).mean() >= specificity
        )
        assert recall_at_specificity(probability, truth, specificity) == pytest.approx(best)


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


def test_calibration_error_by_chance_is_that_of_drawn_truths_and_falls_with_their_number() -> None:
    chance = np.random.default_rng(1)
    few, many = chance.random(150), chance.random(15000)
    truths = [chance.random(150) < few for _ in range(300)]
    expected = np.mean([expected_calibration_error(few, truth) for truth in truths])
    assert error_by_chance(few) == pytest.approx(expected, rel=0.05)
    assert error_by_chance(many) < error_by_chance(few) / 5
    assert error_by_chance(np.array([0.0, 1.0] * 50)) == 0


def test_calibration_error_weighs_bins_by_their_films_and_stands_fewer_films_than_bins() -> None:
    stated, truth = np.array([0.1, 0.2, 0.6]), np.array([False, True, True])
    assert expected_calibration_error(stated, truth, bins=2) == pytest.approx((2 * 0.35 + 0.4) / 3)
    assert expected_calibration_error(stated, truth, bins=15) == pytest.approx((0.1 + 0.8 + 0.4) / 3)


# Intervals


def auroc_interval(truth: Any, probability: Any, groups: list[str], seed: int = 0) -> tuple[float, float]:
    def auroc(rows: Any) -> float:
        return metrics.roc_auc_score(truth[rows], probability[rows]) if len(set(truth[rows])) == 2 else np.nan

    return interval(auroc, groups, seed)


def test_the_interval_holds_the_figure_and_is_of_a_sensible_width() -> None:
    probability, truth, groups = made_up()
    low, high = auroc_interval(truth, probability, groups)
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
    once = auroc_interval(truth, probability, groups)
    thrice = auroc_interval(np.tile(truth, 3), np.tile(probability, 3), groups * 3)
    assert thrice == pytest.approx(once, abs=1e-12)
    apart = [f"{group}, copy {copy}" for copy in range(3) for group in groups]
    low, high = auroc_interval(np.tile(truth, 3), np.tile(probability, 3), apart)
    assert high - low < 0.8 * (once[1] - once[0])


def test_the_interval_is_the_same_for_a_seed_and_another_for_another() -> None:
    probability, truth, groups = made_up(80)
    first, again, other = (auroc_interval(truth, probability, groups, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_resamples_without_both_labels_are_left_out() -> None:
    truth = np.array([True, False, False])
    low, high = auroc_interval(truth, np.array([0.6, 0.5, 0.7]), ["a", "b", "c"])
    assert (low, high) == (0.0, 1.0)


# By kind of film


def test_auroc_by_kind_is_measured_within_each_and_left_out_where_a_label_is_rare() -> None:
    probability, truth, groups = made_up()
    kinds = ["few" if i < 8 else "odd" if i % 2 else "even" for i in range(len(truth))]
    rows = auroc_by(kinds, probability, truth, groups)
    assert list(rows) == ["even", "odd"]
    at = np.array([kind == "odd" for kind in kinds])
    assert rows["odd"]["films"] == 116
    assert rows["odd"]["auroc"] == round(metrics.roc_auc_score(truth[at], probability[at]), 4)
    low, high = rows["odd"]["auroc_95"]
    assert low < rows["odd"]["auroc"] < high


def test_errors_by_kind_are_counted_by_label() -> None:
    kinds = ["hand"] * 11 + ["leg"] * 6
    truth = np.array([True] * 5 + [False] * 6 + [True] * 6)
    decided = truth.copy()
    decided[[0, 1, 5, 12]] ^= True
    assert errors_by(kinds, decided, truth) == {
        "hand": {"missed": "2 of 5", "false_alarms": "1 of 6"},
        "leg": {"missed": "1 of 6"},
    }


# Two readers


def test_agreement_of_a_case_done_by_hand() -> None:
    # Of ten films both call three positive and four negative; three are read apart.
    first = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 0], dtype=bool)
    second = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    truth = np.array([1, 1, 0, 0, 0, 0, 0, 1, 0, 1], dtype=bool)
    result = agreement(first, second, truth, [str(i) for i in range(10)])
    # By chance they would agree on 0.5 x 0.4 + 0.5 x 0.6 = 0.5, so kappa is (0.7 - 0.5) / (1 - 0.5).
    assert result["kappa"] == pytest.approx(0.4)
    assert result["kappa_95"][0] < 0.4 < result["kappa_95"][1]
    assert (result["films"], result["disagree"]) == (10, 0.3)
    assert result["right_where_they_agree"] == round(6 / 7, 4)
    assert result["right_where_they_disagree"] == round(1 / 3, 4)


def test_the_mean_of_two_readers_is_a_reader_of_its_own() -> None:
    # Each ranks one negative film too high, and not the same one.
    truth = np.array([1, 1, 0, 0], dtype=bool)
    first, second = np.array([0.9, 0.6, 0.7, 0.1]), np.array([0.9, 0.6, 0.1, 0.7])
    result = together(first, second, truth, list("abcd"))
    assert (result["auroc"], result["other_auroc"], result["mean_auroc"]) == (0.75, 0.75, 1.0)
    assert result["auroc_95"][0] < 0.75 < result["auroc_95"][1]
    assert result["mean_auroc_95"] == [1.0, 1.0]
    assert together(second, first, truth, list("abcd"))["mean_auroc"] == 1.0


def test_two_readers_who_say_the_same_of_every_film_have_no_kappa() -> None:
    said, truth = np.ones(4, dtype=bool), np.array([1, 1, 0, 1], dtype=bool)
    result = agreement(said, said, truth, list("abcd"))
    assert result["kappa"] is result["kappa_95"] is result["right_where_they_disagree"] is None
    assert (result["disagree"], result["right_where_they_agree"]) == (0, 0.75)


# While training


@pytest.mark.parametrize("positive", [0, 1])
def test_figures_of_an_epoch_are_of_the_positive_label(positive: int) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200)
    logits[np.arange(200), targets] += 0.7
    odds = logits[:, positive] - logits[:, 1 - positive]
    truth = targets == positive
    assert positive_scores(logits, positive) == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-5)
    assert figures_of(logits, targets, positive, np.full(200, "")) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, odds >= 0),
            "precision": metrics.precision_score(truth, odds >= 0),
            "recall": metrics.recall_score(truth, odds >= 0),
            "auc": metrics.roc_auc_score(truth, odds),
            "auc_within": metrics.roc_auc_score(truth, odds),
        }
    )


def test_a_network_that_tells_only_the_sources_apart_is_no_better_than_chance_within_them() -> None:
    kinds = np.array(["a"] * 10 + ["b"] * 10 + ["c"] * 5)
    targets = np.array([1] * 8 + [0] * 2 + [1] * 2 + [0] * 8 + [0] * 5)  # the third holds one label: it says nothing
    logits = np.where(kinds == "a", 1.0, -1.0).astype(np.float32)[:, None]
    figures = figures_of(logits, targets, 1, kinds)
    assert figures["auc_within"] == pytest.approx(0.5)
    assert figures["auc"] > 0.8


def test_a_kind_of_few_films_counts_little_within() -> None:
    kinds = np.array(["many"] * 40 + ["few"] * 4)
    targets = np.array([0] * 20 + [1] * 20 + [0, 0, 1, 1])
    logits = np.where(kinds == "many", targets, 1 - targets).astype(np.float32)[:, None]  # right, and wrong on the few
    assert figures_of(logits, targets, 1, kinds)["auc_within"] == pytest.approx(400 / 404)


def test_a_single_logit_is_the_log_odds() -> None:
    assert positive_scores(np.array([[0.0], [np.log(3)]], np.float32), 1) == pytest.approx([0.5, 0.75])
