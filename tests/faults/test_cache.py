"""Conversions that are kept: whole or not at all, whoever is killed, full or not allowed to write; and done once."""

import errno
import os
import select
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors import convert, runtime
from predictors.errors import ModelUnavailable
from predictors.runtime import load_network, sha256_of
from predictors.spec import ModelSpec
from tests.faults.weights import WEIGHTS, flip_a_bit, truncate
from tests.running import ROOT

NAME = "scope"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where twins were made. A conversion gives the shipped twin, without the framework that takes so long."""
    made: list[Path] = []

    def converted(weights: Path, spec: ModelSpec, twin: Path) -> float:
        assert sha256_of(weights) == spec.weights.sha256
        for file in (twin, twin.with_suffix(".bin")):
            shutil.copyfile(WEIGHTS / NAME / file.name, file)
        made.append(twin)
        return 0.0

    monkeypatch.setattr(convert, "convert", converted)
    return made


def load(cache: Path) -> None:
    """Load the network as one whose twin is not shipped, and ask it."""
    folder = WEIGHTS / NAME
    spec = replace(ModelSpec.read(folder), twin=None)
    size = spec.input.size
    assert load_network(spec, folder, cache)(np.zeros((1, size, size, 3), np.float32)).logits.shape == (7,)


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "twins").rglob("*") if path.is_file() and path.suffix != ".lock")


WHOLE = ["twin.bin", "twin.sha256", "twin.xml"]


def test_it_is_converted_once(tmp_path: Path, conversions: list[Path]) -> None:
    load(tmp_path)
    load(tmp_path)
    assert (len(conversions), kept(tmp_path)) == (1, WHOLE)


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, Path.unlink])
@pytest.mark.parametrize("file", WHOLE)
def test_what_is_damaged_is_made_anew(tmp_path: Path, conversions: list[Path], file: str, damage: Any) -> None:
    load(tmp_path)
    damage(next((tmp_path / "twins").rglob(file)))
    load(tmp_path)
    load(tmp_path)
    assert (len(conversions), kept(tmp_path)) == (2, WHOLE)


@pytest.mark.parametrize("call", ["fsync", "mkdir", "rename"])
def test_a_disk_that_is_full_or_may_not_be_written_costs_a_conversion_and_no_answer(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if call == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(f"predictors.runtime.Path.{call}", full)
        load(tmp_path)
    assert not (tmp_path / "twins").exists() or kept(tmp_path) == []
    load(tmp_path)
    assert (len(conversions), kept(tmp_path)) == (2, WHOLE)


def test_a_cache_that_is_no_folder_is_done_without(tmp_path: Path, conversions: list[Path]) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    load(tmp_path / "cache")
    assert len(conversions) == 1


def test_a_full_temporary_folder_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/secret")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ModelUnavailable, match=r"^The weights of scope could not be converted\.$"):
        load(tmp_path)


def test_weights_that_change_under_the_conversion_are_not_used(
    tmp_path: Path, conversions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def swapped(source: Path, copy: Path) -> Path:
        copyfile(source, copy)
        flip_a_bit(copy)
        return copy

    monkeypatch.setattr(runtime.shutil, "copyfile", swapped)
    with pytest.raises(ModelUnavailable, match="were changed while they were read"):
        load(tmp_path)
    assert conversions == []


CONVERTS = """
import os, shutil, sys, time
from dataclasses import replace
from pathlib import Path
from predictors import convert, runtime
from predictors.spec import ModelSpec

folder, cache, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def converted(weights, spec, twin):
    for file in (twin, twin.with_suffix(".bin")):
        shutil.copyfile(folder / file.name, file)
    print("converted", flush=True)
    sys.stdin.readline()
    return 0.0

def killed(*_):
    os.kill(os.getpid(), 9)

convert.convert = converted
if how == "killed":
    os.fsync = killed
runtime.load_network(replace(ModelSpec.read(folder), twin=None), folder, cache)
print("loaded", flush=True)
"""


def converting(cache: Path, how: str = "") -> "subprocess.Popen[str]":
    program = [sys.executable, "-c", CONVERTS, str(WEIGHTS / NAME), str(cache), how]
    return subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_conversion_that_is_killed_leaves_nothing_that_is_used(tmp_path: Path, conversions: list[Path]) -> None:
    with converting(tmp_path, "killed") as one:
        one.communicate("\n", timeout=60)
    assert one.returncode == -9
    assert kept(tmp_path) == ["twin.xml"]  # written, and not yet under the name by which it is found
    load(tmp_path)
    assert (len(conversions), kept(tmp_path)) == (1, WHOLE)


def test_of_two_processes_one_converts_and_the_other_waits_for_it(tmp_path: Path) -> None:
    with converting(tmp_path) as one, converting(tmp_path) as other:
        assert one.stdout
        assert other.stdout
        first, second = (one, other) if _is_first(one, other) else (other, one)
        said, _ = first.communicate("\n", timeout=60)
        assert said.split() == ["loaded"]
        said, _ = second.communicate(timeout=60)
        assert said.split() == ["loaded"]
    assert (one.returncode, other.returncode, kept(tmp_path)) == (0, 0, WHOLE)


def _is_first(one: "subprocess.Popen[str]", other: "subprocess.Popen[str]") -> bool:
    """Which of the two converts: the one that says so."""
    ready, _, _ = select.select([one.stdout, other.stdout], [], [], 60)
    assert len(ready) == 1
    assert ready[0].readline() == "converted\n"
    return ready[0] is one.stdout
