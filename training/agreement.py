"""Two readers of the same films: ``python -m training.agreement bone_fracture fracture_detection --data FOLDER``.

Measured on the films that neither network was trained on. ``--write`` puts the figures into both models'
``spec.json`` and writes their cards anew.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from predictors.runtime import default_cache, load_network
from predictors.spec import ModelSpec
from training.calibrate import Scores, Truth
from training.card import write_card
from training.collections import Example, split
from training.evaluate import decisions, examples_of, positive_probability, run, truth_of
from training.figures import agreement, together
from training.recipes import RECIPES, Recipe


def held_back_from_both(first: Recipe, second: Recipe, data: Path) -> list[Example]:
    """The films of ``data`` that neither recipe's network was trained on."""
    held = [split(examples_of(recipe, data), recipe.seed)[1] for recipe in (first, second)]
    known = {example.path for example in held[1]}
    return [example for example in held[0] if example.path in known]


def read_by(recipe: Recipe, weights: Path, examples: list[Example]) -> tuple[Scores, Truth]:
    """The probabilities of the recipe's shipped network, and which films it calls positive."""
    folder = weights / recipe.name
    spec = ModelSpec.read(folder)
    outputs = run(load_network(spec, folder, default_cache()), spec, examples)
    probability = positive_probability(spec, outputs)
    return probability, decisions(spec, probability)


def compared(first: Recipe, second: Recipe, weights: Path, examples: list[Example]) -> dict[str, dict[str, Any]]:
    """The figures for each reader's card, by the reader's name."""
    truth, groups = truth_of(examples, first), [example.group for example in examples]
    said = {recipe.name: read_by(recipe, weights, examples) for recipe in (first, second)}
    result: dict[str, dict[str, Any]] = {}
    for one, other in ((first, second), (second, first)):
        (mine, called), (theirs, other_called) = said[one.name], said[other.name]
        apart, as_one = agreement(called, other_called, truth, groups), together(mine, theirs, truth, groups)
        result[one.name] = {"with": other.name, **apart, **as_one}
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("first", choices=sorted(RECIPES))
    parser.add_argument("second", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--write", action="store_true", help="into both spec.json and card.md")
    arguments = parser.parse_args()
    first, second = RECIPES[arguments.first], RECIPES[arguments.second]
    if first.collection != second.collection:
        parser.error("two readers are compared on one collection: choose two networks that learnt from the same")
    examples = held_back_from_both(first, second, arguments.data)
    result = compared(first, second, arguments.weights, examples)
    print(json.dumps(result, indent=2))
    for recipe in (first, second) if arguments.write else ():
        folder = arguments.weights / recipe.name
        spec = ModelSpec.read(folder)
        spec = replace(spec, metrics={**spec.metrics, "agreement": result[recipe.name]})
        spec.write(folder)
        write_card(spec, recipe, folder)


if __name__ == "__main__":
    main()
