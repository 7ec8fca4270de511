"""What takes long to load, and may fail at it: loaded once, waited for briefly, and not tried again at once."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from predictors.errors import ModelLoading, ModelUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds for which a caller waits while another thread loads, counted from the beginning of the loading: long enough
for files on this machine, and not for a download or a conversion, in which callers would take up all turns."""

PAUSE = 5.0
"""Seconds after a failure in which callers are told of it again, and nothing is tried."""


class Loaded(Generic[T]):
    """The outcome of ``load``, which raises ModelUnavailable if it fails. Safe to use from several threads."""

    def __init__(self, load: Callable[[], T]) -> None:
        self.problem: str | None = None
        """Why the last attempt failed."""
        self.tended = False
        """Whether somebody else calls ``load`` until it succeeds, so that ``get`` never has to."""
        self._load = load
        self._value: T | None = None
        self._changed = threading.Condition()
        self._since: float | None = None  # when the thread that loads began to
        self._failed = 0.0

    @property
    def here(self) -> bool:
        """Whether it is loaded."""
        return self._value is not None

    def get(self) -> T:
        """What was loaded; loads it on first use.

        Raises ModelLoading if that takes another thread long, ModelUnavailable with the reason if it failed.
        """
        if self._value is not None:  # it stays: nobody needs the lock any more
            return self._value
        with self._changed:
            while self._since is not None:
                left = self._since + PATIENCE - time.monotonic()
                if left <= 0:
                    raise ModelLoading
                self._changed.wait(left)
            if self.problem and (self.tended or time.monotonic() < self._failed + PAUSE):
                raise ModelUnavailable(self.problem)
        return self.load()

    def load(self) -> T:
        """Load it now, unless it is there; while another thread loads, wait for that. Raises ModelUnavailable."""
        with self._changed:
            while self._since is not None:
                self._changed.wait()
            if self._value is not None:
                return self._value
            self._since = time.monotonic()
        problem: str | None = ModelUnavailable.sentence
        try:
            self._value = self._load()
            problem = None
            return self._value
        except ModelUnavailable as error:
            problem = str(error)
            raise
        except Exception as error:  # out of memory, out of threads: others are to be told a sentence as well
            log.error("unforeseen %s while loading", type(error).__name__)
            raise ModelUnavailable from None
        finally:
            with self._changed:
                self._since, self.problem, self._failed = None, problem, time.monotonic()
                self._changed.notify_all()
