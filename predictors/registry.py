"""Every model there is, found rather than listed: a module of this package with a ``MODEL``, and its weights folder."""

import importlib
import logging
import pkgutil
import threading
from pathlib import Path
from typing import Self

import numpy as np

import predictors
from predictors.errors import ModelUnavailable, UnknownModel
from predictors.image import Radiograph
from predictors.predictor import Model, Predictor, Status
from predictors.runtime import default_cache, load_network
from predictors.scope import ScopeGuard
from predictors.spec import ModelSpec

log = logging.getLogger(__name__)

_BLANK = Radiograph(np.zeros((64, 64), np.uint8), None, "PNG")

FRAMEWORK_MODULES = {"architectures", "convert"}
"""Modules of this package that import TensorFlow or torch, and hold no model."""


def models() -> tuple[Model, ...]:
    """All models, in the order of their tabs."""
    names = [m.name for m in pkgutil.iter_modules(predictors.__path__) if m.name not in FRAMEWORK_MODULES]
    modules = [importlib.import_module(f"predictors.{name}") for name in names if name != "registry"]
    found = [module.MODEL for module in modules if isinstance(getattr(module, "MODEL", None), Model)]
    return tuple(sorted(found, key=lambda model: model.order))


class Service:
    """The models of one weights folder, and the scope guard that they share."""

    def __init__(self, weights: Path, cache: Path) -> None:
        self._weights, self._cache = weights, cache
        self._guard: ScopeGuard | None = None
        self._guard_status: Status = "loading"
        self._lock = threading.Lock()
        self.predictors = tuple(Predictor(model, weights / model.name, self.guard, cache) for model in models())

    @classmethod
    def open(cls, weights: Path, cache: Path | None = None) -> Self:
        """Read every model's ``spec.json`` under ``weights``; no network is loaded yet."""
        return cls(weights, cache or default_cache())

    def __getitem__(self, name: str) -> Predictor:
        for predictor in self.predictors:
            if predictor.name == name:
                return predictor
        raise UnknownModel

    def guard(self) -> ScopeGuard:
        """The scope guard, loaded on first use; raises ModelUnavailable if its weights cannot be used."""
        with self._lock:
            if self._guard is None:
                try:
                    self._guard = self._load_guard()
                except ModelUnavailable:
                    self._guard_status = "error"
                    raise
                self._guard_status = "loaded"
            return self._guard

    def _load_guard(self) -> ScopeGuard:
        folder = self._weights / "scope"
        try:
            spec = ModelSpec.read(folder)
        except (OSError, ValueError, KeyError, TypeError):
            raise ModelUnavailable("The scope guard's spec.json is missing or cannot be read.") from None
        guard = ScopeGuard(spec, load_network(spec, folder, self._cache))
        try:
            guard.look(_BLANK, "limb")
        except Exception:  # whatever the runtime makes of a network that does not fit
            raise ModelUnavailable("The scope guard could not answer a blank image.") from None
        return guard

    def statuses(self) -> dict[str, Status]:
        """By name, whether each model can answer, and the scope guard before them."""
        return {"scope": self._guard_status, **{predictor.name: predictor.status for predictor in self.predictors}}

    @property
    def ready(self) -> bool:
        """Whether every model and the scope guard have answered an image, be it a warm-up image."""
        return set(self.statuses().values()) == {"loaded"}

    def warm_up(self) -> None:
        """Load every network and run a blank input through it; one that fails leaves the others working."""
        for warm_up in (self.guard, *(predictor.warm_up for predictor in self.predictors)):
            try:
                warm_up()
            except ModelUnavailable as error:
                log.error("%s", error)
