"""A start of the service takes neither time nor memory for what it does without."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import ast, inspect
getfile, segment, parsed = inspect.getfile, ast.get_source_segment, []
ast.get_source_segment = lambda *args, **more: parsed.append(1) or segment(*args, **more)
{first}
import app, gradio
assert inspect.getfile is getfile
assert inspect.getfile(gradio.Textbox).endswith("textbox.py")
print(len(parsed))
"""


def stubs_made(first: str = "") -> int:
    """How many components' sources Gradio takes apart until the service is imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_the_service_starts_without_the_stubs_that_gradio_alone_would_make() -> None:
    assert stubs_made() == 0
    assert stubs_made(first="import gradio") > 50


def test_it_leaves_out_what_only_decoders_conversions_and_training_need() -> None:
    heavy = ("pydicom", "openvino.tools.ovc", "tensorflow", "keras", "torch", "torchvision")
    script = f"import app, sys; from predictors import runtime; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
