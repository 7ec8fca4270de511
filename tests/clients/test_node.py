"""``@gradio/client`` from Node, as the first seed's front end uses it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from predictors.errors import MissingFile
from tests.running import Space


def ask(node: Path, space: Space, route: str, *films: Path) -> dict[str, Any]:
    command = ["node", "ask.mjs", space.url, route, *map(str, films)]
    done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_predict_gives_the_seeds_keys(node: Path, space: Space, drawn: dict[str, Path]) -> None:
    raw = ask(node, space, "/predict", drawn["limb"])["data"][0]
    assert raw["predicted_label"] in ("fracture", "normal")
    assert raw["fracture_probability"] + raw["normal_probability"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("/fracture_detection", "limb"),
        ("/fracture_type", "limb"),
        ("/breast_cancer", "mammogram"),
        ("/pneumonia", "chest"),
    ],
)
def test_every_model_answers(node: Path, space: Space, drawn: dict[str, Path], route: str, kind: str) -> None:
    assert ask(node, space, route, drawn[kind])["data"][0]["meta"]["model"] == route.removeprefix("/")


def test_heatmap_is_a_file_and_a_peak(node: Path, space: Space, drawn: dict[str, Path]) -> None:
    picture, about = ask(node, space, "/pneumonia_heatmap", drawn["chest"])["data"]
    assert picture["url"].endswith(".png")
    assert len(about["peak"]) == 2


def test_a_batch_is_a_list(node: Path, space: Space, drawn: dict[str, Path]) -> None:
    answer = ask(node, space, "/breast_cancer_batch", drawn["mammogram"], drawn["mammogram"])["data"][0]
    assert [row["filename"] for row in answer["results"]] == ["mammogram.png"] * 2


def test_a_refusal_is_one_sentence(node: Path, space: Space) -> None:
    assert ask(node, space, "/predict")["error"] == MissingFile.sentence
