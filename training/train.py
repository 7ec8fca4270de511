"""Train one network and write what ships: ``python -m training.train pneumonia --data FOLDER --out weights/pneumonia``.

FOLDER holds the collections (``pneumonia/manifest.csv`` ...), or is one collection as its publisher ships it. A
stopped training goes on from the checkpoint in ``--work``; a finished one is only released again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from training.collections import split
from training.evaluate import examples_of
from training.loop import fit
from training.networks import Network
from training.recipes import RECIPES, Recipe
from training.release import release


def trained(recipe: Recipe, data: Path, work: Path, backbones: Path | None) -> Network:
    """The recipe's network, trained on ``data``; its teacher first if it has one."""
    train, val = split(examples_of(recipe, data), recipe.seed)
    teacher = None
    if recipe.teacher:
        # The teacher has the same seed, so the same split: it never saw a validation film of its pupil.
        taught = RECIPES[recipe.teacher]
        teacher = (taught, trained(taught, data, work, backbones))
    return fit(recipe, train, val, work / recipe.name, backbones, teacher)


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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = RECIPES[arguments.name]
    if arguments.epochs:
        phases = tuple(replace(p, epochs=min(p.epochs, arguments.epochs)) for p in recipe.phases)
        recipe = replace(recipe, phases=phases)
    network = trained(recipe, arguments.data, arguments.work, arguments.backbones)
    _, val = split(examples_of(recipe, arguments.data), recipe.seed)
    spec = release(recipe, network, val, arguments.work / recipe.name, arguments.out)
    print(spec.metrics)


if __name__ == "__main__":
    main()
