"""What the service says of itself on stderr: one JSON object a line, or, to a person at a terminal, plain text.

A line is made of our own words, numbers and ids. What a caller sent cannot get into one, be it a file's name or a line
break that begins a forged line: of other libraries' messages, exceptions and prints, only the kind and the place in the
code are told.
"""

import errno
import io
import json
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from predictors.errors import SecondLookError
from space.tracing import request_id

__all__ = ["Event", "fault", "logged", "request_id"]

OURS = ("__main__", "app", "predictors", "space")
"""Packages whose messages are repeated: they hold sentences of ours."""

CONSTANT = ("uvicorn.error",)
"""Loggers of others whose messages are repeated as they stand in the code, with nothing filled in."""

log = logging.getLogger(__name__)

_WORD = re.compile(r"[\w.:/+-]+", re.ASCII)


class Event:
    """What happened, in one word of ours, with figures: ``log.info(Event("film", model=..., status=...))``."""

    def __init__(self, name: str, **fields: Any) -> None:
        self.name, self.fields = name, fields

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={_plain(value)}" for key, value in self.fields.items())])


def fault(error: BaseException, id_: str = "") -> Event:
    """An exception: its kind and the places that it came through, and none of its words, which can quote anything."""
    kind = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        kind += f" {errno.errorcode.get(error.errno, error.errno)}"
    places = _places(error.__traceback__)
    known = {"request_id": id_ or request_id()} if id_ or request_id() else {}
    return Event("fault", **known, error=kind, place=places[-1], through=places[-13:-1])


def _places(trace: TracebackType | None) -> list[str]:
    frames = [f"{frame.f_globals.get('__name__')}:{line}" for frame, line in traceback.walk_tb(trace)]
    return frames or ["an unknown place"]


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_plain(each)}" for key, each in value.items())
    text = str(value)
    return text if _WORD.fullmatch(text) else json.dumps(value, default=str)


# One line


class Lines(logging.Formatter):
    """Every record as a line: JSON for machines, or ``plain`` text."""

    def __init__(self, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level, event = record.levelname.lower(), _event(record)
        if self._plain:
            return f"{time} {level:8}{event}"
        fields = {"time": time, "level": level, "logger": record.name, "event": event.name}
        if id_ := request_id():
            fields["request_id"] = id_
        return json.dumps(fields | event.fields, default=str)


def _event(record: logging.LogRecord) -> Event:
    """What a record says, as far as the words are ours."""
    if isinstance(record.msg, Event):
        return record.msg
    if _ours(record.name):
        return Event("message", message=record.getMessage())
    told: dict[str, Any] = {"place": f"{record.module}:{record.lineno}"}
    if record.name in CONSTANT and isinstance(record.msg, str):
        told["message"] = record.msg.strip()
    if record.exc_info and record.exc_info[1]:
        told |= fault(record.exc_info[1]).fields
    return Event("library", **told)


def _ours(name: str) -> bool:
    """Whether a logger or a place in the code belongs to us."""
    return re.split("[.:]", name)[0] in OURS


# The process


@contextmanager
def logged() -> Iterator[None]:
    """While this lasts, all that the process says is lines on stderr, whichever way it is said.

    An exception that ends it is told like any other, with its words where they are ours, and becomes exit status 1.
    """
    streams = sys.stdout, sys.stderr
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, logging.raiseExceptions
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(plain=sys.stderr.isatty()))
    logging.getLogger().addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    sys.stdout = sys.stderr = Unsaid(sys.stderr)
    sys.excepthook = lambda _, error, __: _uncaught(error)
    threading.excepthook = lambda failed: _uncaught(failed.exc_value)
    sys.unraisablehook = lambda failed: _uncaught(failed.exc_value)
    warnings.showwarning = _warned
    logging.raiseExceptions = False  # a line that cannot be written is lost, and nothing else
    try:
        yield
    except Exception as error:
        event = fault(error)
        if isinstance(error, (SecondLookError, ValueError)) and _ours(event.fields["place"]):
            event.fields["message"] = str(error)
        log.critical(event)
        raise SystemExit(1) from None
    finally:
        sys.stdout, sys.stderr = streams
        sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning, logging.raiseExceptions = hooks
        logging.getLogger().removeHandler(handler)


def _uncaught(error: BaseException | None) -> None:
    if error:
        log.error(fault(error))


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.warning(Event("warning", error=category.__name__, place=f"{Path(filename).stem}:{lineno}"))


class Unsaid(io.TextIOBase):
    """Stands in for stdout and stderr: says once a place that something is printed there, and not what."""

    def __init__(self, real: TextIO) -> None:
        self._real = real
        self._told: set[str] = set()

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the real stream, for what the interpreter itself says when it dies."""
        return self._real.fileno()

    def write(self, text: str) -> int:
        """Take it. A traceback is told as the exception that it is of."""
        caller = sys._getframe(1)
        place = f"{caller.f_globals.get('__name__')}:{caller.f_lineno}"
        if caller.f_globals.get("__name__") == "traceback":
            error = sys.exc_info()[1]
            if error and text.startswith("Traceback"):
                log.error(fault(error))
        elif place not in self._told:
            self._told.add(place)
            log.info(Event("print", place=place))
        return len(text)
