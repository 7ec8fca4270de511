"""Every model there is, found rather than listed: a module of this package with a ``MODEL``, and its weights folder."""

import importlib
import itertools
import logging
import pkgutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import predictors
from predictors.errors import ModelLoading, ModelUnavailable, Unavailable, UnknownModel
from predictors.image import Radiograph, read_film
from predictors.loading import Loaded
from predictors.predictor import Model, Predictor, Source, Status, warm_up_film
from predictors.runtime import Hint, default_cache, load_network
from predictors.scope import ScopeGuard
from predictors.spec import SPEC_FAULTS, ModelSpec

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
"""Seconds between a failure and the next attempt: doubled from the first to the longest."""

CLOSING_SECONDS = 3.0
"""How long ``Service.close`` waits. A thread that is still in OpenVINO when Python ends takes the process down with
SIGABRT; to load a network takes a fraction of a second, and has taken more than one on a busy machine."""

FRAMEWORK_MODULES = {"architectures", "convert"}
"""Modules of this package that import TensorFlow or torch, and hold no model."""


def models() -> tuple[Model, ...]:
    """All models, in the order of their tabs."""
    names = [m.name for m in pkgutil.iter_modules(predictors.__path__) if m.name not in FRAMEWORK_MODULES]
    modules = [importlib.import_module(f"predictors.{name}") for name in names if name != "registry"]
    found = [module.MODEL for module in modules if isinstance(getattr(module, "MODEL", None), Model)]
    return tuple(sorted(found, key=lambda model: model.order))


class Service:
    """The models of one weights folder, and the scope guard that they share; ``hint`` is as for their ``Network``."""

    def __init__(
        self,
        weights: Path,
        cache: Path,
        reader: Callable[[Source], Radiograph] = read_film,
        hint: Hint = "LATENCY",
    ) -> None:
        self._weights, self._cache, self._hint = weights, cache, hint
        self._guard: Loaded[ScopeGuard] = Loaded(self._load_guard)
        self.guard = self._guard.get
        """The scope guard, loaded on first use; raises ModelUnavailable if its weights cannot be used."""
        self.predictors = tuple(
            Predictor(model, weights / model.name, self.guard, cache, reader, hint) for model in models()
        )
        self._closing = threading.Event()
        self._tenders: list[threading.Thread] = []
        self._told: set[str] = set()  # each problem is logged once, not at every attempt

    @classmethod
    def open(
        cls,
        weights: Path,
        cache: Path | None = None,
        reader: Callable[[Source], Radiograph] = read_film,
        hint: Hint = "LATENCY",
    ) -> Self:
        """Read every model's ``spec.json`` under ``weights``; no network is loaded yet. ``reader`` decodes films."""
        return cls(weights, cache or default_cache(), reader, hint)

    def __getitem__(self, name: str) -> Predictor:
        for predictor in self.predictors:
            if predictor.name == name:
                return predictor
        raise UnknownModel

    def _load_guard(self) -> ScopeGuard:
        folder = self._weights / "scope"
        try:
            spec = ModelSpec.read(folder)
        except SPEC_FAULTS:
            raise ModelUnavailable("The scope guard's spec.json is missing or cannot be read.") from None
        guard = ScopeGuard(spec, load_network(spec, folder, self._cache, self._hint))
        try:
            guard.look(read_film(warm_up_film()), "limb")
        except Exception:  # whatever the runtime makes of a network that does not fit
            raise ModelUnavailable("The scope guard could not look at its warm-up film.") from None
        return guard

    def statuses(self) -> dict[str, Status]:
        """By name, whether each model can answer, and the scope guard before them."""
        guard: Status = "loaded" if self._guard.here else "error" if self._guard.problem else "loading"
        return {"scope": guard, **{predictor.name: predictor.status for predictor in self.predictors}}

    @property
    def ready(self) -> bool:
        """Whether every model has answered a film, be it the warm-up film, and the scope guard has looked at one."""
        return set(self.statuses().values()) == {"loaded"}

    def warm_up(self) -> None:
        """Load every network and put a film through it; one that fails leaves the others working."""
        for warm_up in (self._guard.load, *(predictor.warm_up for predictor in self.predictors)):
            self._succeeds(warm_up)

    # In a service that stays up

    def start(self) -> None:
        """Warm up every model in the background, and try again what fails, until ``close``.

        One after the other, so that the first can answer soon, but what has to come from the Hub beside the others.
        From now on no caller waits for long for a network.
        """
        self._guard.tended = True
        for predictor in self.predictors:
            predictor.network.tended = True
        here = [predictor.warm_up for predictor in self.predictors if predictor.spec.hub is None]
        there = [[predictor.warm_up] for predictor in self.predictors if predictor.spec.hub]
        for several in ([self._guard.load], here, *there):
            self._tenders.append(threading.Thread(target=self._tend, args=(several,), name="warm-up", daemon=True))
            self._tenders[-1].start()

    def close(self) -> None:
        """Begin nothing more; what is being loaded from this machine comes to its end."""
        self._closing.set()
        end = time.monotonic() + CLOSING_SECONDS
        for tender in self._tenders:
            tender.join(max(0.0, end - time.monotonic()))

    def _tend(self, warm_ups: Sequence[Callable[[], object]]) -> None:
        for pause in (min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) for attempt in itertools.count()):
            warm_ups = [each for each in warm_ups if not (self._closing.is_set() or self._succeeds(each))]
            if not warm_ups or self._closing.wait(pause):
                return

    def _succeeds(self, warm_up: Callable[[], object]) -> bool:
        try:
            warm_up()
        except Unavailable as error:
            if not isinstance(error, ModelLoading) and str(error) not in self._told:
                self._told.add(str(error))
                log.error("%s", error)
            return False
        return True
