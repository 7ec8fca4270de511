"""A trained network becomes what ships: weights of record, compiled twin, spec.json, pictures and card.

``python -m training.release fracture_detection --data FOLDER`` does so again with the weights of record that are there,
after a change of what the recipe says of reading (input, rule of the threshold, limits), which takes no training. What
two readers agree on is measured anew by ``training.agreement``.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from predictors.convert import convert
from predictors.probability import log_odds, probabilities
from predictors.runtime import Network, Twin, sha256_of, twin_sha256
from predictors.scope import inverted, sight
from predictors.spec import FileRecord, ModelSpec
from training import calibrate, pictures
from training.card import write_card
from training.collections import Example, split
from training.evaluate import (
    Outputs,
    evaluated,
    examples_of,
    kinds_of,
    pictures_of,
    positive_probability,
    run,
    truth_of,
)
from training.networks import Whole, build, fold_to_half
from training.progress import HISTORY
from training.recipes import RECIPES, Recipe
from training.record import read_weights, save_weights

TWIN = "twin.xml"


def release(recipe: Recipe, network: Whole, val: list[Example], work: Path, out: Path) -> ModelSpec:
    """Write everything of ``recipe`` into ``out``; calibration, threshold and figures come from ``val``."""
    out.mkdir(parents=True, exist_ok=True)
    fold_to_half(network)
    save_weights(network, recipe, out / recipe.weights_file)
    pictures.training_curves(work / HISTORY, out / "training.png")
    return described(recipe, val, out)


def described(recipe: Recipe, val: list[Example], out: Path) -> ModelSpec:
    """Write all that goes with the weights of record in ``out``; calibration, threshold and figures from ``val``."""
    weights = out / recipe.weights_file
    spec = ModelSpec(
        name=recipe.name,
        title=recipe.title,
        version=recipe.version,
        framework=recipe.framework,
        architecture=recipe.architecture,
        labels=recipe.labels,
        positive=recipe.positive,
        input=recipe.input,
        activation=recipe.activation,
        temperature=1.0,
        bias=0.0,
        threshold=0.5,
        threshold_rule="",
        weights=FileRecord(recipe.weights_file, sha256_of(weights)),
        pooling=recipe.pooling,
        scope=recipe.scope,
        data=recipe.data,
        licence=recipe.licence,
    )
    difference = convert(weights, spec, out / TWIN)
    spec = replace(spec, twin=FileRecord(TWIN, twin_sha256(out / TWIN)))
    compiled = Network(Twin.read(out / TWIN), spec)
    outputs = run(compiled, spec, val)
    spec = calibrated(spec, recipe, val, outputs)
    validation = evaluated(compiled, spec, recipe, val, outputs)
    spec = replace(spec, metrics={"validation": validation, "twin_difference": difference})
    spec.write(out)
    pictures_of(spec, recipe, val, outputs, out)
    write_card(spec, recipe, out)
    return spec


def calibrated(spec: ModelSpec, recipe: Recipe, val: list[Example], outputs: Outputs) -> ModelSpec:
    """``spec`` with the temperature, bias and threshold that the validation films give."""
    if len(recipe.labels) > 2:
        targets = np.array([recipe.labels.index(e.label) for e in val])
        temperature = calibrate.temperature_of(outputs.logits.astype(np.float64), targets)
        spec = replace(spec, temperature=round(temperature, 6))
        every = [probabilities(logits, spec) for logits in outputs.logits]
        own = {
            label: np.array([sight(p, kind).score for p, e in zip(every, val, strict=True) if e.label == label])
            for kind in kinds_of(spec)
            for label in (kind, inverted(kind))
            if label in spec.labels
        }
        return replace(spec, threshold=calibrate.admission(own), threshold_rule=calibrate.RULES["admit"])
    truth = truth_of(val, recipe)
    temperature, bias = calibrate.platt(log_odds(outputs.logits, spec), truth)
    spec = replace(spec, temperature=round(temperature, 6), bias=round(bias, 6))
    cut = calibrate.threshold(positive_probability(spec, outputs), truth, recipe.threshold_rule)
    return replace(spec, threshold=cut, threshold_rule=calibrate.RULES[recipe.threshold_rule])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Describe weights of record anew: twin, calibration, figures, card.")
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True, help="the collection, or a folder that holds it")
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    chosen = parser.parse_args()
    recipe, folder = RECIPES[chosen.name], chosen.weights / chosen.name
    _, val = split(examples_of(recipe, chosen.data), recipe.seed)
    network = build(recipe, None)
    read_weights(network, folder / recipe.weights_file)
    save_weights(network, recipe, folder / recipe.weights_file)  # a Keras file states its input's size
    print(json.dumps(described(recipe, val, folder).metrics, indent=2))


if __name__ == "__main__":
    main()
