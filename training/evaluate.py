"""What the shipped network is worth on films with known truth, through the same code as the Space.

``python -m training.evaluate pneumonia --data FOLDER`` prints the figures of the films that training held back;
``--films all`` takes every film in FOLDER, for a collection that training never saw, and ``--films test`` the
published test split of Kaggle's ``chest_xray`` tree. ``--pictures FOLDER`` draws the curves. ``--write`` puts the
figures of the held-back films into the model's ``spec.json`` and writes its card anew.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from predictors.finding import Finding
from predictors.image import Radiograph
from predictors.preprocess import network_input
from predictors.probability import log_odds, probabilities
from predictors.runtime import Network, default_cache, load_network
from predictors.scope import inverted, sight
from predictors.spec import ModelSpec
from training.body import Mask, body_of
from training.calibrate import Scores, Truth
from training.card import write_card
from training.collections import Example, from_chest_xray, load, load_scope, split
from training.figures import auroc_by, errors_by, figures
from training.films import film_of
from training.heat import outside_body, peak_in_box, share
from training.pictures import draw
from training.recipes import RECIPES, Recipe
from training.shortcuts import auroc_by_part

FACTS = ("body_part", "view", "age", "scanner", "finding", "subtype", "label_quality")
"""Columns of a manifest by which the figures are told apart, where they hold a few values."""

AGES = ((18, "under 18"), (40, "18 to 39"), (60, "40 to 59"), (200, "60 and over"))


@dataclass(frozen=True)
class Outputs:
    """What a network said of every film: logits [N, K], evidence [N, h, w, K]; and what it was shown."""

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]
    films: list[tuple[int, int]]  # width and height
    bodies: list[Mask]


def run(network: Network, spec: ModelSpec, examples: Sequence[Example]) -> Outputs:
    """Read every film as the Space does and run the compiled network on it."""
    logits, evidence, sizes, bodies = [], [], [], []
    for example in tqdm(examples, desc=f"evaluating {spec.name}", unit="film", mininterval=5):
        film = film_of(example)
        output = network(network_input(film, spec.input))
        logits.append(output.logits)
        evidence.append(output.evidence)
        sizes.append((film.width, film.height))
        bodies.append(body_of(film, spec.scope))
    return Outputs(np.stack(logits), np.stack(evidence), sizes, bodies)


def truth_of(examples: Sequence[Example], recipe: Recipe) -> Truth:
    """Which films are of the positive label."""
    return np.array([recipe.relabel.get(e.label, e.label) == recipe.positive for e in examples])


def positive_probability(spec: ModelSpec, outputs: Outputs) -> Scores:
    """Calibrated probability of the positive label of every film, to the four decimals that are printed."""
    return np.round(1 / (1 + np.exp(-log_odds(outputs.logits, spec))), 4)


def cut_of(spec: ModelSpec) -> float:
    """The probability from which on a film is called positive: even odds where the threshold judges the confidence."""
    return 0.5 if spec.decides_by_confidence else spec.threshold


def decisions(spec: ModelSpec, probability: Scores) -> Truth:
    """Which films the Space calls positive."""
    return np.asarray(probability >= cut_of(spec))


def measure(spec: ModelSpec, recipe: Recipe, examples: Sequence[Example], outputs: Outputs) -> dict[str, Any]:
    """The figures of a two-label network on these films."""
    truth, probability = truth_of(examples, recipe), positive_probability(spec, outputs)
    decided, groups = decisions(spec, probability), [e.group for e in examples]
    result = figures(probability, truth, groups, cut_of(spec))
    if spec.decides_by_confidence:
        sure = np.maximum(probability, 1 - probability) >= spec.threshold
        result["answered"] = round(float(sure.mean()), 4)
        result["right_when_answered"] = round(float((decided == truth)[sure].mean()), 4)
    kinds = {"source": [e.source for e in examples]}
    kinds |= {fact: [facts_of(e).get(fact, "") for e in examples] for fact in FACTS}
    for fact, values in kinds.items():
        if fact != "source" and not 1 < len(set(values)) <= 16:
            continue
        within = auroc_by(values, probability, truth, groups)
        if fact == "source" or len(within) > 1:
            result[f"auroc_by_{fact}"] = within
        result[f"errors_by_{fact}"] = errors_by(values, decided, truth)
    result["heat_map"] = measure_heat(spec, examples, outputs, decided)
    return result


def facts_of(example: Example) -> dict[str, str]:
    """What is known of a film; ChestX-ray14's subtype, ``findings|view|age``, told apart."""
    *findings, view, age = ["", "", *example.facts.get("subtype", "").split("|")]
    if not (findings[2:] and age.isdigit()):
        return example.facts
    band = next(name for limit, name in AGES if int(age) < limit)
    return {**example.facts, "subtype": "", "view": view, "age": band}


