"""Ask the service as many callers would, and compare every answer with the known one.

``python -m tests.load`` asks with 1 to 64 callers, each number of them for some minutes, and says how many questions
were answered, refused for want of a place and failed, how fast, and whether any answer was wrong. ``--soak MINUTES``
asks for long, with callers who vanish or dawdle among the others, and says whether memory or open files grow.

Starts the app, unless ``--url`` names one that runs. That one must believe this machine's ``X-Forwarded-For``
(``SECOND_LOOK_TRUSTED_PROXIES=127.0.0.1``), so that each caller is a client of its own, and have no rate limit
(``SECOND_LOOK_RATE=0``): each of these callers sends what a hundred people would.
"""

import argparse
import asyncio
import contextlib
import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.load.known import Known
from tests.load.levels import level
from tests.load.soak import soak
from tests.running import Space, running_space

CALLERS = (1, 2, 4, 8, 16, 32, 64)

EACH_A_CLIENT = """
import os
os.environ["SECOND_LOOK_TRUSTED_PROXIES"] = "127.0.0.1"
os.environ["SECOND_LOOK_RATE"] = "0"
"""
"""What the app is told before it starts."""


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 if nothing was wrong and nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--callers", type=int, nargs="+", default=CALLERS)
    parser.add_argument("--minutes", type=float, default=2, help="for each number of callers")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="instead, eight callers for so long")
    parser.add_argument("--url", help="of an app that runs; otherwise one is started")
    parser.add_argument("--pid", type=int, help="of that app, to say what it takes of the machine")
    parser.add_argument("--out", type=Path, help="CSV file")
    chosen = parser.parse_args(arguments)
    known = Known()
    rows: list[dict[str, Any]] = []
    good = True
    with _app(chosen.url, chosen.pid) as space:
        if chosen.soak:
            rows, good = asyncio.run(soak(space, known, chosen.soak))
        else:
            for callers in chosen.callers:
                of_level, well = asyncio.run(level(space, known, callers, chosen.minutes * 60))
                rows, good = rows + of_level, good and well
    if chosen.out:
        with chosen.out.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return 0 if good else 1


@contextlib.contextmanager
def _app(url: str | None, pid: int | None) -> Iterator[Space]:
    if url:
        yield Space(url.rstrip("/"), Path(), Path(), pid or 0)
        return
    with tempfile.TemporaryDirectory() as folder, running_space(Path(folder), EACH_A_CLIENT) as space:
        yield space


if __name__ == "__main__":
    sys.exit(main())
