"""A folder of films becomes a table: ``python -m predictors.screen pneumonia films/ --out answers.csv``.

One row a film, in the order of their paths, with what the network found or the code of the refusal. Stopped at any
moment and started again, it goes on after the last row. A worker holds one film at a time, and there are two a core.

`screened` is a function of its arguments alone, so that a distributed engine can call it as it stands.
"""

import argparse
import csv
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

from predictors.errors import InternalError, ModelUnavailable, SecondLookError, UnknownModel
from predictors.finding import Finding
from predictors.image import Radiograph
from predictors.predictor import Predictor
from predictors.registry import Service
from predictors.spec import ModelSpec

WEIGHTS = Path(__file__).parent.parent / "weights"
ANSWERED = "answered"

WORKERS = 2 * (os.cpu_count() or 2)
"""With one a core, a tenth of the processors' time is nobody's, while its worker waits for the disk or for Python."""

Row = dict[str, Any]


class CannotScreen(Exception):
    """The run cannot begin; the message is one sentence that says what to do."""


# One film


def columns(spec: ModelSpec) -> dict[str, type]:
    """The table's columns in their order, with their types; ``p_<label>`` are calibrated probabilities."""
    return {
        "film": str,  # its path under the folder that was named
        "outcome": str,  # "answered", or the code of the refusal
        "label": str,  # the decision
        **{f"p_{label}": float for label in spec.labels},
        "threshold": float,
        "in_scope": bool,
        "scope_score": float,
        "inverted": bool,  # the file held a negative, and was read the right way round
        "peak_x": float,  # where the heat map peaks, as fractions of the film's width and height
        "peak_y": float,
        "format": str,
        "width": int,
        "height": int,
        "model": str,
        "version": str,
        "sha256": str,
    }


def screened(film: Path, name: str, model: str, weights: Path = WEIGHTS) -> Row:
    """The row of one ``film`` that the table calls ``name``; a film that is refused has a row as well.

    Loads the networks under ``weights`` at the first call of a process. Raises ModelUnavailable or UnknownModel.
    """
    predictor = _predictor(model, weights)
    row: Row = dict.fromkeys(columns(predictor.spec))
    row |= {"film": name, "model": model, "version": predictor.spec.version, "sha256": predictor.spec.weights.sha256}
    try:
        return row | {"outcome": ANSWERED} | _found(predictor.examine(film))
    except ModelUnavailable:
        raise
    except SecondLookError as error:
        refused: Radiograph | None = getattr(error, "film", None)
        return row | {"outcome": error.code} | (_shape(refused) if refused else {})
    except OSError:  # it went away, or is not ours to read
        return row | {"outcome": "missing_file"}
    except Exception:  # one film that breaks a network must not end a run of a hundred thousand
        return row | {"outcome": InternalError.code}


def _found(finding: Finding) -> Row:
    spec = finding.spec
    row: Row = {f"p_{label}": round(value, 4) for label, value in finding.probabilities.items()}
    row |= {"label": finding.label, "threshold": spec.threshold, "inverted": finding.inverted}
    row |= {"in_scope": finding.in_scope, "scope_score": round(finding.scope_score, 4), **_shape(finding.film)}
    if finding.in_scope:
        from predictors.heatmap import peak

        x, y = peak(finding)
        row |= {"peak_x": round(x, 4), "peak_y": round(y, 4)}
    return row


def _shape(film: Radiograph) -> Row:
    return {"format": film.format, "width": film.width, "height": film.height}


@lru_cache(maxsize=8)
def _predictor(model: str, weights: Path) -> Predictor:
    return Service.open(weights, hint="THROUGHPUT")[model]  # films are many and nobody waits for one of them


# All of them


def films(where: str) -> Iterator[tuple[str, Path]]:
    """Every film at ``where`` (a folder, a pattern such as ``films/**/*.dcm``, or one file), sorted, with its name.

    A folder is searched to its bottom. What is hidden, and a DICOMDIR, which lists films and is none, are left out;
    links to folders are not followed. Raises CannotScreen if there is nothing at ``where``.
    """
    place = Path(where)
    found = _below(place, place) if place.is_dir() else _matched(place)
    for name, path in found:
        yield _on_one_line(name), path


def _matched(pattern: Path) -> Iterator[tuple[str, Path]]:
    """What a pattern stands for, named from the deepest folder that holds all of it."""
    start = Path(pattern.anchor)
    paths = sorted(path for path in start.glob(str(pattern.relative_to(start))) if path.is_file())
    paths = [path for path in paths if not _left_out(path.name)]
    if not paths:
        raise CannotScreen("There is no film at that place; name a folder, a file, or a pattern in quotes.")
    root = Path(os.path.commonpath([path.parent for path in paths]))
    for path in paths:
        yield path.relative_to(root).as_posix(), path


def _below(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _left_out(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), root)
        elif entry.is_file():
            yield Path(entry.path).relative_to(root).as_posix(), Path(entry.path)


