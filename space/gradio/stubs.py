"""Gradio without the stubs that it writes for editors: two fifths of the time that ``import gradio`` takes."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_getfile = inspect.getfile


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
