"""Collections drawn for the tests: tiny films whose positive label is a bright bar."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def draw(path: Path, positive: bool, seed: int, width: int = 72, height: int = 88) -> None:
    """One JPEG: soft noise on a slope, and a bright bar across it if ``positive``."""
    rng = np.random.default_rng(seed)
    pixels = np.linspace(40, 110, width)[None, :] + rng.normal(0, 6, (height, width))
    if positive:
        top = int(rng.integers(height // 4, height // 2))
        pixels[top : top + height // 6, width // 5 : -width // 5] += 110
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=95)


def write_manifest(folder: Path, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def draw_collection(
    folder: Path, labels: tuple[str, str], sources: tuple[str, ...], groups: int, boxes: bool = False
) -> None:
    """``groups`` patients of two films each for every source and label; the first label shows the bar."""
    rows: list[dict[str, Any]] = []
    for source in sources:
        for label in labels:
            for film in range(2 * groups):
                positive = label == labels[0]
                name = f"{label}/{source}-{film:03}.jpg"
                draw(folder / name, positive, seed=len(rows))
                box = json.dumps([[0.2, 0.25, 0.6, 0.4]]) if boxes and positive else "[]"
                group = f"{source}-{label}-{film // 2}"
                rows.append({"file": name, "label": label, "group": group, "source": source, "boxes": box})
    write_manifest(folder, rows)
