"""What the shipped network is worth on films with known truth, through the same code as the Space.

``python -m training.evaluate pneumonia --data FOLDER`` prints the figures of the films that training held back;
``--films all`` takes every film in FOLDER, for a collection that training never saw, and ``--films test`` the
published test split of Kaggle's ``chest_xray`` tree.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from predictors import heatmap
from predictors.image import Radiograph, read_film
from predictors.predictor import Finding
from predictors.preprocess import network_input
from predictors.probability import log_odds, probabilities
from predictors.runtime import Network, default_cache, load_network
from predictors.spec import ModelSpec
from training.calibrate import Scores, Truth
from training.collections import Example, from_chest_xray, load, load_scope, split
from training.figures import auroc_by, figures
from training.recipes import RECIPES, Recipe

FACTS = ("body_part", "view", "scanner", "subtype", "label_quality")
"""Columns of a manifest by which the figures are told apart, where they hold a few values."""

MARGIN = 0.05
"""A heat map's peak counts as in a box that is grown by this fraction of the film."""


@dataclass(frozen=True)
class Outputs:
    """What a network said of every film: logits [N, K], evidence [N, h, w, K], and the films' sizes."""

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]
    films: list[tuple[int, int]]


def run(network: Network, spec: ModelSpec, examples: Sequence[Example]) -> Outputs:
    """Read every film as the Space does and run the compiled network on it."""
    logits, evidence, sizes = [], [], []
    for example in tqdm(examples, desc=f"evaluating {spec.name}", unit="film", mininterval=5):
        film = read_film(example.path)
        output = network(network_input(film, spec.input))
        logits.append(output.logits)
        evidence.append(output.evidence)
        sizes.append((film.width, film.height))
    return Outputs(np.stack(logits), np.stack(evidence), sizes)


def truth_of(examples: Sequence[Example], recipe: Recipe) -> Truth:
    """Which films are of the positive label."""
    return np.array([recipe.relabel.get(e.label, e.label) == recipe.positive for e in examples])


def positive_probability(spec: ModelSpec, outputs: Outputs) -> Scores:
    """Calibrated probability of the positive label of every film."""
    return np.asarray(1 / (1 + np.exp(-log_odds(outputs.logits, spec))), np.float64)


def measure(spec: ModelSpec, recipe: Recipe, examples: Sequence[Example], outputs: Outputs) -> dict[str, Any]:
    """The figures of a two-label network on these films."""
    truth, probability = truth_of(examples, recipe), positive_probability(spec, outputs)
    cut = 0.5 if recipe.threshold_rule == "confidence" else spec.threshold
    result = figures(probability, truth, [e.group for e in examples], cut)
    if recipe.threshold_rule == "confidence":
        sure = np.maximum(probability, 1 - probability) >= spec.threshold
        result["answered"] = round(float(sure.mean()), 4)
        result["right_when_answered"] = round(float(((probability >= 0.5) == truth)[sure].mean()), 4)
    result["auroc_by_source"] = auroc_by([e.source for e in examples], probability, truth)
    for fact in FACTS:
        values = [e.facts.get(fact, "") for e in examples]
        if 1 < len(set(values)) <= 12:
            result[f"auroc_by_{fact}"] = auroc_by(values, probability, truth)
    if any(e.boxes for e in examples):
        result["heat_map"] = peaks_in_boxes(spec, examples, outputs, probability)
    return result


def peaks_in_boxes(
    spec: ModelSpec, examples: Sequence[Example], outputs: Outputs, probability: Scores
) -> dict[str, float | int]:
    """On flagged films that have boxes: how often the map's peak lies in one (grown by ``MARGIN``)."""
    hits = []
    for i, example in enumerate(examples):
        if not example.boxes or probability[i] < spec.threshold:
            continue
        x, y = heatmap.peak(_finding(spec, outputs, i))
        hits.append(
            any(
                left - MARGIN <= x <= left + width + MARGIN and top - MARGIN <= y <= top + height + MARGIN
                for left, top, width, height in example.boxes
            )
        )
    return {"films": len(hits), "peak_in_box": round(float(np.mean(hits)), 4) if hits else 0.0}


def _finding(spec: ModelSpec, outputs: Outputs, i: int) -> Finding:
    width, height = outputs.films[i]
    return Finding(
        spec=spec,
        film=Radiograph(np.zeros((height, width), np.uint8), None, "PNG"),
        filename="",
        probabilities=probabilities(outputs.logits[i], spec),
        evidence=log_odds(outputs.evidence[i], spec),
        scope_score=1.0,
        in_scope=True,
        elapsed_ms=0.0,
    )


def measure_scope(spec: ModelSpec, examples: Sequence[Example], outputs: Outputs) -> dict[str, Any]:
    """How often the scope guard refuses what it should read, and what it should not."""
    every = [probabilities(logits, spec) for logits in outputs.logits]
    kinds = [label for label in spec.labels if label != spec.positive]
    labels = np.array([e.label for e in examples])
    result: dict[str, Any] = {"films": len(examples), "groups": len({e.group for e in examples})}
    wrong = []
    for kind in kinds:
        admitted = np.array([p[kind] for p in every]) >= spec.threshold
        result[f"{kind}_refused"] = _share(~admitted[labels == kind])
        wrong.append(~admitted[(labels != kind) & (labels != spec.positive)])
        result[f"out_refused_as_{kind}"] = _share(~admitted[labels == spec.positive])
    result["wrong_body_part_refused"] = _share(np.concatenate(wrong))
    out = [i for i, e in enumerate(examples) if e.label == spec.positive]
    refused = {i: all(every[i][kind] < spec.threshold for kind in kinds) for i in out}
    result["out_refused_by_all"] = _share(np.array(list(refused.values())))
    by_kind = sorted({examples[i].facts.get("kind", "") for i in out})
    result["out_refused_by_kind"] = {
        kind: _share(np.array([refused[i] for i in out if examples[i].facts.get("kind", "") == kind]))
        for kind in by_kind
    }
    return result


def _share(values: NDArray[np.bool_]) -> float:
    return round(float(values.mean()), 4)


def examples_of(recipe: Recipe, data: Path) -> list[Example]:
    """The films of ``data`` that the recipe learns from or is judged on."""
    examples = load_scope(data) if recipe.collection == "scope" else load(data, recipe.collection)
    return [example for example in examples if recipe.keep(example)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--films", choices=("validation", "all", "test"), default="validation")
    arguments = parser.parse_args()
    recipe, folder = RECIPES[arguments.name], arguments.weights / arguments.name
    spec = ModelSpec.read(folder)
    if arguments.films == "test":
        examples = from_chest_xray(arguments.data, ("test",))
    else:
        examples = examples_of(recipe, arguments.data)
    if arguments.films == "validation":
        _, examples = split(examples, recipe.seed)
    outputs = run(load_network(spec, folder, default_cache()), spec, examples)
    if len(spec.labels) == 2:
        result = measure(spec, recipe, examples, outputs)
    else:
        result = measure_scope(spec, examples, outputs)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
