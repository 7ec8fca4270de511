from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from predictors.probability import log_odds, probabilities
from predictors.spec import FileRecord, InputSpec, ModelSpec
from training.calibrate import RULES, admission, platt, temperature_of, threshold
from training.recipes import RECIPES


def simulated(temperature: float, bias: float, count: int = 40_000) -> tuple[Any, Any]:
    """Log-odds, and truth drawn so that ``sigmoid(log_odds / temperature + bias)`` is its true probability."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0.5, 3, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-(scores / temperature + bias)))
    return scores, truth


@pytest.mark.parametrize(("temperature", "bias"), [(1.0, 0.0), (2.5, -1.2), (0.6, 0.8)])
def test_platt_finds_temperature_and_bias(temperature: float, bias: float) -> None:
    found, shift = platt(*simulated(temperature, bias))
    assert found == pytest.approx(temperature, rel=0.05)
    assert shift == pytest.approx(bias, abs=0.08)


def spec(**changes: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "name": "n", "title": "", "version": "1", "framework": "torch", "architecture": "", "labels": ("no", "yes"),
        "positive": "yes", "input": InputSpec(8, "pad"), "activation": "sigmoid", "temperature": 1.0, "bias": 0.0,
        "threshold": 0.5, "threshold_rule": "", "weights": FileRecord("", ""),
    }  # fmt: skip
    return ModelSpec(**{**fields, **changes})


@pytest.mark.parametrize(("activation", "sign"), [("sigmoid", 1), ("softmax", -1)])
def test_servings_probability_with_platts_figures_is_how_often_it_comes_true(activation: str, sign: int) -> None:
    scores, truth = simulated(2.5, -1.2)
    # A softmax whose first output speaks for the other label: the margin is the second less the first.
    logits = scores[:, None] if activation == "sigmoid" else np.stack([sign * scores / 2, scores / 2], axis=1)
    plain = spec(activation=activation)
    temperature, bias = platt(log_odds(logits, plain), truth)
    calibrated = spec(activation=activation, temperature=temperature, bias=bias)
    p = 1 / (1 + np.exp(-log_odds(logits, calibrated)))
    for part in np.array_split(np.argsort(p), 10):
        assert p[part].mean() == pytest.approx(truth[part].mean(), abs=0.03)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_of_finds_the_temperature(temperature: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (20_000, 4))
    calibrated = np.exp(logits / temperature)
    calibrated /= calibrated.sum(1, keepdims=True)
    targets = (rng.random((len(logits), 1)) > calibrated.cumsum(1)).sum(1)
    assert temperature_of(logits, targets) == pytest.approx(temperature, rel=0.05)
    four = spec(labels=tuple("abcd"), positive="d", activation="softmax", temperature=temperature)
    served = list(probabilities(logits[0].astype(np.float32), four).values())
    assert served == pytest.approx(list(calibrated[0]), rel=1e-4)


LAST_DECIMAL = 1e-4


def films(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Probabilities of films, and their truth: every third is positive."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3 == 0
    return 1 / (1 + np.exp(-rng.normal(np.where(truth, 1.2, -1.2), 1.5))), truth


def four_decimals(value: float) -> bool:
    return value == round(value, 4)


# 60 and 300 films have 20 and 100 positives, of which exactly one in twenty may be missed.
@pytest.mark.parametrize("count", [30, 60, 200, 300, 1111])
def test_sensitivity_is_the_highest_threshold_that_keeps_0_95(count: int) -> None:
    probability, truth = films(count)
    cut = threshold(probability, truth, "sensitivity")
    assert (probability[truth] >= cut).mean() >= 0.95
    assert (probability[truth] >= cut + LAST_DECIMAL).mean() < 0.95
    assert four_decimals(cut)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_is_the_best_of_all_thresholds(seed: int) -> None:
    probability, truth = films(150, seed)
    cut = threshold(probability, truth, "balanced")
    best = max(balanced_accuracy_score(truth, probability >= p) for p in np.unique(probability))
    assert balanced_accuracy_score(truth, probability >= cut) == pytest.approx(best)
    assert four_decimals(cut)
    assert 0 < cut <= 1


def test_balanced_stays_a_probability_where_nothing_can_be_told() -> None:
    truth = np.arange(40) % 2 == 0
    assert 0 <= threshold(np.where(truth, 0.2, 0.8), truth, "balanced") <= 1


@pytest.mark.parametrize("seed", range(5))
def test_confidence_is_the_least_cut_with_85_percent_right(seed: int) -> None:
    probability, truth = films(400, seed)
    cut = threshold(probability, truth, "confidence")
    sure, right = np.maximum(probability, 1 - probability), (probability >= 0.5) == truth
    assert 0.5 < cut < 0.9
    assert right[sure >= cut].mean() >= 0.85
    lower = np.arange(0.5, cut - 0.005, 0.01)
    assert len(lower)
    assert all(right[sure >= c].mean() < 0.85 for c in lower)
    assert four_decimals(cut)


def test_confidence_of_a_network_that_is_always_right_is_a_half_and_of_a_guesser_0_9() -> None:
    truth = np.arange(100) % 2 == 0
    assert threshold(np.where(truth, 0.7, 0.3), truth, "confidence") == 0.5
    sure_and_wrong = np.where(np.arange(100) % 4 < 2, 0.95, 0.05)
    assert threshold(sure_and_wrong, truth, "confidence") == 0.9


def test_thresholds_have_four_decimals_and_never_round_up() -> None:
    truth = np.array([False] * 10 + [True] * 10)
    probability = np.array([0.1] * 10 + [0.123_456_789] * 10)
    for rule in ("sensitivity", "balanced"):
        assert threshold(probability, truth, rule) == 0.1234
    assert admission({"chest": probability[truth]}) == 0.1234


@pytest.mark.parametrize("count", [50, 100, 350, 1000])
def test_admission_refuses_at_most_one_in_a_hundred_of_every_kind(count: int) -> None:
    rng = np.random.default_rng(0)
    scores = {
        "chest": rng.beta(8, 1, count),
        "limb": rng.beta(5, 1, count),
        "mammogram": rng.beta(12, 1, count),
    }
    cut = admission(scores)
    assert all((kind < cut).mean() <= 0.01 for kind in scores.values())
    assert any((kind < cut + LAST_DECIMAL).mean() > 0.01 for kind in scores.values())
    assert four_decimals(cut)


def test_every_rule_is_said_in_words() -> None:
    assert set(RULES) == {"sensitivity", "balanced", "likelier", "confidence", "admit"}
    assert {recipe.threshold_rule for recipe in RECIPES.values()} < set(RULES)
    assert RULES["confidence"].startswith("confidence")  # by which serving knows the rule
