"""Does a network read what lies beside the body? Its AUROC on films of which only a part is left.

Tape, letters and the digitiser's edges tell the scanner and the hospital, and these can go along with the label: a
network that learnt so is worth less elsewhere than its figures say (Zech et al. 2018).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from predictors.preprocess import Placement, Plane, normalised, placement, windowed_planes
from predictors.probability import log_odds
from predictors.runtime import Network
from predictors.spec import ModelSpec
from training.body import Mask, body_of
from training.calibrate import Truth
from training.collections import Example
from training.figures import auroc_by
from training.films import film_of

PARTS: dict[str, Callable[[Mask], Mask]] = {
    "the body alone": lambda body: body,
    "what lies beside the body alone": lambda body: ~body,
}


def auroc_by_part(network: Network, spec: ModelSpec, examples: Sequence[Example], truth: Truth) -> dict[str, Any]:
    """AUROC, with its interval, on the films, windowed as ever, with all but each of ``PARTS`` blackened."""
    scores: dict[str, list[float]] = {part: [] for part in PARTS}
    for example in tqdm(examples, desc=f"shortcuts of {spec.name}", unit="film", mininterval=5):
        film = film_of(example)
        planes, body = windowed_planes(film, spec.input), body_of(film, spec.scope)
        for part, shown in PARTS.items():
            left = planes * placed(shown(body), placement(film.width, film.height, spec.input), spec.input.size)
            logits = network(normalised(left, spec.input)[None]).logits
            scores[part].append(float(log_odds(logits, spec)))
    groups = [example.group for example in examples]
    result: dict[str, Any] = {}
    for part, odds in scores.items():
        result |= auroc_by([part] * len(odds), np.array(odds), truth, groups)
    return result


def placed(shown: Mask, place: Placement, size: int) -> Plane:
    """What is ``shown`` of a film that lies at ``place`` in the network's square: 0..1, [size, size], soft edges."""
    square = np.zeros((size, size), np.float32)
    picture = Image.fromarray(shown.astype(np.float32)).resize((place.width, place.height), Image.Resampling.BILINEAR)
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    square[rows, columns] = np.asarray(picture)
    return square
