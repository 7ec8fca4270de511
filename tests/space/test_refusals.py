"""Whatever goes wrong, people get one sentence of ours, and the log gets nothing of theirs."""

import logging

import gradio as gr
import pytest

from predictors.errors import InternalError, OutOfScope
from space.refusals import foreseen, told_by_gradio


def test_our_own_sentence_reaches_the_caller() -> None:
    with pytest.raises(gr.Error) as caught, told_by_gradio():
        raise OutOfScope
    assert caught.value.message == OutOfScope.sentence
    assert not caught.value.print_exception


def test_anything_else_is_an_internal_error_that_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught, told_by_gradio():
        raise OSError("cannot open Doe^John.dcm")
    assert caught.value.message == InternalError.sentence
    assert "error=OSError place=tests.space.test_refusals:" in caplog.text
    assert "Doe" not in caplog.text


def test_the_page_gets_the_same() -> None:
    with pytest.raises(InternalError), foreseen():
        raise ZeroDivisionError
