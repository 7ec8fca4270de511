"""Gradio imported without what it takes at every start and this Space never asks for."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from predictors import kept_out

_getfile = inspect.getfile


@contextmanager
def lean() -> Iterator[None]:
    """Gradio, imported inside for the first time, writes no stubs and leaves pandas for when it is needed.

    It imports pandas to tell apart the tables in a cache of its own, which nothing here uses.
    """
    with unwritten(), kept_out("pandas", Later("pandas")):
        yield


@contextmanager
def unwritten() -> Iterator[None]:
    """Gradio, imported inside for the first time, leaves the type stubs of its components as they are.

    Of each of its 81 classes with events it parses the source, renders a stub and compares it with the one that lies
    beside the source, to write it anew. A class that has no file is passed over; inside, none of Gradio's has.
    """
    vars(inspect)["getfile"] = _nowhere
    try:
        yield
    finally:
        vars(inspect)["getfile"] = _getfile


def _nowhere(thing: Any) -> str:
    if isinstance(thing, type) and thing.__module__.startswith("gradio."):
        raise OSError
    return _getfile(thing)


class Later(ModuleType):
    """A module in name alone, which is imported when something of it is first asked for.

    ``LazyLoader`` of the standard library would not do: it loads at any question, and ``inspect`` asks every module for
    its file.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)