def _left_out(name: str) -> bool:
    return name.startswith(".") or name == "DICOMDIR"


def _on_one_line(name: str) -> str:
    """A row is a line, whatever a file is called; names that are no text become what a table can hold."""
    whole = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return whole.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r") if {"\n", "\r"} & set(whole) else whole


def rows(
    todo: Iterable[tuple[str, Path]], model: str, weights: Path = WEIGHTS, workers: int = WORKERS
) -> Iterator[Row]:
    """``screened`` for every film, in order; ``workers`` films at a time, and as many again in line."""
    pending: deque[Future[Row]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="screen")
    try:
        for name, path in todo:
            pending.append(pool.submit(screened, path, name, model, weights))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# The table


class Table:
    """The rows on the disk as CSV, each written whole; what an earlier run wrote stays, and is not asked again."""

    def __init__(self, file: Path, spec: ModelSpec) -> None:
        self.done: set[str] = set()
        self._columns = list(columns(spec))
        self._file = file
        if file.exists() and file.stat().st_size:
            _cut_unfinished(file)
            self._take_up(spec)

    def _take_up(self, spec: ModelSpec) -> None:
        with self._file.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream)
            if table.fieldnames and list(table.fieldnames) != self._columns:
                raise CannotScreen("The table that is there is not one of this model's; name another file.")
            for row in table:
                if row["sha256"] != spec.weights.sha256:
                    raise CannotScreen("The table that is there was made with other weights; name another file.")
                self.done.add(row["film"])

    def write(self, fresh: Iterable[Row]) -> Iterator[Row]:
        """Append each row as it comes, and hand it on once it is written."""
        with self._file.open("a", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, self._columns, lineterminator="\n")
            if not stream.tell():
                table.writeheader()
            for row in fresh:
                table.writerow({name: _printed(value) for name, value in row.items()})
                stream.flush()
                yield row


def _printed(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _cut_unfinished(file: Path) -> None:
    """Drop what a run that was killed had begun to write after its last whole line."""
    with file.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            stream.seek(start)
            found = stream.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        stream.truncate(end)


def to_parquet(table: Path, target: Path, spec: ModelSpec) -> None:
    """The finished CSV as Parquet, typed, a block at a time; raises CannotScreen without pyarrow."""
    arrow, arrow_csv, parquet = _pyarrow()
    kinds = {str: arrow.string(), float: arrow.float64(), bool: arrow.bool_(), int: arrow.int32()}
    types = {name: kinds[kind] for name, kind in columns(spec).items()}
    convert = arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    half = target.with_name(target.name + ".half")
    with (
        arrow_csv.open_csv(table, convert_options=convert) as reader,
        parquet.ParquetWriter(half, arrow.schema(types.items())) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
    half.replace(target)


def _pyarrow() -> tuple[Any, Any, Any]:
    try:
        import pyarrow
        from pyarrow import csv as arrow_csv
        from pyarrow import parquet
    except ImportError:
        raise CannotScreen("Parquet needs pyarrow: pip install pyarrow, or name a .csv file.") from None
    return pyarrow, arrow_csv, parquet


# The command


def screen(model: str, where: str, out: Path, weights: Path = WEIGHTS, workers: int = WORKERS) -> dict[str, int]:
    """Screen every film at ``where`` that ``out`` (.csv or .parquet) does not hold yet; returns rows by outcome.

    Raises CannotScreen, ModelUnavailable or UnknownModel before any film is read.
    """
    from tqdm import tqdm

    if out.suffix not in (".csv", ".parquet"):
        raise CannotScreen("The table's name ends in .csv or .parquet.")
    predictor = _predictor(model, weights)
    if out.suffix == ".parquet":
        _pyarrow()
    predictor.warm_up()
    journal = out if out.suffix == ".csv" else out.with_suffix(".parquet.csv")
    table = Table(journal, predictor.spec)
    # Counted on a first walk and sent on a second: names are cheap, but a tree can have millions.
    total = sum(name not in table.done for name, _ in films(where))
    todo = ((name, path) for name, path in films(where) if name not in table.done)
    outcomes: dict[str, int] = {}
    with tqdm(total=total, unit="film") as bar:
        for row in table.write(rows(todo, model, weights, workers)):
            outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + 1
            bar.update()
    if journal != out:
        to_parquet(journal, out, predictor.spec)
        journal.unlink()
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0 all films have a row, 1 cannot begin, 130 stopped."""
    parser = argparse.ArgumentParser(prog="python -m predictors.screen", description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("films", help="a folder, a file, or a pattern in quotes")
    parser.add_argument("--out", type=Path, required=True, help="the table, .csv or .parquet")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--workers", type=int, default=WORKERS)
    asked = parser.parse_args(arguments)
    try:
        outcomes = screen(asked.model, asked.films, asked.out, asked.weights, max(1, asked.workers))
    except (CannotScreen, ModelUnavailable, UnknownModel) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    for outcome, count in sorted(outcomes.items(), key=lambda item: -item[1]):
        print(f"{count:8} {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
