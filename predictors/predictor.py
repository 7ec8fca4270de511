"""The one life cycle that every model has: read -> check scope -> preprocess -> infer -> calibrate -> Finding."""

import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from predictors import heatmap
from predictors.errors import (
    MissingFile,
    ModelUnavailable,
    OutOfScope,
    SecondLookError,
    TooManyFiles,
    Unavailable,
)
from predictors.finding import Answer, Finding
from predictors.image import Radiograph, read_film
from predictors.loading import Loaded
from predictors.preprocess import Plane, network_input
from predictors.probability import log_odds, probabilities
from predictors.runtime import Hint, Network, load_network
from predictors.scope import SEEN_AS, ScopeGuard
from predictors.spec import SPEC_FAULTS, SPEC_FILE, ModelSpec
from predictors.stages import CALIBRATE, HEATMAP, INFER, PREPROCESS, READ, SCOPE, note, stage

Source = bytes | str | PathLike[str]
"""A film: its bytes, or a path on this machine (never a URL)."""

MAX_BATCH = 10
GONE = "This film is no longer here; send the radiograph again."
Status = Literal["loading", "loaded", "error"]

_other_core = ThreadPoolExecutor(thread_name_prefix="network input")
"""Where a film is brought to the network's input while the guard looks at it: both only read it."""


@cache
def warm_up_film() -> bytes:
    """A soft bright shape on a dark ground, as a PNG file: nobody's film, and of no kind that a model reads."""
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    stream = io.BytesIO()
    Image.fromarray((255 * np.exp(-3 * x**2 - y**4)).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True)
class Model:
    """What one file of this package says of its model: its place, its words, and its callers' JSON."""

    name: str
    order: int  # its tab's place
    question: str
    answer: Callable[[Finding], Answer]
    batch_row: Callable[[Finding], Answer] | None = None  # an entry of a batch's results; default: the answer
    batch: bool = False  # whether its tab and its Gradio routes take several films
    second_reader: str | None = None  # the model that the same question is asked of, independently
    answers_out_of_scope: bool = False  # whether its JSON has a shape of its own for a film that it does not read


