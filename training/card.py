"""The model card: generated from the spec and the recipe, so that no figure is ever typed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from predictors.finding import DISCLAIMER
from predictors.spec import ModelSpec
from training.recipes import RECIPES, Recipe

CITATIONS = {
    "FracAtlas": "Abedeen I. et al. FracAtlas: A Dataset for Fracture Classification, Localization and Segmentation "
    "of Musculoskeletal Radiographs. Scientific Data 10, 521 (2023).",
    "Chest X-Ray Images": "Kermany D. S. et al. Identifying Medical Diagnoses and Treatable Diseases by Image-Based "
    "Deep Learning. Cell 172, 1122-1131 (2018).",
    "NIH": "Wang X. et al. ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks. CVPR (2017).",
    "DDSM": "Heath M. et al. The Digital Database for Screening Mammography. Proc. 5th International Workshop on "
    "Digital Mammography (2001).",
}

STARTS = {
    "imagenet": "From ImageNet weights, in two phases: the new layer alone, then all but the backbone's first stages.",
    "teacher": "Starts as its teacher, a MobileNetV2 from ImageNet weights trained on the same films, grown to this "
    "network's shape (after Chen et al. 2016, Net2Net); its first stages stay as they are.",
    "scratch": "From random weights.",
}

NAMES = {
    "films": "films",
    "groups": "groups (patients, or originals with their copies)",
    "positive": "films of the positive label",
    "auroc": "AUROC",
    "average_precision": "average precision (PR-AUC)",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "balanced_accuracy": "balanced accuracy",
    "recall_at_specificity_0.80": "recall at specificity 0.80",
    "recall_at_specificity_0.90": "recall at specificity 0.90",
    "false_alarms": "false alarms",
    "ece": "expected calibration error (15 equal-mass bins)",
    "ece_by_chance": "calibration error to expect of so many films were every probability exactly right",
    "answered": "share of films answered (confidence at or over the threshold)",
    "right_when_answered": "share named rightly among those answered",
}

WHAT = {"auroc": "AUROC", "errors": "wrong decisions", "out_refused": "other pictures refused"}


def write_card(spec: ModelSpec, recipe: Recipe, out: Path) -> None:
    """Write ``card.md`` in the Hub's model-card form."""
    (out / "card.md").write_text(_card(spec, recipe), encoding="utf-8")


def _card(spec: ModelSpec, recipe: Recipe) -> str:
    validation: dict[str, Any] = dict(spec.metrics["validation"])
    heat = validation.pop("heat_map", {})
    tables = {name: value for name, value in validation.items() if isinstance(value, Mapping)}
    errors = {name: tables.pop(name) for name in list(tables) if name.startswith("errors_by_")}
    figures = {name: value for name, value in validation.items() if not isinstance(value, Mapping)}
    library = "keras" if spec.framework == "keras" else "pytorch"
    cited = [text for name, text in CITATIONS.items() if any(name in source for source in spec.data)]
    pictures = ["training.png", "confusion.png", *(["roc.png"] if len(spec.labels) == 2 else [])]
    return "\n".join(
        [
            "---",
            *(["license: mit"] if spec.licence == "MIT" else ["license: other", f"license_name: {spec.licence}"]),
            f"library_name: {library}",
            "pipeline_tag: image-classification",
            "tags: [radiography, medical-imaging, image-classification, openvino]",
            "---",
            f"# {spec.title} (`{spec.name}`)",
            "",
            f"Reads {recipe.reads}. Labels, in the network's own order: "
            + ", ".join(f"`{label}`" for label in spec.labels)
            + ".",
            "",
            f"**{DISCLAIMER}**",
            "",
            "## Data and licence",
            *(f"- {source}" for source in spec.data),
            *(f"- {citation}" for citation in cited),
            "",
            "## Network",
            f"- {spec.architecture}, trained in torch, shipped as `{spec.weights.file}` ({spec.framework}); input "
            f"{spec.input.size}x{spec.input.size}, {spec.input.resize}.",
            f"- Grey levels between percentiles {spec.input.window[0]} and {spec.input.window[1]} of the film become "
            "0 and 1, so exposure and bit depth do not count.",
            *(_joined(recipe, recipe.trunk, recipe.beside) if recipe.trunk and recipe.beside else _trained(recipe)),
            "- Batch normalisation is folded into the convolutions and weights are rounded to half precision, both "
            "before calibration: the file, its twin and the figures are of the same network.",
            *(["- Fracture boxes supervise the evidence map."] if recipe.box_weight else []),
            f"- `{spec.weights.file}` SHA-256 `{spec.weights.sha256}`; compiled twin differs by at most "
            f"{spec.metrics['twin_difference']:.1e} in probability on random input.",
            "",
            "## Figures",
            "On validation films: a fifth of the collection, split by group, never trained on. They chose the epoch, "
            "the calibration and the threshold, so an independent test will come out a little lower. Measured on the "
            "compiled network through the Space's own preprocessing.",
            "",
            *_table(figures),
            *(line for name, rows in tables.items() for line in _by(name, rows)),
            *_heat(heat),
            *(_agreement(spec.metrics["agreement"]) if "agreement" in spec.metrics else []),
            f"Threshold {spec.threshold} on the probability"
            + (f" of `{spec.positive}`" if len(spec.labels) == 2 else "")
            + f": {spec.threshold_rule}. Probabilities are calibrated (temperature {spec.temperature:.3f}, bias "
            f"{spec.bias:.3f}).",
            "",
            *(f"![{name.removesuffix('.png')}]({name})" for name in pictures),
            "",
            "## What it cannot do",
            *(f"- {limit}" for limit in recipe.limits),
            "",
            *(
                ["## What it gets wrong", *(line for name, rows in errors.items() for line in _by(name, rows))]
                if errors
                else []
            ),
            "## Make these figures again",
            "```",
            f"python -m training.train {spec.name} --data FOLDER --out weights/{spec.name} {_given(recipe)}",
            f"python -m training.evaluate {spec.name} --data FOLDER --write",
            "```",
            "",
        ]
    )


