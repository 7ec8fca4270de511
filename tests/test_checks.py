"""The code is as tidy as it says: linter, formatter and type checker find nothing."""

import subprocess
import sys

import pytest

from tests.running import ROOT


@pytest.mark.parametrize("check", ["ruff check .", "ruff format --check .", "mypy"])
def test_nothing_is_found(check: str) -> None:
    done = subprocess.run([sys.executable, "-m", *check.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
