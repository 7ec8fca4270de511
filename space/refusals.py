"""What a person is told when something goes wrong: our own sentence, and nothing of anybody's file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import gradio as gr
import gradio.queueing

from predictors.errors import InternalError, SecondLookError

log = logging.getLogger(__name__)


@contextmanager
def foreseen() -> Iterator[None]:
    """Every exception leaves as a SecondLookError.

    An unforeseen one is logged by its type and place only: messages and tracebacks can quote file names, and
    hospitals name films after patients.
    """
    try:
        yield
    except SecondLookError:
        raise
    except Exception:
        _log_type_and_place()
        raise InternalError from None


def hush_gradio() -> None:
    """Let Gradio's queue log as we do what fails before a function of ours is called.

    It would print the traceback, and the message of one for a path that was never uploaded quotes that path.
    Gradio has no setting for it.
    """
    vars(gradio.queueing)["traceback"] = SimpleNamespace(print_exc=_log_type_and_place)


def _log_type_and_place() -> None:
    """The exception being handled: what kind it is and which line raised it, and none of its words."""
    kind, _, trace = sys.exc_info()
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "an unknown place"
    log.error("unforeseen %s in %s", kind.__name__ if kind else "error", place)


@contextmanager
def told_by_gradio() -> Iterator[None]:
    """Every exception leaves as Gradio's error, which carries one plain sentence to any client."""
    try:
        with foreseen():
            yield
    except SecondLookError as error:
        raise gr.Error(str(error), print_exception=False) from None