class Predictor:
    """One model, ready to be asked. Loads on first use; safe to call from several threads."""

    def __init__(
        self,
        model: Model,
        folder: Path,
        guard: Callable[[], ScopeGuard],
        cache: Path,
        reader: Callable[[Source], Radiograph] = read_film,
        hint: Hint = "LATENCY",
    ) -> None:
        self.model = model
        self.name = model.name
        self.question = model.question
        self.batch = model.batch
        self.folder = folder
        self.network: Loaded[Network] = Loaded(self._load)
        self._cache = cache
        self._guard = guard
        self._reader = reader
        self._hint = hint
        self._answered = False
        self._trouble: str | None = None  # with its warm-up film
        try:
            self.spec = ModelSpec.read(folder)
        except SPEC_FAULTS:
            self.spec = ModelSpec.unread(model.name)  # it is read again when the network is loaded

    @property
    def title(self) -> str:
        """What the tab is called."""
        return self.spec.title

    @property
    def problem(self) -> str | None:
        """Why the model cannot answer, if it cannot."""
        return None if self._answered else self.network.problem or self._trouble

    @property
    def status(self) -> Status:
        """Whether the model can answer: "loaded" once it has answered a film, be it the warm-up film."""
        if self._answered:
            return "loaded"
        return "error" if self.problem else "loading"

    def load(self) -> Network:
        """Load the network if it is not there yet; raises ModelUnavailable with the reason."""
        return self.network.get()

    def _load(self) -> Network:
        if self.spec == ModelSpec.unread(self.name):
            try:
                self.spec = ModelSpec.read(self.folder)
            except SPEC_FAULTS:
                raise ModelUnavailable(f"The {SPEC_FILE} of {self.name} is missing or cannot be read.") from None
        return load_network(self.spec, self.folder, self._cache, self._hint)

    def warm_up(self) -> None:
        """Load the network now, and answer a drawn film as any caller's; raises ModelUnavailable if that fails."""
        self.network.load()
        try:
            self._trouble = None
            self.answer(self.examine(warm_up_film()))
        except OutOfScope as refusal:  # the guard knows a film from a drawing: the network is asked all the same
            if refusal.film is not None:
                self._ask(refusal.film)
        except Unavailable:  # the scope guard is, and tells of itself
            raise
        except Exception:  # whatever the runtime makes of a network that does not fit
            self._trouble = f"The network of {self.name} could not answer its warm-up film."
            raise ModelUnavailable(self._trouble) from None

    def examine(self, source: Source | None, filename: str = "") -> Finding:
        """Read one film and say what the network finds.

        Raises the errors of ``predictors.errors``; OutOfScope for a picture that this model does not read, unless
        its JSON has a shape of its own for that (then ``Finding.in_scope`` is False).
        """
        if source is None:
            raise MissingFile
        self.load()  # a model that cannot answer says so before a film is read
        began = time.perf_counter()
        with stage(READ):
            try:
                film = self._reader(source)
                note(size=_size(source), pixels=film.width * film.height)
            except FileNotFoundError:  # an upload that was swept while it waited for its turn
                raise MissingFile(GONE) from None
        with stage(SCOPE):
            ahead = self._ahead(film)
            score, in_scope, inverted = self._check_scope(film)
            if inverted:
                film, ahead = film.inverted(), None
        found, evidence = self._ask(film, ahead)
        return Finding(
            spec=self.spec,
            film=film,
            filename=filename,
            probabilities=found,
            evidence=evidence,
            scope_score=score,
            in_scope=in_scope,
            elapsed_ms=(time.perf_counter() - began) * 1000,
            inverted=inverted,
        )

    def reread(self, finding: Finding) -> Finding:
        """What this network finds on a film that another one of the same scope has read already."""
        began = time.perf_counter()
        found, evidence = self._ask(finding.film)
        return replace(
            finding,
            spec=self.spec,
            probabilities=found,
            evidence=evidence,
            elapsed_ms=(time.perf_counter() - began) * 1000,
        )

    def _ahead(self, film: Radiograph) -> Future[Plane] | None:
        """The network's input, made on the other core while the guard looks; None where that would not pay.

        Where nobody waits for a single film, both cores have films of their own. Of a film in colour the guard sees
        other planes than the network, and one after the other takes less memory.
        """
        if self._hint == "THROUGHPUT" or film.colour is not None:
            return None
        _ = film.plane  # made once, for both
        try:
            return _other_core.submit(network_input, film, self.spec.input)
        except RuntimeError:  # this machine has no thread to spare
            return None

    def _ask(
        self, film: Radiograph, ahead: Future[Plane] | None = None
    ) -> tuple[dict[str, float], NDArray[np.float64]]:
        """Calibrated probabilities by label, and the evidence map; ``ahead`` is the input if it is on its way."""
        network = self.load()
        with stage(PREPROCESS):
            batch = ahead.result() if ahead else network_input(film, self.spec.input)
        with stage(INFER):
            output = network(batch)
        self._answered = True
        with stage(CALIBRATE):
            return probabilities(output.logits, self.spec), log_odds(output.evidence, self.spec)

    def _check_scope(self, film: Radiograph) -> tuple[float, bool, bool]:
        """The scope score, whether the film is in scope, and whether it is a negative."""
        kind = self.spec.scope
        if kind is None:
            return 1.0, True, False
        guard = self._guard()
        sight = guard.look(film, kind)
        admitted = guard.admits(sight.score)
        if not admitted and not self.model.answers_out_of_scope:
            raise self._refusal(film)
        return sight.score, admitted, admitted and sight.inverted

    def _refusal(self, film: Radiograph) -> OutOfScope:
        kind = SEEN_AS[self.spec.scope] if self.spec.scope else "what this model reads"
        refusal = OutOfScope(f"This does not look like {kind}; send a film of that kind.")
        refusal.film = film
        return refusal

    def answer(self, finding: Finding) -> Answer:
        """The JSON that this model's callers were promised."""
        return {**self.model.answer(finding), "meta": finding.meta()}

    def predict(self, source: Source | None, filename: str = "") -> Answer:
        """Read one film and answer it."""
        return self.answer(self.examine(source, filename))

    def predict_batch(
        self,
        sources: Sequence[tuple[Source, str]],
        watched: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Answer:
        """Answer up to ten films, given with their names, in the order sent; a bad film never fails the others.

        Each film is examined inside a ``watched()``, which sees how that ends. Raises TooManyFiles before anything
        is read, MissingFile for none.
        """
        if len(sources) > MAX_BATCH:
            raise TooManyFiles
        if not sources:
            raise MissingFile
        row = self.model.batch_row or self.answer
        results: list[Answer] = []
        decisions: list[str] = []
        for source, filename in sources:
            try:
                with watched():
                    finding = self.examine(source, filename)
            except SecondLookError as error:
                results.append({"filename": filename, "error": str(error)})
            else:
                results.append({"filename": filename, **row(finding)})
                decisions.append(finding.label)
        labels = sorted(self.spec.labels, key=lambda label: label != self.spec.positive)
        return {
            "total_images": len(sources),
            "successful": len(decisions),
            "failed": len(sources) - len(decisions),
            "summary": {label: decisions.count(label) for label in labels},
            "results": results,
        }

    def heatmap(self, source: Source | None, filename: str = "") -> tuple[Image.Image, Answer]:
        """The film with its heat map, and where the map peaks: ``{"peak", "label", "probability", "meta"}``.

        Raises as ``examine`` does, and OutOfScope for every film that the model does not read.
        """
        finding = self.examine(source, filename)
        if not finding.in_scope:
            raise self._refusal(finding.film)
        label = finding.label
        with stage(HEATMAP):
            x, y = heatmap.peak(finding)
            picture = heatmap.overlay(finding)
        return picture, {
            "peak": [round(x, 4), round(y, 4)],
            "label": label,
            "probability": round(finding.probabilities[label], 4),
            "meta": finding.meta(),
        }


def _size(source: Source) -> int:
    return len(source) if isinstance(source, bytes) else Path(source).stat().st_size
