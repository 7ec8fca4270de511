"""What a running app has in its memory of a film: every object that Python can reach is looked at."""

import gc
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def remember_on_signal(folder: Path) -> None:
    """On SIGUSR1, say in ``folder`` what is remembered of that which is asked for there. For the app as it starts."""

    def say(*_: object) -> None:
        wanted = json.loads((folder / "wanted.json").read_text())
        found = list(_remembered(*([bytes.fromhex(each) for each in kind] for kind in wanted)))
        (folder / "remembered.new").write_text(json.dumps(found))
        (folder / "remembered.new").rename(folder / "remembered.json")

    signal.signal(signal.SIGUSR1, say)


def remembered(
    pid: int, folder: Path, words: Sequence[bytes], pixels: Sequence[bytes], within: float = 30
) -> list[str]:
    """What the process ``pid`` remembers now of ``words``, in lower case here and in any there, or ``pixels``."""
    said = folder / "remembered.json"
    said.unlink(missing_ok=True)
    (folder / "wanted.json").write_text(json.dumps([[each.hex() for each in kind] for kind in (words, pixels)]))
    os.kill(pid, signal.SIGUSR1)
    end = time.monotonic() + within
    while not said.exists():
        assert time.monotonic() < end, "the app does not answer"
        time.sleep(0.05)
    found: list[str] = json.loads(said.read_text())
    return found


def _remembered(words: list[bytes], pixels: list[bytes]) -> Iterator[str]:
    gc.collect()
    ours = {id(each) for each in (*words, *pixels)}
    held = list({id(each): each for each in _reachable() if id(each) not in ours}.values())
    texts = "\0".join(each for each in held if type(each) is str).encode(
        errors="replace"
    )  # at once, since it is faster
    others = b"\0".join(_bytes(each) for each in held if type(each) is not str)
    everything, lowered = texts + others, texts.lower() + others.lower()
    if any(run in everything for run in pixels) or any(word in lowered for word in words):
        for each in held:
            content = _bytes(each)
            for run in (*words, *pixels):
                at = (content.lower() if run in words else content).find(run)
                if at >= 0:
                    yield f"{type(each).__name__} of {len(content)}: {content[max(0, at - 80) : at + 80]!r}"
                    break


def _reachable() -> Iterator[Any]:
    """Every text, bytes and array that an object holds."""
    holders: list[Any] = gc.get_objects()
    while holders:
        held = gc.get_referents(*holders)
        yield from (each for each in held if type(each) in (str, bytes, bytearray, np.ndarray))
        # The collector does not know of those that hold nothing which it would have to collect.
        holders = [each for each in held if type(each) in (dict, tuple) and not gc.is_tracked(each)]


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="replace")
    return (
        value.tobytes()
        if isinstance(value, np.ndarray) and value.dtype != object
        else b""
        if isinstance(value, np.ndarray)
        else bytes(value)
    )
