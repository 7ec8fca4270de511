"""Large blocks of memory leave the process when they are freed, also from between small ones."""

import ctypes
import subprocess
import sys

import pytest

from tests.running import ROOT

PROGRAM = """
import sys
from pathlib import Path
from space.memory import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "told":
    give_back()
bytearray(30 << 20)  # the first large block that is freed makes glibc keep the next
before, kept = resident(), []
for _ in range(20):
    film = bytearray(b"x") * (12 << 20)
    kept.append((film, bytearray(b"y") * 100_000))
kept = [small for _, small in kept]
print(resident() - before)
"""


def left_over(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_films_leave_no_gaps() -> None:
    assert left_over("told") < 20 << 20  # the last film, which is still held, and the small blocks
    assert left_over("by itself") > 40 << 20
