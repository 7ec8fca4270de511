"""A weights folder of a test's own, and the ways in which its files break."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.running import ROOT

WEIGHTS = ROOT / "weights"


def weights_in(folder: Path, *copied: str) -> Path:
    """The shipped weights as links, but for those of the ``copied`` models, which a test may break."""
    weights = folder / "weights"
    weights.mkdir()
    for shipped in WEIGHTS.iterdir():
        if shipped.name in copied:
            shutil.copytree(shipped, weights / shipped.name)
        else:
            (weights / shipped.name).symlink_to(shipped)
    return weights


def put_back(weights: Path, model: str, file: str) -> None:
    """Make a broken file what it was."""
    remove(weights / model / file)
    shutil.copyfile(WEIGHTS / model / file, weights / model / file)


def remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def unreadable(path: Path) -> None:
    """For every user, root too: a link that leads to itself."""
    path.unlink()
    path.symlink_to(path)


DAMAGES: tuple[Callable[[Path], None], ...] = (remove, truncate, empty, flip_a_bit, folder_in_its_place, unreadable)
