"""A start of the service takes neither time nor memory for what it does without."""

import subprocess
import sys
from pathlib import Path

import pytest

from predictors import kept_out
from space.gradio.lean import Later

STUBS = """
import ast, inspect
getfile, segment, parsed = inspect.getfile, ast.get_source_segment, []
ast.get_source_segment = lambda *args, **more: parsed.append(1) or segment(*args, **more)
{first}
import app, gradio
assert inspect.getfile is getfile
assert inspect.getfile(gradio.Textbox).endswith("textbox.py")
print(len(parsed))
"""


def printed(script: str) -> str:
    """What ``script`` prints in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_service_starts_without_the_stubs_that_gradio_alone_would_make() -> None:
    assert printed(STUBS.format(first="")) == "0"
    assert int(printed(STUBS.format(first="import gradio"))) > 50


HEAVY = ("pydicom", "openvino.tools.ovc", "pandas", "tensorflow", "keras", "torch", "torchvision")
STARTED = f"""
import app, gradio, sys
from predictors import runtime
print([module for module in {HEAVY} if module in sys.modules])

queue = gradio.Blocks()._queue
queue.events_recorded = 9
queue.compute_analytics_summary([{{"function": "predict", "status": "success", "process_time": 1.0}}])
print(queue.ANALYTICS_MAX_EVENTS, "pandas" in sys.modules)

import pandas
from gradio.caching import _hash_repr
print(_hash_repr(pandas.DataFrame({{"film": [1, 2]}})).startswith("DF("), _hash_repr([1]))
"""


@pytest.fixture(scope="module")
def started() -> list[str]:
    """What one start says of itself, a line each."""
    return printed(STARTED).splitlines()


def test_it_leaves_out_what_only_decoders_conversions_tables_and_training_need(started: list[str]) -> None:
    assert started[0] == "[]"


def test_gradio_makes_no_table_of_the_events_that_it_has_seen(started: list[str]) -> None:
    assert started[1] == "1 False"


def test_gradio_still_knows_a_table_when_it_meets_one(started: list[str]) -> None:
    assert started[2] == "True L[1]"


def test_a_pandas_that_is_there_already_is_the_one_that_gradio_gets() -> None:
    script = "import pandas, app, sys, gradio.caching as caching; print(caching.pd is pandas is sys.modules['pandas'])"
    assert printed(script) == "True"


def test_a_stand_in_gives_way_to_its_module_when_it_is_asked_for_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with kept_out("colorsys", Later("colorsys")):
        import colorsys

        assert isinstance(colorsys, Later)
        assert colorsys.rgb_to_hsv(1, 1, 1) == (0, 0, 1)
        assert not isinstance(sys.modules["colorsys"], Later)
    assert sys.modules["colorsys"].rgb_to_hsv
