"""Send broken films in great numbers: ``python -m tests.fuzz --count 50000 --seed 1``; ``--server`` asks a service.

Exits with 1 if any answer is none of the contract's, any film takes over 5 seconds, or a child passes its memory.
"""

import argparse
import csv
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.runs import ANSWERED, Figures, through_the_decoder, through_the_service
from tests.running import running_space

_REFUSALS = ("corrupt_image", "unsupported_image", "image_too_large", "empty_file", "out_of_scope")


def main(arguments: list[str]) -> int:
    """Run, print a line a format, and say what failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="films, over all formats together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--server", nargs="?", const="", metavar="URL", help="a running service; without URL, one is started"
    )
    parser.add_argument("--csv", type=Path, help="write the figures there, beside those of other ways through")
    told = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "tests.fuzz", *arguments])
    began, rows, failures = time.monotonic(), [], []
    for figures in _figures(told.server, told.seed, told.count):
        rows.append(_row(figures, command))
        failures += figures.failures()
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items() if name != "command"), flush=True)
    if told.csv:
        _write(told.csv, rows)
    print(*failures or ["every film was answered as promised"], sep="\n")
    print(f"{sum(int(row['files']) for row in rows)} films in {time.monotonic() - began:.0f} s")
    return bool(failures)


def _figures(server: str | None, seed: int, count: int) -> Iterator[Figures]:
    if server is None:
        yield from through_the_decoder(seed, count)
    elif server:
        yield from through_the_service(seed, count, server)
    else:
        with tempfile.TemporaryDirectory() as folder, running_space(Path(folder)) as space:
            yield from through_the_service(seed, count, space.url)


def _row(figures: Figures, command: str) -> dict[str, object]:
    others = figures.outcomes.total() - sum(figures.outcomes[name] for name in (ANSWERED, *_REFUSALS))
    return {
        "through": figures.through,
        "format": figures.file_format,
        "files": figures.outcomes.total(),
        ANSWERED: figures.outcomes[ANSWERED],
        **{name: figures.outcomes[name] for name in _REFUSALS},
        "other": others,
        "child_crashes": figures.crashes,
        "child_kills": figures.kills,
        "slowest_s": f"{figures.slowest:.2f}",
        "peak_mib": figures.peak >> 20 or "",
        "command": command,
    }


def _write(file: Path, rows: list[dict[str, object]]) -> None:
    """Keep the rows of other ways through."""
    kept = []
    if file.is_file():
        with file.open(newline="") as stream:
            kept = [row for row in csv.DictReader(stream) if row["through"] not in {row["through"] for row in rows}]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
