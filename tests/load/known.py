"""Questions whose answers are known: asked of the models directly, in this process, before they are sent anywhere."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from predictors.errors import SecondLookError
from predictors.predictor import Predictor
from predictors.registry import Service
from tests.drawings import dicom, encoded
from tests.films import FILMS
from tests.running import ROOT

ANSWER = "answer"

REAL = {
    "bone_fracture": "bone_fracture/*/*.jpg",
    "fracture_detection": "bone_fracture/*/*.jpg",
    "fracture_type": "fracture_type/*/*.jpg",
    "breast_cancer": "breast_cancer/*/*.jpg",
    "pneumonia": "pneumonia/*/*/*.jpg",
}
"""Where under ``SECOND_LOOK_FILMS`` each model's films lie."""


class Told(NamedTuple):
    """What a caller is told: ``answer`` and its content without the time it took, or a refusal's code and sentence."""

    code: str
    content: Any


class Sent(NamedTuple):
    """A film and its sender's name for it."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Question:
    """One request: at which door, about what, and what has to come back."""

    door: str  # predict, run/predict, batch-predict or heatmap by REST; call by Gradio
    model: str
    films: list[Sent]
    expected: Told


def comparable(answer: Any) -> Any:
    """An answer without the time it took, as JSON has it."""
    answer = json.loads(json.dumps(answer))
    for part in [answer, *(answer.get("results", []) if isinstance(answer, dict) else [])]:
        if isinstance(part, dict) and "meta" in part:
            part["meta"].pop("elapsed_ms")
    return answer


class Known:
    """The models of this checkout, and what they say to each caller's own films."""

    def __init__(self) -> None:
        self._service = Service.open(ROOT / "weights")
        self._service.warm_up()
        self._drawn = {kind: draw() for kind, draw in FILMS.items()}
        self._known: dict[int, list[Question]] = {}

    def questions(self, caller: int) -> list[Question]:
        """All that this caller asks, in no order. No two callers have a film in common."""
        if caller not in self._known:
            self._known[caller] = list(self._asked(caller))
        return self._known[caller]

    def _asked(self, caller: int) -> Iterator[Question]:
        films = self._films(caller)
        broken = Sent(f"caller {caller} broken.png", films["limb"].content[: 9000 + caller])
        letter = Sent(f"caller {caller} letter.png", f"Dear doctor {caller}".encode())
        for predictor in self._service.predictors:
            own = films[predictor.spec.scope or "limb"]
            yield _one("predict", predictor, own)
            yield _one("call", predictor, own)
            yield _one("heatmap", predictor, own)
            for real in _real(predictor.name, caller):
                yield _one("predict", predictor, real)
                yield _one("call", predictor, real)
        others = self._service.predictors
        another = others[caller % len(others)]
        yield _several(another, [films[another.spec.scope or "limb"], broken, letter])
        yield _several(self._service["breast_cancer"], [films["mammogram"], films["chest"]])
        yield _one("run/predict", self._service["bone_fracture"], films["limb"])
        yield _one("predict", self._service["bone_fracture"], films["dicom"])
        yield _one("predict", another, broken)
        yield _one("call", another, broken)
        yield _one("predict", another, letter)
        yield _one("call", self._service["pneumonia"], films["limb"])  # out of scope
        yield _one("heatmap", self._service["bone_fracture"], films["chest"])  # the same

    def _films(self, caller: int) -> dict[str, Sent]:
        films = {}
        for kind, drawn in self._drawn.items():
            own = _own(drawn, caller)
            file_format, suffix = ("JPEG", "jpg") if kind == "chest" else ("PNG", "png")
            films[kind] = Sent(f"caller {caller} {kind}.{suffix}", encoded(own, file_format))
            if kind == "limb":
                films["dicom"] = Sent(f"caller {caller} limb.dcm", dicom(own.astype(np.uint16) * 16, stored_bits=12))
        return films


def _own(drawn: Any, caller: int) -> Any:
    """The film as this caller's patient has it: another angle, contrast and grain."""
    chance = np.random.default_rng(1000 + caller)
    turned = Image.fromarray(drawn).rotate(chance.uniform(-6, 6), Image.Resampling.BILINEAR)
    bright = 255 * (np.asarray(turned, np.float64) / 255) ** chance.uniform(0.75, 1.3)
    return np.clip(bright + chance.normal(0, 3, bright.shape), 0, 255).astype(np.uint8)


def _real(model: str, caller: int) -> Iterator[Sent]:
    if root := os.environ.get("SECOND_LOOK_FILMS"):
        films = sorted(Path(root).glob(REAL[model]))
        if films:
            yield Sent(f"caller {caller} real.jpg", films[caller * 37 % len(films)].read_bytes())


def _one(door: str, predictor: Predictor, film: Sent) -> Question:
    def asked() -> Any:
        if door == "heatmap":
            _, about = predictor.heatmap(film.content, film.name)
            return about["peak"]
        answer = predictor.predict(film.content, film.name)
        return {"data": [answer]} if door == "run/predict" else answer

    return Question(door, predictor.name, [film], told(asked))


def _several(predictor: Predictor, films: list[Sent]) -> Question:
    def asked() -> Any:
        return predictor.predict_batch([(film.content, film.name) for film in films])

    return Question("batch-predict", predictor.name, films, told(asked))


def told(asked: Callable[[], Any]) -> Told:
    """What comes of asking."""
    try:
        answer = asked()
    except SecondLookError as error:
        return Told(error.code, str(error))
    if isinstance(answer, dict) and "data" in answer:
        return Told(ANSWER, {"data": [comparable(each) for each in answer["data"]]})
    return Told(ANSWER, comparable(answer))
