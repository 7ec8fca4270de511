"""Train one network and write what ships: ``python -m training.train pneumonia --data FOLDER --out weights/pneumonia``.

FOLDER holds the collections (``pneumonia/manifest.csv`` ...), or is one collection as its publisher ships it. A
stopped training goes on from the checkpoint in ``--work``; a finished one is only released again.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from predictors.architectures import ResNet18
from training.collections import Example, load, split
from training.evaluate import examples_of
from training.loop import Given, fit
from training.networks import KerasMirror, Network, Whole, build
from training.probe import fit_head, joined, near_part
from training.recipes import IMAGENET_START, RECIPES, Recipe
from training.record import read_weights
from training.release import release


@dataclass(frozen=True)
class Plan:
    """What a command line asks for beside the network's name."""

    data: Path
    work: Path
    backbones: Path | None
    epochs: int | None
    scratch: bool
    onward: Path | None = None  # the weights of record that the last phase goes on from, in place of the others
    trunk: Path | None = None  # the weights of record of the network that it sees with


def planned(name: str, epochs: int | None, scratch: bool) -> Recipe:
    """The recipe of ``name``, of at most ``epochs`` in every phase; from random weights if from ``scratch``."""
    recipe = RECIPES[name]
    if epochs:
        recipe = replace(recipe, phases=tuple(replace(p, epochs=min(p.epochs, epochs)) for p in recipe.phases))
    if scratch:
        data = tuple(source for source in recipe.data if source != IMAGENET_START)
        phases = tuple(replace(phase, frozen=0) for phase in recipe.phases)  # random weights must not be kept
        recipe = replace(recipe, start="scratch", data=data, phases=phases)
    return recipe


def made(name: str, plan: Plan) -> tuple[Recipe, Whole]:
    """A network as its recipe says: trained, or joined from a head on another's features and one trained beside it."""
    recipe = planned(name, plan.epochs, plan.scratch)
    if not recipe.trunk or not recipe.beside:
        return trained(name, plan)
    train, val = split(examples_of(recipe, plan.data), recipe.seed)
    near = near_part(recipe)
    head = fit_head(near, trunk_of(recipe.trunk, plan.trunk), train, val, plan.work / name)
    far, network = trained(recipe.beside, plan)
    if not isinstance(network, KerasMirror):
        raise ValueError(f"{far.name} cannot be part of a Keras file")
    return recipe, joined((near, head), (far, network), val, plan.work / name)


def trained(name: str, plan: Plan) -> tuple[Recipe, Network]:
    """A network trained as its recipe says, its teacher first if it has one."""
    recipe = planned(name, plan.epochs, plan.scratch)
    examples = examples_of(recipe, plan.data)
    train, val = split(examples, recipe.seed)
    teacher = teacher_of(recipe, plan.onward)
    given = Given(
        plan.backbones,
        # The teacher has the same seed, so the same split: it never saw a validation film of its pupil.
        teacher=trained(teacher, replace(plan, onward=None)) if teacher else None,
        onward=plan.onward,
        also=also_shown(recipe, plan.data, examples) if teacher else (),
    )
    return recipe, fit(recipe, train, val, plan.work / recipe.name, given)


def trunk_of(name: str, weights: Path | None) -> tuple[Recipe, ResNet18]:
    """The network of ``name`` with these weights of record."""
    network = build(RECIPES[name], None)
    if weights is None or not isinstance(network, ResNet18):
        raise ValueError(f"{name} lends no features without its weights")
    read_weights(network, weights)
    return RECIPES[name], network


def teacher_of(recipe: Recipe, onward: Path | None) -> str | None:
    """The teacher that ``recipe`` needs; none where it goes on with a last phase that does without one."""
    return recipe.teacher if onward is None or recipe.phases[-1].taught else None


def also_shown(recipe: Recipe, data: Path, examples: list[Example]) -> list[Example]:
    """The films of ``recipe.also`` in ``data``, less ``examples``; a collection that is not there is done without."""
    labelled = {example.path for example in examples}
    films: list[Example] = []
    for collection in recipe.also:
        try:
            films += [example for example in load(data, collection) if example.path not in labelled]
        except FileNotFoundError:
            print(f"{recipe.name} does without the films of {collection}: they are not in {data}")
    return films


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, required=True, help="the collection, or a folder that holds it")
    parser.add_argument("--out", type=Path, required=True, help="for example weights/pneumonia")
    parser.add_argument("--work", type=Path, default=Path("runs"), help="checkpoints, history and decoded films")
    parser.add_argument("--backbones", type=Path, help="folder of ImageNet starting points (*.safetensors)")
    parser.add_argument("--epochs", type=int, help="at most so many epochs in every phase")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--scratch", action="store_true", help="start from random weights instead")
    parser.add_argument("--onward", type=Path, help="weights of record to go on from, last phase only")
    parser.add_argument("--trunk", type=Path, help="weights of record of the network that it sees with")
    chosen = parser.parse_args()
    recipe = RECIPES[chosen.name]
    if recipe.trunk and (chosen.trunk is None or chosen.onward):
        parser.error(f"{recipe.name} sees with {recipe.trunk}: name its weights of record (--trunk), and no --onward")
    teacher = teacher_of(recipe, chosen.onward)
    starts = {*([] if chosen.onward else [recipe.start]), *([RECIPES[teacher].start] if teacher else [])}
    if "imagenet" in starts and chosen.backbones is None and not chosen.scratch:
        parser.error(f"{recipe.name} starts from ImageNet weights: name their folder (--backbones), or say --scratch")
    torch.set_num_threads(chosen.threads)
    plan = Plan(chosen.data, chosen.work, chosen.backbones, chosen.epochs, chosen.scratch, chosen.onward, chosen.trunk)
    recipe, network = made(chosen.name, plan)
    _, val = split(examples_of(recipe, plan.data), recipe.seed)
    spec = release(recipe, network, val, plan.work / recipe.name, chosen.out)
    print(json.dumps(spec.metrics, indent=2))


if __name__ == "__main__":
    main()