def measure_heat(spec: ModelSpec, examples: Sequence[Example], outputs: Outputs, flagged: Truth) -> dict[str, Any]:
    """On flagged films: the map's energy beside the body and, where there are boxes, whether its peak is in one."""
    outside, hits, groups, boxed = [], [], [], []
    for i in np.flatnonzero(flagged):
        finding, example = _finding(spec, outputs, int(i)), examples[int(i)]
        outside.append(outside_body(finding, outputs.bodies[i]))
        groups.append(example.group)
        if example.boxes:
            hits.append(float(peak_in_box(finding, example.boxes)))
            boxed.append(example.group)
    result = {"energy_outside_body": share(outside, groups)} if outside else {}
    return result | ({"peak_in_box": share(hits, boxed)} if hits else {})


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
    """How often the scope guard refuses what it should read, what it should not, and takes for a negative."""
    every = [probabilities(logits, spec) for logits in outputs.logits]
    kinds = kinds_of(spec)
    labels = np.array([e.label for e in examples])
    score = {kind: np.array([sight(p, kind).score for p in every]) for kind in kinds}
    turned = {kind: np.array([sight(p, kind).inverted for p in every]) for kind in kinds}
    out = labels == spec.positive
    result: dict[str, Any] = {"films": len(examples), "groups": len({e.group for e in examples})}
    wrong = []
    for kind in kinds:
        refused = score[kind] < spec.threshold
        upright, negative = labels == kind, labels == inverted(kind)
        result[f"{kind}_refused"] = _share(refused[upright])
        result[f"{kind}_taken_for_negative"] = _share((turned[kind] & ~refused)[upright])
        if negative.any():
            result[f"{kind}_negative_recognised"] = _share((turned[kind] & ~refused)[negative])
        result[f"out_refused_as_{kind}"] = _share(refused[out])
        wrong.append(refused[~upright & ~negative & ~out])
    result["wrong_body_part_refused"] = _share(np.concatenate(wrong))
    refused_by_all = np.all([score[kind] < spec.threshold for kind in kinds], axis=0)
    result["out_refused_by_all"] = _share(refused_by_all[out])
    facts = np.array([e.facts.get("kind", "") for e in examples])
    result["out_refused_by_kind"] = {
        str(kind): _share(refused_by_all[out & (facts == kind)]) for kind in np.unique(facts[out])
    }
    return result


def kinds_of(spec: ModelSpec) -> list[str]:
    """The kinds of film that a scope guard tells apart, each upright and perhaps as its negative."""
    negatives = {inverted(label) for label in spec.labels}
    return [label for label in spec.labels if label != spec.positive and label not in negatives]


def _share(values: NDArray[np.bool_]) -> float:
    return round(float(values.mean()), 4)


def examples_of(recipe: Recipe, data: Path) -> list[Example]:
    """The films of ``data`` that the recipe learns from or is judged on."""
    examples = load_scope(data) if recipe.collection == "scope" else load(data, recipe.collection)
    return [example for example in examples if recipe.keep(example)]


def evaluated(
    network: Network, spec: ModelSpec, recipe: Recipe, examples: Sequence[Example], outputs: Outputs
) -> dict[str, Any]:
    """The figures of any network: two labels, or the scope guard's."""
    if len(spec.labels) > 2:
        return measure_scope(spec, examples, outputs)
    by_part = auroc_by_part(network, spec, examples, truth_of(examples, recipe))
    return measure(spec, recipe, examples, outputs) | {"auroc_by_part_shown": by_part}


def pictures_of(spec: ModelSpec, recipe: Recipe, examples: Sequence[Example], outputs: Outputs, out: Path) -> None:
    """ROC, reliability and confusion matrix of these films, as PNG files in ``out``."""
    truth = [recipe.relabel.get(e.label, e.label) for e in examples]
    if len(spec.labels) > 2:
        every = [probabilities(logits, spec) for logits in outputs.logits]
        draw(truth, [max(p, key=p.__getitem__) for p in every], spec.labels, out)
        return
    probability = positive_probability(spec, outputs)
    negative = next(label for label in spec.labels if label != spec.positive)
    decided = np.where(decisions(spec, probability), spec.positive, negative).tolist()
    draw(truth, decided, spec.labels, out, (probability, truth_of(examples, recipe)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--films", choices=("validation", "all", "test"), default="validation")
    parser.add_argument("--pictures", type=Path, help="a folder for ROC, reliability and confusion matrix")
    parser.add_argument("--write", action="store_true", help="into spec.json and card.md; validation films only")
    arguments = parser.parse_args()
    if arguments.write and arguments.films != "validation":
        parser.error("the card states the figures of the validation films: --write goes with --films validation")
    recipe, folder = RECIPES[arguments.name], arguments.weights / arguments.name
    spec = ModelSpec.read(folder)
    if arguments.films == "test":
        examples = from_chest_xray(arguments.data, ("test",))
    else:
        examples = examples_of(recipe, arguments.data)
    if arguments.films == "validation":
        _, examples = split(examples, recipe.seed)
    network = load_network(spec, folder, default_cache())
    outputs = run(network, spec, examples)
    result = evaluated(network, spec, recipe, examples, outputs)
    print(json.dumps(result, indent=2))
    if arguments.pictures:
        pictures_of(spec, recipe, examples, outputs, arguments.pictures)
    if arguments.write:
        spec = replace(spec, metrics={**spec.metrics, "validation": result})
        spec.write(folder)
        pictures_of(spec, recipe, examples, outputs, folder)
        write_card(spec, recipe, folder)


if __name__ == "__main__":
    main()
