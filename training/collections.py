"""The collections that the networks learn from, as lists of labelled films.

Two layouts are read: a folder with a ``manifest.csv`` (columns ``file``, ``label``, ``group`` and more), and the
collections as their publishers ship them (Kaggle's ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}``, FracAtlas'
``images/{Fractured,Non_fractured}`` with its COCO boxes).
"""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from predictors.scope import inverted

Box = tuple[float, float, float, float]
"""x, y, width, height as fractions of the film."""


@dataclass(frozen=True)
class Example:
    """One labelled film. ``group`` is what a split must not cut: a patient, or an original with its copies."""

    path: Path
    label: str
    group: str
    source: str
    boxes: tuple[Box, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    inverted: bool = False  # to be read as a negative of what the file holds


def from_manifest(folder: Path) -> list[Example]:
    """Read ``folder/manifest.csv``: every film, with all that the manifest says of it (flags too) as its facts."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Example(
            path=folder / row["file"],
            label=row.get("label") or row["scope"],
            group=row["group"],
            source=row.get("source", ""),
            boxes=tuple(tuple(box) for box in json.loads(row.get("boxes") or "[]")),
            facts={k: v for k, v in row.items() if k not in {"file", "label", "group", "source", "boxes"}},
        )
        for row in rows
    ]


def from_chest_xray(folder: Path, splits: tuple[str, ...] = ("train", "val")) -> list[Example]:
    """Kaggle's ``chest_xray`` tree. The published test split stays out unless it is asked for."""
    examples = []
    for split in splits:
        for label, kind in (("normal", "NORMAL"), ("pneumonia", "PNEUMONIA")):
            for path in sorted((folder / split / kind).glob("*.jp*g")):
                # person123_bacteria_456.jpeg and NORMAL2-IM-0123-0001.jpeg: the patient is before the film's number
                patient = re.match(r"(person\d+|(?:NORMAL2-)?IM-\d+)", path.stem)
                group = f"{kind}-{patient[1] if patient else path.stem}"
                subtype = next((s for s in ("bacteria", "virus") if s in path.stem), label)
                examples.append(Example(path, label, group, "kermany", facts={"subtype": subtype}))
    return examples


def from_fracatlas(folder: Path) -> list[Example]:
    """FracAtlas as published: ``images/{Fractured,Non_fractured}`` and, if there, the COCO annotations."""
    boxes: dict[str, list[Box]] = {}
    for annotation in sorted(folder.glob("Annotations/**/*.json")):
        record = json.loads(annotation.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or "annotations" not in record:
            continue
        images = {image["id"]: image for image in record["images"]}
        for mark in record["annotations"]:
            image = images[mark["image_id"]]
            x, y, w, h = mark["bbox"]
            box = (x / image["width"], y / image["height"], w / image["width"], h / image["height"])
            boxes.setdefault(Path(image["file_name"]).name, []).append(box)
    return [
        Example(path, label, path.stem, "fracatlas", tuple(boxes.get(path.name, ())))
        for label, kind in (("fracture", "Fractured"), ("normal", "Non_fractured"))
        for path in sorted((folder / "images" / kind).glob("*.jp*g"))
    ]


# What tells each collection's published tree, and how it is read.
PUBLISHED: dict[str, tuple[str, Callable[[Path], list[Example]]]] = {
    "pneumonia": ("train/PNEUMONIA", from_chest_xray),
    "bone_fracture": ("images/Fractured", from_fracatlas),
}


def load(folder: Path, collection: str) -> list[Example]:
    """Read ``collection`` from ``folder``, which is the collection itself or a folder that holds it.

    Raises FileNotFoundError if none of the known layouts is there.
    """
    for root in (folder / collection, folder):
        if (root / "manifest.csv").is_file():
            return from_manifest(root)
    if collection in PUBLISHED:
        sign, reader = PUBLISHED[collection]
        for root in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
            if (root / sign).is_dir():
                return reader(root)
    raise FileNotFoundError(f"no manifest.csv and no published {collection} collection in {folder}")


# Where each kind of film for the scope guard comes from; everything in "scope" itself tells its own kind.
SCOPE_OF = {
    "pneumonia": "chest",
    "bone_fracture": "limb",
    "fracture_type": "limb",
    "breast_cancer": "mammogram",
}
NO_CLEAR_EXAMPLE = {"not_limb", "not_radiograph", "multi_panel", "unreadable"}


def load_scope(folder: Path, per_collection: int = 900, seed: int = 0) -> list[Example]:
    """Films of every collection with the kind of film as their label, and the pictures that are none of them.

    Every other one comes a second time as its negative. So do the pictures that are no films, or the guard would
    learn that a negative is a film.
    """
    rng = np.random.default_rng(seed)
    examples = load(folder, "scope")
    for collection, kind in SCOPE_OF.items():
        clear = [e for e in load(folder, collection) if e.facts.get("flag", "") not in NO_CLEAR_EXAMPLE]
        for i in rng.permutation(len(clear))[:per_collection]:
            e = clear[i]
            examples.append(Example(e.path, kind, f"{collection}/{e.group}", e.source, facts={"kind": collection}))
    negatives = [
        replace(e, label=e.label if e.label == "out" else inverted(e.label), inverted=True) for e in examples[::2]
    ]
    return examples + negatives


def split(examples: list[Example], seed: int, folds: int = 5) -> tuple[list[Example], list[Example]]:
    """Split by group into training and validation films, a fifth of them for validation, labels and sources even."""
    kinds = [f"{example.source}/{example.label}" for example in examples]
    groups = [example.group for example in examples]
    folder = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, val = next(iter(folder.split(np.zeros(len(examples)), kinds, groups)))
    return [examples[i] for i in train], [examples[i] for i in val]