def _given(recipe: Recipe) -> str:
    """What the command of its training takes beside the films."""
    trunk = recipe.trunk and f" --trunk weights/{recipe.trunk}/{RECIPES[recipe.trunk].weights_file}"
    return f"--backbones FOLDER{trunk or ''}"


def _joined(recipe: Recipe, trunk: str, beside: str) -> list[str]:
    """How a network of two scales came about."""
    far = replace(RECIPES[beside], start=recipe.start)  # as asked for: from ImageNet, or from random weights
    return [
        "- Two networks see the film, and what they say of it is added, each divided by how it spreads over the "
        "validation films.",
        f"- The one, a MobileNetV2, sees it at {far.input.size} pixels and learnt from these films. "
        + _trained(far)[0].removeprefix("- "),
        f"- The other sees with the features of `{trunk}`, whose weights it keeps: those of its last two stages in the "
        "directions in which they respond most to limb films (after Zhang et al. 2015). That network learnt from "
        "fractures, and to see from these films too, the validation films among them, without their labels. Learnt "
        "anew is its head, a logistic regression on the mean of the features and on their mean weighed by where that "
        "network sees a fracture; its penalty was chosen in folds of the training groups.",
    ]


def _trained(recipe: Recipe) -> list[str]:
    """How a network that learnt itself came about."""
    return [
        f"- {STARTS[recipe.start]} Class-weighted binary cross-entropy, averaged weights, the epoch of the best "
        "validation AUC.",
        *_taught(recipe),
        *(_learnt_smaller(learnt) if (learnt := recipe.phases[-1].size) else []),
    ]


def _taught(recipe: Recipe) -> list[str]:
    """What it learns from its teacher."""
    if not recipe.teacher:
        return []
    lines = ["- A teacher's features, evidence and logits are matched beside the labels."]
    if sides := [phase.crop for phase in recipe.phases if phase.crop]:
        lines.append(
            "- Before any label it learns to see as its teacher sees: maps at four depths, on squares of "
            f"{sides[0]} pixels out of each film, half of them mixed in pairs."
        )
    return lines


def _learnt_smaller(size: int) -> list[str]:
    return [
        f"- Learnt from films of {size} pixels a side, about half of them enlarged by augmentation. It reads them "
        "better at the larger input, which the validation films chose."
    ]


def _table(figures: Mapping[str, Any]) -> list[str]:
    """One row a figure, its interval beside it."""
    rows = [
        f"| {NAMES.get(name, name.replace('_', ' '))} | {_shown(value)} | {_shown(figures.get(f'{name}_95', ''))} |"
        for name, value in figures.items()
        if not name.endswith("_95")
    ]
    return ["| figure | value | 95% interval over groups |", "|---|---|---|", *rows, ""]


def _by(name: str, rows: Mapping[str, Any]) -> list[str]:
    """The figures within every kind of film: what they are by, and a column for each."""
    what, _, by = name.partition("_by_")
    if not rows:
        return []
    if not all(isinstance(row, Mapping) for row in rows.values()):
        rows = {kind: {"share": share} for kind, share in rows.items()}
    columns = list(dict.fromkeys(c for row in rows.values() for c in row if not c.endswith("_95")))
    lines = [
        f"| {kind or 'not stated'} | " + " | ".join(_with_interval(row, column) for column in columns) + " |"
        for kind, row in rows.items()
    ]
    title = f"{WHAT.get(what, what.replace('_', ' '))} by {by.replace('_', ' ')}"
    heads = " | ".join(NAMES.get(column, column.replace("_", " ")) for column in columns)
    return [f"| {title} | {heads} |", "|---|" + "---|" * len(columns), *lines, ""]


def _heat(rows: Mapping[str, Any]) -> list[str]:
    lines = []
    if boxes := rows.get("peak_in_box"):
        lines.append(
            f"On flagged films with fracture boxes ({boxes['films']}), the heat map's peak lies in a box (grown by 5% "
            f"of the film) in {_with_interval(boxes, 'share')}."
        )
    if outside := rows.get("energy_outside_body"):
        lines.append(
            f"On {outside['films']} flagged films, {_with_interval(outside, 'share')} of the heat map's energy lies "
            "beside the body (border, letters, air)."
        )
    return [*lines, ""] if lines else []


def _agreement(rows: Mapping[str, Any]) -> list[str]:
    auroc = (
        f" AUROC on these films: {_with_interval(rows, 'auroc')}, the other reader's "
        f"{_with_interval(rows, 'other_auroc')}, of the mean of the two probabilities "
        f"{_with_interval(rows, 'mean_auroc')}."
    )
    films = (
        f"With `{rows['with']}`, the other reader, on {rows['films']} films of {rows['groups']} groups that neither "
        "was trained on: "
    )
    if rows["kappa"] is None:
        return [f"{films}both say the same of every one, so that Cohen's kappa is not defined.{auroc}", ""]
    return [
        f"{films}Cohen's kappa {_with_interval(rows, 'kappa')}. They disagree on {rows['disagree']} of them; "
        f"this one is right on {rows['right_where_they_agree']} where they agree and on "
        f"{rows['right_where_they_disagree']} where they do not.{auroc}",
        "",
    ]


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    interval = row.get(f"{name}_95")
    return _shown(row.get(name, "")) + (f" ({_shown(interval)})" if interval else "")


def _shown(value: Any) -> str:
    return " to ".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
