"""One's own weights in place of ours: check a file, convert it, and write the ``spec.json`` that names it.

``python -m predictors.adopt bone_fracture my.keras`` takes a file (``.keras``, ``.h5`` or a ``.pth`` state dict);
``python -m predictors.adopt bone_fracture model.keras --hub owner/repo@revision --sha256 ...`` names one on the Hub.
Nothing is changed unless the new weights load, fit and answer.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

from predictors.errors import ModelUnavailable
from predictors.runtime import default_cache, load_network, sha256_of
from predictors.spec import FileRecord, HubRecord, ModelSpec

NEUTRAL_RULE = "0.5, not chosen on films: these weights came without figures"


def adopt(spec: ModelSpec, source: Path, folder: Path, cache: Path) -> ModelSpec:
    """Put the weights file ``source`` into ``folder`` under ``spec``, whose input and labels describe it.

    Returns the spec as written. Raises ModelUnavailable, and leaves ``folder`` as it was, if they cannot be used.
    """
    weights = FileRecord(f"model{source.suffix}", sha256_of(source))
    spec = replace(_neutral(spec), weights=weights, hub=None)
    with tempfile.TemporaryDirectory() as trial:
        shutil.copyfile(source, Path(trial) / weights.file)
        load_network(spec, Path(trial), cache)
        shutil.copyfile(Path(trial) / weights.file, folder / weights.file)
    return _written(spec, folder)


def adopt_from_hub(spec: ModelSpec, hub: HubRecord, weights: FileRecord, folder: Path, cache: Path) -> ModelSpec:
    """Name weights on the Hub, of a pinned revision and SHA-256, under ``spec``; raises as ``adopt`` does."""
    spec = replace(_neutral(spec), weights=weights, hub=hub)
    load_network(spec, folder, cache)
    return _written(spec, folder)


def _neutral(spec: ModelSpec) -> ModelSpec:
    """Without what was true of the former weights only: calibration, threshold, figures, data."""
    rule = f"confidence: {NEUTRAL_RULE}" if spec.decides_by_confidence else NEUTRAL_RULE
    return replace(
        spec,
        version="own",
        temperature=1.0,
        bias=0.0,
        threshold=0.5,
        threshold_rule=rule,
        twin=None,
        data=("not stated",),
        licence="not stated",
        metrics={},
    )


def _written(spec: ModelSpec, folder: Path) -> ModelSpec:
    spec.write(folder)
    card = (
        f"# {spec.title} (`{spec.name}`)\n\nOwn weights, SHA-256 `{spec.weights.sha256}`. No figures were measured.\n"
    )
    (folder / "card.md").write_text(card, encoding="utf-8")
    return spec


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("name")
    parser.add_argument("file", help="the weights file; with --hub its name in the repository")
    parser.add_argument("--hub", help="owner/repo@revision")
    parser.add_argument("--sha256", help="of the file on the Hub")
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--architecture", help="of a .pth state dict: resnet18 or squeezenet1_1")
    parser.add_argument("--activation", choices=("sigmoid", "softmax"))
    parser.add_argument("--pooling", choices=("mean", "logsumexp"), default="mean")
    parser.add_argument("--logit-of", help="the label of which a sigmoid network gives the probability")
    parser.add_argument("--size", type=int, default=224, help="pixels of the square that it was trained on (224)")
    parser.add_argument("--resize", choices=("pad", "stretch"))
    parser.add_argument("--mean", type=float, nargs=3)
    parser.add_argument("--std", type=float, nargs=3)
    chosen = parser.parse_args()
    folder = chosen.weights / chosen.name
    spec = ModelSpec.read(folder)
    input_spec = replace(
        spec.input,
        size=chosen.size,
        resize=chosen.resize or spec.input.resize,
        mean=tuple(chosen.mean or spec.input.mean),
        std=tuple(chosen.std or spec.input.std),
    )
    if chosen.logit_of not in (None, *spec.labels):
        parser.error(f"--logit-of takes one of {', '.join(spec.labels)}")
    framework: Literal["keras", "torch"] = "torch" if chosen.file.endswith(".pth") else "keras"
    spec = replace(
        spec,
        input=input_spec,
        framework=framework,
        architecture=chosen.architecture or (spec.architecture if framework == "torch" else "own"),
        activation=chosen.activation or spec.activation,
        pooling=chosen.pooling,
        logit_of=chosen.logit_of,
    )
    try:
        if chosen.hub:
            repo, _, revision = chosen.hub.partition("@")
            if not revision or not chosen.sha256:
                parser.error("--hub takes owner/repo@revision, and needs --sha256")
            weights = FileRecord(chosen.file, chosen.sha256)
            adopt_from_hub(spec, HubRecord(repo, revision), weights, folder, default_cache())
        else:
            adopt(spec, Path(chosen.file), folder, default_cache())
    except ModelUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{chosen.name} now answers with {chosen.file}; its threshold is 0.5 until you choose one in spec.json.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
